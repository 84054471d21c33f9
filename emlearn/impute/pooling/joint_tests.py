"""Tests of several parameters at once from several imputed data sets: D1, D2, D3."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from scipy.stats import f as fisher

from emlearn.data import as_numbers

Array = NDArray[np.float64]

# Log-likelihood of parameters in the imputation of a number.
LogLikelihood = Callable[[Any, int], float]


@dataclass(frozen=True)
class JointTest:
    """Result of a test of several parameters at once.

    Attributes
    ----------
    method : str
        "D1", "D2" or "D3".
    statistic : float
        Statistic, compared with an F distribution.
    df : float
        Numerator degrees of freedom: the number of constraints.
    df_residual : float
        Denominator degrees of freedom; may be infinite.
    pvalue : float
        Probability of a larger statistic under the hypothesis.
    relative_increase : float
        Average relative increase of the variance because of what is missing.
    """

    method: str
    statistic: float
    df: float
    df_residual: float
    pvalue: float
    relative_increase: float


def _test(
    method: str, statistic: float, df: float, df_residual: float, increase: float
) -> JointTest:
    limit = not np.isfinite(df_residual)
    pvalue = chi2.sf(df * statistic, df) if limit else fisher.sf(statistic, df, df_residual)
    return JointTest(method, statistic, float(df), df_residual, float(pvalue), increase)


def wald_test(
    estimates: Array, covariances: Array, constraints: Array, value: Array, df: float | None
) -> JointTest:
    """D1 of ``constraints @ parameters = value``; see `PooledEstimates.wald_test`.

    Parameters
    ----------
    estimates : ndarray of shape (n_imputations, n_estimates)
        Estimates.
    covariances : ndarray of shape (n_imputations, n_estimates, n_estimates)
        Their covariances.
    constraints : ndarray of shape (n_constraints, n_estimates)
        Constraints, one in each row.
    value : ndarray of shape (n_constraints,)
        Their values under the hypothesis.
    df : float or None
        Degrees of freedom without missing entries.
    """
    k = len(constraints)
    if np.linalg.matrix_rank(constraints) < k:
        raise ValueError("The constraints are not linearly independent: leave some out.")
    deviations = estimates @ constraints.T - value
    within = constraints @ covariances.mean(axis=0) @ constraints.T
    if np.linalg.cond(within) > 1.0 / np.finfo(np.float64).eps:
        raise ValueError("The covariances of what is tested are singular.")
    m = len(estimates)
    centered = deviations - deviations.mean(axis=0)
    between = centered.T @ centered / (m - 1)
    increase = (1.0 + 1.0 / m) * float(np.trace(np.linalg.solve(within, between))) / k
    mean = deviations.mean(axis=0)
    statistic = float(mean @ np.linalg.solve(within, mean)) / (k * (1.0 + increase))
    return _test("D1", statistic, k, _df_residual(increase, k, m, df), increase)


def pool_chi2(statistics: Any, df: float) -> JointTest:
    """Pool the chi-squared statistics of one test in several imputed data sets (D2).

    It needs the statistics only, so that it is less powerful and less exact than
    `PooledEstimates.wald_test` and `pool_likelihood_ratio`; use these where you can.

    Parameters
    ----------
    statistics : array-like of shape (n_imputations,)
        Wald or likelihood-ratio statistics.
    df : float
        Their degrees of freedom.

    Returns
    -------
    test : JointTest
        The pooled test.

    Raises
    ------
    ValueError
        If there are fewer than two statistics, one is negative or not finite, or `df` is not
        positive.

    References
    ----------
    K.-H. Li, X.-L. Meng, T. E. Raghunathan and D. B. Rubin (1991). "Significance levels from
    repeated p-values with multiply-imputed data". Statistica Sinica 1(1), 65-92.

    Examples
    --------
    >>> from emlearn.impute import pool_chi2
    >>> test = pool_chi2([8.1, 6.9, 10.4, 7.7], df=2)
    >>> round(test.statistic, 2), round(test.pvalue, 3)
    (3.7, 0.026)
    """
    values = as_numbers(statistics, "statistics")
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"statistics must be a list of at least 2, got shape {values.shape}.")
    if not np.isfinite(values).all() or (values < 0.0).any():
        raise ValueError("statistics must be finite and not negative.")
    k, m = _positive(df, "df"), len(values)
    increase = (1.0 + 1.0 / m) * float(np.sqrt(values).var(ddof=1))
    statistic = (float(values.mean()) / k - (m + 1.0) / (m - 1.0) * increase) / (1.0 + increase)
    residual = k ** (-3.0 / m) * (m - 1.0) * _inverse_fraction(increase) ** 2
    return _test("D2", max(statistic, 0.0), k, residual, increase)


def pool_likelihood_ratio(
    estimates: Any,
    null_estimates: Any,
    log_likelihood: LogLikelihood | None = None,
    null_log_likelihood: LogLikelihood | None = None,
    *,
    df: float | None = None,
) -> JointTest:
    """Likelihood-ratio test of two nested models fitted to several imputed data sets (D3).

    Parameters
    ----------
    estimates, null_estimates : array-like of shape (n_imputations, n_params), or list of results
        Estimates of the larger and of the smaller model; or the results of statsmodels, one for
        each imputation, that have `params` and whose model has `loglike`.
    log_likelihood : callable, default=None
        A function of parameters and the number of an imputation, from 0, that returns the
        log-likelihood. Not needed for results of statsmodels, where the variance of a least-squares
        regression is no parameter, but at its maximum. With few rows, a function of all
        parameters, this variance included, is closer to the theory.
    null_log_likelihood : callable, default=None
        That of the smaller model. None means `log_likelihood`: then `null_estimates` have all
        parameters, with those of the hypothesis at their values.
    df : float, default=None
        Number of constraints; None means the difference of the numbers of parameters.

    Returns
    -------
    test : JointTest
        The pooled test. `relative_increase` is at least 0.

    Raises
    ------
    ValueError
        If the numbers of imputations differ, or `df` is not known or not positive.

    References
    ----------
    X.-L. Meng and D. B. Rubin (1992). "Performing likelihood ratio tests with multiply-imputed
    data sets". Biometrika 79(1), 103-111.

    Examples
    --------
    Test of the mean of a normal distribution with variance 1:

    >>> import numpy as np
    >>> from emlearn.impute import pool_likelihood_ratio
    >>> tables = [np.array([0.9, 1.4, b]) for b in (0.2, 1.1, 0.5)]
    >>> def log_likelihood(params, imputation):
    ...     return -((tables[imputation] - params[0]) ** 2).sum() / 2
    >>> test = pool_likelihood_ratio(
    ...     [[table.mean()] for table in tables], np.zeros((3, 1)), log_likelihood, df=1
    ... )
    >>> round(test.statistic, 3), round(test.pvalue, 3)
    (2.564, 0.11)
    """
    large, large_value = _likelihoods(estimates, log_likelihood)
    small, small_value = _likelihoods(null_estimates, null_log_likelihood or log_likelihood)
    m = len(large)
    if m != len(small) or m < 2:
        raise ValueError(
            f"Both models need estimates of the same imputations, at least 2; got {m} and "
            f"{len(small)}."
        )
    k = _positive(large.shape[1] - small.shape[1] if df is None else df, "df")
    large_mean, small_mean = large.mean(axis=0), small.mean(axis=0)
    own = np.mean([large_value(large[i], i) - small_value(small[i], i) for i in range(m)])
    pooled = np.mean([large_value(large_mean, i) - small_value(small_mean, i) for i in range(m)])
    # Rounding, or a likelihood that is not quadratic, can make it negative.
    increase = max(0.0, 2.0 * float(own - pooled) * (m + 1.0) / (k * (m - 1.0)))
    statistic = max(0.0, 2.0 * float(pooled) / (k * (1.0 + increase)))
    return _test("D3", statistic, k, _df_residual(increase, k, m, None), increase)


def _likelihoods(
    estimates: Any, log_likelihood: LogLikelihood | None
) -> tuple[Array, LogLikelihood]:
    """Parameters of each imputation, and their log-likelihood."""
    if log_likelihood is None:
        fits: Sequence[Any] = list(estimates)
        if not all(hasattr(fit, "params") and hasattr(fit, "model") for fit in fits):
            raise ValueError(
                "log_likelihood is needed, unless the estimates are results of statsmodels."
            )
        params = [np.asarray(fit.params, dtype=np.float64) for fit in fits]
        return np.array(params), lambda values, i: float(fits[i].model.loglike(values))
    table = as_numbers(estimates, "estimates")
    if table.ndim != 2:
        raise ValueError(f"estimates must have shape (n_imputations, n_params), got {table.shape}.")
    return table, log_likelihood


def _df_residual(increase: float, k: float, m: int, complete: float | None) -> float:
    """Denominator degrees of freedom of D1 and D3."""
    t = k * (m - 1.0)
    if complete is not None and np.isfinite(complete) and t > 4.0:
        return _small_sample_df(increase, t, complete)
    inverse = 1.0 / increase if increase > 0.0 else np.inf
    if t > 4.0:
        return 4.0 + (t - 4.0) * (1.0 + (1.0 - 2.0 / t) * inverse) ** 2
    return t * (1.0 + 1.0 / k) * (1.0 + inverse) ** 2 / 2.0


def _small_sample_df(increase: float, t: float, complete: float) -> float:
    """Degrees of freedom of Reiter (2007)."""
    a = increase * t / (t - 2.0)
    observed = (complete + 1.0) / (complete + 3.0) * complete
    c0, c1, c2 = 1.0 / (t - 4.0), observed - 2.0 * (1.0 + a), observed - 4.0 * (1.0 + a)
    if c2 <= 0.0:
        # The limit of the expansion, which is not valid for fewer.
        return 4.0
    z = 1.0 / c2 + c0 * (
        a**2 * c1 / ((1.0 + a) ** 2 * c2)
        + 8.0 * a**2 * c1 / ((1.0 + a) * c2**2)
        + 4.0 * a**2 / ((1.0 + a) * c2)
        + 4.0 * a**2 / (c2 * c1)
        + 16.0 * a**2 * c1 / c2**3
        + 8.0 * a**2 / c2**2
    )
    return 4.0 + 1.0 / z


def _inverse_fraction(increase: float) -> float:
    return 1.0 + 1.0 / increase if increase > 0.0 else np.inf


def _positive(value: Any, name: str) -> float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0.0 < value < np.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}.")
    return float(value)
