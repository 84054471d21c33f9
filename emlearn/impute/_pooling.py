"""Rubin's rules: one answer from the analyses of several imputed data sets."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from emlearn.data import as_numbers

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PooledEstimates:
    """Result of `pool_estimates`; each array has one entry per estimate.

    Attributes
    ----------
    estimate : ndarray of shape (n_estimates,)
        Mean over the imputations.
    standard_error : ndarray of shape (n_estimates,)
        Square root of the total variance.
    df : ndarray of shape (n_estimates,)
        Degrees of freedom of the t distribution of (estimate - truth) / standard_error.
    interval : ndarray of shape (n_estimates, 2)
        Confidence interval.
    pvalue : ndarray of shape (n_estimates,)
        Two-sided p-value of the hypothesis that the quantity is 0.
    fraction_missing_information : ndarray of shape (n_estimates,)
        Fraction of the information about the quantity that is lost with the missing entries.
    within_variance, between_variance : ndarray of shape (n_estimates,)
        Mean of the variances, and variance of the estimates over the imputations.
    n_imputations : int
        Number of imputations.
    confidence : float
        Level of the interval.
    """

    estimate: Array
    standard_error: Array
    df: Array
    interval: Array
    pvalue: Array
    fraction_missing_information: Array
    within_variance: Array
    between_variance: Array
    n_imputations: int
    confidence: float


def pool_estimates(
    estimates: Any, variances: Any, *, df_complete: float | None = None, confidence: float = 0.95
) -> PooledEstimates:
    """Pool the estimates from several imputed data sets by Rubin's rules.

    Parameters
    ----------
    estimates : array-like of shape (n_imputations, n_estimates) or (n_imputations,)
        Estimates from each imputed data set.
    variances : array-like of the shape of `estimates`
        Their squared standard errors.
    df_complete : float, default=None
        Degrees of freedom that the analysis would have without missing entries, such as
        n - p of a regression. Then the degrees of freedom are those of Barnard and Rubin, which
        are also valid for small samples. None means infinite, which gives Rubin's.
    confidence : float, default=0.95
        Level of the intervals.

    Returns
    -------
    pooled : PooledEstimates
        Estimates, standard errors, intervals and fractions of missing information.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two imputations, an entry is not finite,
        a variance is negative, or `df_complete` or `confidence` is out of range.

    References
    ----------
    D. B. Rubin (1987). "Multiple Imputation for Nonresponse in Surveys". Wiley.
    J. Barnard and D. B. Rubin (1999). "Small-sample degrees of freedom with multiple
    imputation". Biometrika 86(4), 948-955.

    Examples
    --------
    >>> from emlearn.impute import pool_estimates
    >>> pooled = pool_estimates([1.0, 1.2, 0.9], [0.04, 0.05, 0.04], df_complete=97)
    >>> pooled.estimate.round(3), pooled.standard_error.round(3)
    (array([1.033]), array([0.273]))
    """
    values, squares = _read(estimates, "estimates"), _read(variances, "variances")
    if values.shape != squares.shape:
        raise ValueError(
            f"estimates and variances differ in shape: {values.shape} and {squares.shape}."
        )
    m = values.shape[0]
    if m < 2:
        raise ValueError(f"At least 2 imputations are needed, got {m}.")
    if (squares < 0.0).any():
        raise ValueError("variances must not be negative; they are squared standard errors.")
    if df_complete is not None and not (_is_real(df_complete) and df_complete > 0.0):
        raise ValueError(f"df_complete must be a positive number or None, got {df_complete!r}.")
    if not (_is_real(confidence) and 0.0 < confidence < 1.0):
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    with np.errstate(over="ignore", invalid="ignore"):
        estimate, within = values.mean(axis=0), squares.mean(axis=0)
        between = values.var(axis=0, ddof=1)
        extra = (1.0 + 1.0 / m) * between
        total = within + extra
    if not (np.isfinite(total).all() and np.isfinite(estimate).all()):
        raise ValueError("estimates or variances are so large that their squares overflow.")
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.where(total > 0.0, extra / total, 0.0)
        df = (m - 1.0) / fraction**2
        if df_complete is not None and np.isfinite(df_complete):
            observed = (df_complete + 1.0) / (df_complete + 3.0) * df_complete * (1.0 - fraction)
            df = 1.0 / (fraction**2 / (m - 1.0) + 1.0 / observed)
        increase = np.where(within > 0.0, extra / within, np.inf)
        lost = (increase + 2.0 / (df + 3.0)) / (increase + 1.0)
        error = np.sqrt(total)
        ratio = np.abs(estimate) / error
    lost = np.where(extra == 0.0, 0.0, np.where(np.isfinite(increase), lost, 1.0))
    with np.errstate(invalid="ignore"):
        pvalue = 2.0 * student.sf(ratio, df)
    pvalue = np.where(np.isnan(pvalue), 1.0, pvalue)
    pvalue = np.where(error > 0.0, pvalue, np.where(estimate == 0.0, 1.0, 0.0))
    with np.errstate(invalid="ignore"):
        half = student.ppf(0.5 + confidence / 2.0, df) * error
    # Without any variance within imputations, no degrees of freedom may be left.
    half = np.where(error == 0.0, 0.0, np.where(np.isnan(half), np.inf, half))
    interval = np.stack((estimate - half, estimate + half), axis=1)
    return PooledEstimates(
        estimate, error, df, interval, pvalue, lost, within, between, m, confidence
    )


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _read(values: Any, name: str) -> Array:
    table = as_numbers(np.ma.filled(values, np.nan) if np.ma.isMA(values) else values, name)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:
        raise ValueError(f"{name} must have shape (n_imputations, n_estimates), got {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return table
