"""Which entries are missing together, and how rows with and without an entry differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
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
    test : ndarray of str of shape (n_pairs,)
        "t" for means, or "chi2" for the shares of the levels of a category.
    n_missing, n_observed : ndarray of shape (n_pairs,)
        Number of values compared where `missing` is missing, and where it is observed.
    mean_missing, mean_observed : ndarray of shape (n_pairs,)
        Their means: of truth values the shares of true ones, of ordered categories those of the
        positions of the levels, from 0, and of times those of the days since the first. NaN for
        other categories.
    difference : ndarray of shape (n_pairs,)
        ``mean_missing - mean_observed`` in standard deviations of all observed values of the
        column; of categories without an order, Cramer's V.
    statistic, df : ndarray of shape (n_pairs,)
        Welch's t or Pearson's chi-squared, and the degrees of freedom.
    pvalue : ndarray of shape (n_pairs,)
        p-value of equal means (two-sided) or equal shares.
    adjusted_pvalue : ndarray of shape (n_pairs,)
        p-value by Holm's method for all pairs.
    """

    missing: Names
    compared: Names
    test: Names
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
        """The comparisons as a table, without the statistics."""
        head = ["missing", "compared", "test", "n", "mean", "n observed", "mean observed"]
        rows = [
            [str(name), str(other), test, *("" if v != v else f"{v:.4g}" for v in values)]
            for name, other, test, *values in zip(
                self.missing,
                self.compared,
                self.test,
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
    table, weight, names, _ = _read(X, sample_weight, missing_values)
    patterns = find_patterns(np.isnan(table))
    counts = np.add.reduceat(weight[patterns.order], patterns.edges[:-1])
    order = np.argsort(-counts, kind="stable")
    return MissingPatterns(names, patterns.mask[order], counts[order])


def compare_patterns(
    X: Any, *, sample_weight: Any = None, missing_values: Any = np.nan
) -> PatternComparison:
    """Compare rows in which a column is missing with rows in which it is observed.

    For each column with missing entries, the mean of each other column where the first is
    missing is compared with its mean where the first is observed, by Welch's t test; of categories
    without an order, the shares of the levels by Pearson's chi-squared test. Differences
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
    table, weight, names, nominal = _read(X, sample_weight, missing_values)
    missing = np.isnan(table)
    # For each column, rows that lack it, and rows that have it.
    lacking, having = weight[:, None] * missing, weight[:, None] * ~missing
    found = _compare_means(table, weight, lacking, having)
    for column in np.flatnonzero(nominal):
        own = _compare_shares(table[:, column], lacking, having)
        for field, values in zip(found, own, strict=True):
            field[:, column] = values
    usable = (found.n_missing >= 2.0) & (found.n_observed >= 2.0) & np.isfinite(found.pvalue)
    first, second = np.nonzero(usable)
    order = np.argsort(found.pvalue[first, second], kind="stable")
    here = first[order], second[order]
    return PatternComparison(
        names[here[0]],
        names[here[1]],
        np.where(nominal, "chi2", "t").astype(object)[here[1]],
        adjusted_pvalue=_holm(found.pvalue[here]),
        **{name: field[here] for name, field in found._asdict().items()},
    )


class _Comparisons(NamedTuple):
    """What `PatternComparison` has, for all pairs of columns; NaN where there is no test."""

    n_missing: Array
    n_observed: Array
    mean_missing: Array
    mean_observed: Array
    difference: Array
    statistic: Array
    df: Array
    pvalue: Array


def _compare_means(table: Array, weight: Array, lacking: Array, having: Array) -> _Comparisons:
    """Welch's t test."""
    scaling = summarize_columns(table, weight).scaling
    observed = ~np.isnan(table)
    standard = np.where(observed, scaling.standardize(np.asarray(table, np.float64)), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        n1, mean1, var1 = _moments(lacking, observed, standard)
        n0, mean0, var0 = _moments(having, observed, standard)
        _, _, variance = _moments(weight[:, None], observed, standard)
        error1, error0 = var1 / n1, var0 / n0
        square = error1 + error0
        statistic = (mean1 - mean0) / np.sqrt(square)
        df = square**2 / (error1**2 / (n1 - 1.0) + error0**2 / (n0 - 1.0))
        difference = (mean1 - mean0) / np.sqrt(variance)
    statistic[~((square > 0.0) & np.isfinite(statistic) & np.isfinite(df))] = np.nan
    return _Comparisons(
        n1,
        n0,
        scaling.center + scaling.scale * mean1,
        scaling.center + scaling.scale * mean0,
        difference,
        statistic,
        df,
        np.asarray(2.0 * student.sf(np.abs(statistic), df)),
    )


def _compare_shares(codes: Array, lacking: Array, having: Array) -> _Comparisons:
    """Pearson's chi-squared test of the levels of one column, for all columns that lack entries."""
    levels = np.unique(codes[~np.isnan(codes)])
    of_level = codes[:, None] == levels
    counts = np.stack((lacking.T @ of_level, having.T @ of_level), axis=1)
    sizes = counts.sum(axis=2)
    total = counts.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = sizes[:, :, None] * counts.sum(axis=1)[:, None] / total[:, None, None]
        statistic = ((counts - expected) ** 2 / expected).sum(axis=(1, 2))
    none = np.full(len(total), np.nan)
    df = np.full(len(total), levels.size - 1.0)
    pvalue = np.asarray(chi2.sf(statistic, df)) if levels.size > 1 else none
    cramer = np.sqrt(statistic / np.maximum(total, 1.0))
    return _Comparisons(sizes[:, 0], sizes[:, 1], none, none, cramer, statistic, df, pvalue)


def _read(
    X: Any, sample_weight: Any, missing_values: Any
) -> tuple[Any, Array, Names, NDArray[np.bool_]]:
    """Rows of positive weight, their weights, and names of the columns and which are nominal."""
    reader = MissingDataImputerEM(missing_values=missing_values)
    table, weight = reader._read(X, sample_weight)
    schema = reader._schema
    nominal = np.zeros(table.shape[1], bool)
    if schema is not None:
        table = schema.values(table)
        truths = [column.levels == (False, True) for column in schema.columns]
        nominal = schema.categorical & ~schema.ordered & ~np.array(truths)
    if weight is None:
        weight = np.ones(table.shape[0])
    counted = weight > 0.0
    return table[counted], weight[counted], input_names(reader, None), nominal


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
