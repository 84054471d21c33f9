"""Which entries are missing together, and how rows with and without an entry differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from emlearn.data import input_names
from emlearn.distributions.gaussian.incomplete import find_patterns
from emlearn.distributions.gaussian.scaling import summarize_columns
from emlearn.impute._imputer import MissingDataImputerEM

Array = NDArray[np.float64]
Names = NDArray[np.object_]


@dataclass(frozen=True)
class MissingPatterns:
    """Result of `missing_patterns`.

    Attributes
    ----------
    feature_names : ndarray of str of shape (n_features,)
        Names of the columns, or x0, x1, ...
    mask : ndarray of shape (n_patterns, n_features), dtype bool
        Which columns a pattern lacks; the most frequent pattern comes first.
    counts : ndarray of shape (n_patterns,)
        Number of rows of each pattern; with weights, their sum.
    """

    feature_names: Names
    mask: NDArray[np.bool_]
    counts: Array

    @property
    def missing_counts(self) -> Array:
        """Number of missing entries of each column."""
        return self.counts @ self.mask

    def to_frame(self) -> Any:
        """The patterns as a DataFrame.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each pattern: for each column whether it is missing, then `n_rows` and
            `n_missing`. Needs pandas.
        """
        import pandas

        frame = pandas.DataFrame(self.mask, columns=list(self.feature_names))
        return frame.assign(n_rows=self.counts, n_missing=self.mask.sum(axis=1))

    def __str__(self) -> str:
        """The patterns as a table; "-" is a missing column, and the last line counts these."""
        rows = [
            [f"{count:g}", *np.where(mask, "-", "+"), str(mask.sum())]
            for count, mask in zip(self.counts, self.mask, strict=True)
        ]
        total = self.missing_counts
        last = ["missing", *(f"{count:g}" for count in total), f"{total.sum():g}"]
        return _layout([["rows", *map(str, self.feature_names), "missing"], *rows, last])


@dataclass(frozen=True)
class PatternComparison:
    """Result of `compare_patterns`; each array has one entry per pair of columns.

    Attributes
    ----------
    missing : ndarray of str of shape (n_pairs,)
        The column whose missing entries divide the rows.
    compared : ndarray of str of shape (n_pairs,)
        The column whose observed values are compared.
    n_missing, n_observed : ndarray of shape (n_pairs,)
        Number of values compared where `missing` is missing, and where it is observed.
    mean_missing, mean_observed : ndarray of shape (n_pairs,)
        Their means.
    difference : ndarray of shape (n_pairs,)
        ``mean_missing - mean_observed`` in standard deviations of all observed values of the
        column.
    statistic, df : ndarray of shape (n_pairs,)
        Welch's t, and its degrees of freedom.
    pvalue : ndarray of shape (n_pairs,)
        Two-sided p-value of equal means.
    adjusted_pvalue : ndarray of shape (n_pairs,)
        p-value by Holm's method for all pairs.
    """

    missing: Names
    compared: Names
    n_missing: Array
    n_observed: Array
    mean_missing: Array
    mean_observed: Array
    difference: Array
    statistic: Array
    df: Array
    pvalue: Array
    adjusted_pvalue: Array

    def to_frame(self) -> Any:
        """The comparisons as a DataFrame.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each pair, a column for each attribute. Needs pandas.
        """
        import pandas

        return pandas.DataFrame(vars(self))

    def __str__(self) -> str:
        """The comparisons as a table, without the t statistics."""
        head = ["missing", "compared", "n", "mean", "n observed", "mean observed"]
        rows = [
            [str(name), str(other), *(f"{value:.4g}" for value in values)]
            for name, other, *values in zip(
                self.missing,
                self.compared,
                self.n_missing,
                self.mean_missing,
                self.n_observed,
                self.mean_observed,
                self.difference,
                self.adjusted_pvalue,
                strict=True,
            )
        ]
        return _layout([[*head, "difference/sd", "adjusted p"], *rows])


def missing_patterns(
    X: Any, *, sample_weight: Any = None, missing_values: Any = np.nan
) -> MissingPatterns:
    """Count the patterns of missing entries.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Data.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row; weight w means w copies.
    missing_values : number, NaN or pandas.NA, default=NaN
        What marks a missing entry, as in `MissingDataImputerEM`.

    Returns
    -------
    patterns : MissingPatterns
        The patterns and their numbers of rows. ``print`` shows a table, ``to_frame`` makes a
        DataFrame.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.impute import missing_patterns
    >>> X = [[1.0, 2.0], [3.0, np.nan], [4.0, np.nan], [5.0, 6.0], [7.0, 8.0]]
    >>> print(missing_patterns(X))
    rows     x0  x1  missing
    3        +   +   0
    2        +   -   1
    missing  0   2   2
    """
    table, weight, names = _read(X, sample_weight, missing_values)
    patterns = find_patterns(np.isnan(table))
    counts = np.add.reduceat(weight[patterns.order], patterns.edges[:-1])
    order = np.argsort(-counts, kind="stable")
    return MissingPatterns(names, patterns.mask[order], counts[order])


def compare_patterns(
    X: Any, *, sample_weight: Any = None, missing_values: Any = np.nan
) -> PatternComparison:
    """Compare rows in which a column is missing with rows in which it is observed.

    For each column with missing entries, the mean of each other column where the first is
    missing is compared with its mean where the first is observed, by Welch's t test. Differences
    show what the missingness depends on: such entries are not missing completely at random, and
    columns that differ belong in the imputation model. They say nothing about dependence on the
    missing values themselves; see `tipping_points` for that.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Data.
    sample_weight : array-like of shape (n_samples,), default=None
        How often each row was observed; weight w means w copies.
    missing_values : number, NaN or pandas.NA, default=NaN
        What marks a missing entry, as in `MissingDataImputerEM`.

    Returns
    -------
    comparison : PatternComparison
        The pairs of columns, smallest p-value first. ``print`` shows a table, ``to_frame`` makes
        a DataFrame. Pairs are left out if either group has fewer than two values or the values
        are constant within both groups.

    See Also
    --------
    little_mcar_test : One test of all patterns at once.

    References
    ----------
    B. L. Welch (1947). "The generalization of Student's problem when several different
    population variances are involved". Biometrika 34, 28-35.
    S. Holm (1979). "A simple sequentially rejective multiple test procedure". Scandinavian
    Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.impute import compare_patterns
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> X[X[:, 0] > 0.5, 1] = np.nan
    >>> comparison = compare_patterns(X)
    >>> print(comparison.compared, comparison.adjusted_pvalue < 0.05)
    ['x0' 'x2'] [ True False]
    """
    table, weight, names = _read(X, sample_weight, missing_values)
    scaling = summarize_columns(table, weight).scaling
    missing = np.isnan(table)
    standard = np.where(missing, 0.0, scaling.standardize(np.asarray(table, np.float64)))
    standard[missing] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        where_missing = _moments(weight[:, None] * missing, ~missing, standard)
        where_observed = _moments(weight[:, None] * ~missing, ~missing, standard)
        everywhere = _moments(weight[:, None], ~missing, standard)
        (n1, mean1, var1), (n0, mean0, var0) = where_missing, where_observed
        error1, error0 = var1 / n1, var0 / n0
        square = error1 + error0
        statistic: Array = (mean1 - mean0) / np.sqrt(square)
        df = square**2 / (error1**2 / (n1 - 1.0) + error0**2 / (n0 - 1.0))
        difference = (mean1 - mean0) / np.sqrt(everywhere[2])
    usable = (n1 >= 2.0) & (n0 >= 2.0) & (square > 0.0) & np.isfinite(statistic) & np.isfinite(df)
    first, second = np.nonzero(usable)
    tail = student.sf(np.abs(statistic[first, second]), df[first, second])
    pvalue = np.asarray(2.0 * tail, dtype=np.float64)
    order = np.argsort(pvalue, kind="stable")
    first, second, pvalue = first[order], second[order], pvalue[order]
    here = (first, second)
    return PatternComparison(
        names[first],
        names[second],
        n1[here],
        n0[here],
        scaling.center[second] + scaling.scale[second] * mean1[here],
        scaling.center[second] + scaling.scale[second] * mean0[here],
        difference[here],
        statistic[here],
        df[here],
        pvalue,
        _holm(pvalue),
    )


def _read(X: Any, sample_weight: Any, missing_values: Any) -> tuple[Any, Array, Names]:
    """Rows of positive weight, their weights, and the names of the columns."""
    reader = MissingDataImputerEM(missing_values=missing_values)
    table, weight = reader._read(X, sample_weight)
    if weight is None:
        weight = np.ones(table.shape[0])
    counted = weight > 0.0
    return table[counted], weight[counted], input_names(reader, None)


def _moments(
    groups: Array, observed: NDArray[np.bool_], values: Array
) -> tuple[Array, Array, Array]:
    """Weight, mean and variance of each column in each group of rows."""
    total = groups.T @ observed
    mean = groups.T @ values / total
    square = groups.T @ values**2 - total * mean**2
    # What is left of the squares of a constant is rounding.
    square[square < 1e-13 * total * (1.0 + mean**2)] = 0.0
    return total, mean, square / (total - 1.0)


def _holm(pvalue: Array) -> Array:
    """p-values in increasing order, adjusted for their number."""
    factor = np.arange(pvalue.size, 0, -1)
    return np.minimum(np.maximum.accumulate(factor * pvalue), 1.0)


def _layout(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
