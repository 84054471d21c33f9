"""The number of factors: parallel analysis, and a table of fits."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from emlearn.data import column_label, read_table, read_weight
from emlearn.distributions.gaussian.scaling import summarize_columns
from emlearn.factors._factor_analysis import FactorAnalysisEM

Array = NDArray[np.float64]


class ParallelAnalysis(NamedTuple):
    """Result of a parallel analysis.

    Attributes
    ----------
    n_factors : int
        Number of leading eigenvalues above their thresholds.
    eigenvalues : ndarray of shape (n_features,)
        Eigenvalues of the correlation matrix of the data, the largest first.
    thresholds : ndarray of shape (n_features,)
        Quantiles of the eigenvalues of data without factors.
    """

    n_factors: int
    eigenvalues: Array
    thresholds: Array


def parallel_analysis(
    X: ArrayLike,
    *,
    kind: str = "components",
    n_draws: int = 100,
    quantile: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> ParallelAnalysis:
    """Number of factors whose eigenvalues are larger than chance makes them (Horn 1965).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows. NaN means a missing entry; correlations are those of the available pairs.
    kind : {"components", "factors"}, default="components"
        "components": eigenvalues of the correlation matrix, as Horn has it. "factors": of the
        correlation matrix with squared multiple correlations on its diagonal, which tends to
        give more factors.
    n_draws : int, default=100
        Number of tables of independent normal numbers to compare with. Their entries are missing
        where those of X are.
    quantile : float, default=0.95
        Quantile of the eigenvalues of these tables that an eigenvalue must exceed.
    random_state : int, RandomState instance or None, default=0
        Source of the random numbers.

    Returns
    -------
    result : ParallelAnalysis
        Number of factors, eigenvalues and thresholds.

    Raises
    ------
    ValueError
        If an argument or the rows are invalid, or a column is constant.

    References
    ----------
    J. L. Horn (1965). "A rationale and test for the number of factors in factor analysis".
    Psychometrika 30(2), 179-185.

    Examples
    --------
    >>> from emlearn.datasets import load_holzinger_swineford
    >>> from emlearn.factors import parallel_analysis
    >>> parallel_analysis(load_holzinger_swineford().data).n_factors
    3
    """
    if kind not in ("components", "factors"):
        raise ValueError(f'kind must be "components" or "factors", got {kind!r}.')
    if not isinstance(n_draws, Integral) or n_draws < 1:
        raise ValueError(f"n_draws must be an int >= 1, got {n_draws!r}.")
    if not isinstance(quantile, Real) or not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile must be between 0 and 1, got {quantile!r}.")
    rows = _read(X)
    seen = ~np.isnan(rows)
    rng = np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    found = _eigenvalues(rows, kind)
    chance = np.empty((int(n_draws), rows.shape[1]))
    for draw in range(int(n_draws)):
        noise = rng.standard_normal(rows.shape)
        noise[~seen] = np.nan
        chance[draw] = _eigenvalues(noise, kind)
    thresholds = np.quantile(chance, quantile, axis=0)
    below = np.flatnonzero(found <= thresholds)
    n_factors = int(below[0]) if below.size else len(found)
    return ParallelAnalysis(n_factors, found, thresholds)


def _read(X: Any) -> Array:
    """Rows in units in which the columns have moderate size."""
    reader = BaseEstimator()
    rows: Array = read_table(reader, X, reset=True, dtype=(np.float64,), min_rows=3)
    summary = summarize_columns(rows)
    if summary.constant.any():
        name = column_label(reader, int(summary.constant.argmax()))
        raise ValueError(
            f"{name[:1].upper()}{name[1:]} of X is constant or has no observed entries. Leave it "
            "out."
        )
    return summary.scaling.to_scaled(rows)


def _eigenvalues(rows: Array, kind: str) -> Array:
    seen = ~np.isnan(rows)
    count = seen.sum(axis=0)
    centered = np.where(seen, rows - np.nanmean(rows, axis=0), 0.0)
    centered /= np.sqrt(np.square(centered).sum(axis=0) / count)
    if seen.all():
        correlation = centered.T @ centered / len(rows)
    else:
        number = seen.astype(np.float64)
        pairs = number.T @ number
        square = np.square(centered)
        spread = np.sqrt((square.T @ number) * (number.T @ square))
        correlation = centered.T @ centered / np.where(spread > 0.0, spread, 1.0)
        correlation[pairs < 2.0] = 0.0
        np.fill_diagonal(correlation, 1.0)
    if kind == "factors":
        inverse = np.linalg.pinv(correlation, hermitian=True)
        left = 1.0 / np.maximum(np.diagonal(inverse), 1.0)
        correlation = correlation - np.diag(left)
    return np.asarray(np.linalg.eigvalsh(correlation)[::-1], np.float64)


@dataclass(frozen=True)
class FactorSelection:
    """Fits with different numbers of factors.

    Attributes
    ----------
    n_components : ndarray of shape (n_fits,)
        Numbers of factors.
    log_likelihood, aic, bic : ndarray of shape (n_fits,)
        Log-likelihood and criteria; lower criteria are better.
    n_parameters : ndarray of shape (n_fits,)
        Numbers of free parameters.
    statistic, df, pvalue : ndarray of shape (n_fits,)
        Chi-square test against an unrestricted covariance, see
        `FactorAnalysisEM.chi_square_test`. Where it cannot be made, `df` is 0, `statistic` 0
        and `pvalue` 1.
    heywood : ndarray of shape (n_fits,), dtype bool
        Whether the noise of a column vanished, or the fit did not converge.
    best_bic : int
        Number of factors with the lowest BIC.
    """

    n_components: NDArray[np.intp]
    log_likelihood: Array
    n_parameters: NDArray[np.intp]
    aic: Array
    bic: Array
    statistic: Array
    df: NDArray[np.intp]
    pvalue: Array
    heywood: NDArray[np.bool_]

    @property
    def best_bic(self) -> int:
        """Number of factors with the lowest BIC."""
        return int(self.n_components[self.bic.argmin()])

    def __str__(self) -> str:
        """The table, one line for each number of factors."""
        lines = ["factors  log-likelihood       aic       bic  chi-square   df  p value"]
        for i, k in enumerate(self.n_components):
            line = f"{k:7d} {self.log_likelihood[i]:15.2f} {self.aic[i]:9.1f} {self.bic[i]:9.1f}"
            if self.df[i]:
                line += f"  {self.statistic[i]:10.2f} {self.df[i]:4d} {self.pvalue[i]:8.2g}"
            lines.append(line + "  Heywood case" * bool(self.heywood[i]))
        return "\n".join(lines)


def select_n_factors(
    X: ArrayLike,
    n_components: int | Iterable[int] | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    **hyperparameters: Any,
) -> FactorSelection:
    """Fit factor analyses with different numbers of factors.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows. NaN means a missing entry.
    n_components : int or iterable of int, default=None
        Numbers of factors. None: all for which a model of that many columns is not more general
        than a covariance, at most 10.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. None means 1 each.
    **hyperparameters : object
        Hyperparameters of `FactorAnalysisEM`.

    Returns
    -------
    selection : FactorSelection
        A table of the fits; `print` shows it.

    Raises
    ------
    ValueError
        If the numbers, the rows or the weights are invalid.

    Examples
    --------
    >>> from emlearn.datasets import load_holzinger_swineford
    >>> from emlearn.factors import select_n_factors
    >>> print(select_n_factors(load_holzinger_swineford().data, range(1, 5)))
    factors  log-likelihood       aic       bic  chi-square   df  p value
          1        -3851.22    7756.4    7856.5      306.56   27  3.6e-49
          2        -3760.25    7590.5    7720.2      127.64   19  4.1e-18
          3        -3706.54    7497.1    7652.8       22.38   12    0.034
          4        -3697.68    7491.4    7669.3        5.05    6     0.54  Heywood case
    """
    rows = _read(X)
    weight = read_weight(sample_weight, len(rows))
    d = rows.shape[1]
    if n_components is None:
        counts = [k for k in range(1, min(d, len(rows) - 1, 10) + 1) if (d - k) ** 2 >= d + k]
        counts = counts or [1]
    else:
        given: Any = [n_components] if isinstance(n_components, Integral) else n_components
        if not isinstance(given, Iterable):
            raise ValueError(
                f"n_components must be a list of numbers of factors, got {n_components!r}."
            )
        counts = list(given)
    if not counts:
        raise ValueError("n_components has no number of factors.")
    lines = [_fit(X, weight, k, hyperparameters) for k in counts]
    columns = [np.array(column) for column in zip(*lines, strict=True)]
    return FactorSelection(np.array(counts, np.intp), *columns)


def _fit(X: Any, weight: Array | None, k: int, hyperparameters: dict[str, Any]) -> tuple[Any, ...]:
    analysis = FactorAnalysisEM(k, **hyperparameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        analysis.fit(X, sample_weight=weight)
    try:
        test = analysis.chi_square_test(X, sample_weight=weight)
        tested = (test.statistic, test.df, test.pvalue)
    except ValueError:
        tested = (0.0, 0, 1.0)
    return (
        analysis.log_likelihood_,
        analysis._n_parameters(),
        analysis.aic(X, sample_weight=weight),
        analysis.bic(X, sample_weight=weight),
        *tested,
        any(issubclass(one.category, ConvergenceWarning) for one in caught),
    )
