"""How well the fraction of missing information is known, and how many imputations it needs."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from emlearn.data import as_numbers

Array = NDArray[np.float64]


def information_interval(fraction: Array, n_imputations: int, confidence: float) -> Array:
    """Confidence intervals of fractions of missing information, of shape (..., 2).

    The logit of an estimate has the standard error ``sqrt(2 / n_imputations)`` (Harel 2007).
    """
    half = norm.ppf(0.5 + confidence / 2.0) * math.sqrt(2.0 / n_imputations)
    with np.errstate(divide="ignore"):
        middle = logit(fraction)
    interval: Array = expit(np.stack((middle - half, middle + half), axis=-1))
    return interval


def n_imputations_needed(
    fraction: Any,
    cv: float = 0.05,
    *,
    n_imputations: int | None = None,
    confidence: float = 0.95,
) -> int:
    """Imputations after which a repetition would give nearly the same standard errors.

    The coefficient of variation of the standard error over repetitions is `cv` with
    ``m = 1 + (fraction / cv)**2 / 2`` imputations. As the fraction of missing information is
    only estimated, the upper end of its confidence interval is used: make a few imputations (20
    or so), pool, and ask how many are needed in all.

    Parameters
    ----------
    fraction : PooledEstimates, float or array-like
        The pooled estimates of the first imputations; or fractions of missing information. The
        largest counts.
    cv : float, default=0.05
        Coefficient of variation of the standard error that is accepted.
    n_imputations : int, default=None
        Number of imputations from which given fractions were estimated. None means that they
        are known exactly.
    confidence : float, default=0.95
        Level of the interval.

    Returns
    -------
    m : int
        Number of imputations, at least 2.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    P. T. von Hippel (2020). "How many imputations do you need? A two-stage calculation using a
    quadratic rule". Sociological Methods & Research 49(3), 699-718.

    Examples
    --------
    >>> from emlearn.impute import n_imputations_needed
    >>> n_imputations_needed(0.3), n_imputations_needed(0.3, n_imputations=20)
    (19, 41)
    """
    if hasattr(fraction, "fraction_missing_information"):
        n_imputations = fraction.n_imputations
        fraction = fraction.fraction_missing_information
    values = as_numbers(np.atleast_1d(fraction), "fraction")
    if values.size == 0 or not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError(f"fraction must be between 0 and 1, got {fraction!r}.")
    if not (_is_real(cv) and 0.0 < cv < np.inf):
        raise ValueError(f"cv must be a positive number, got {cv!r}.")
    if not (_is_real(confidence) and 0.0 < confidence < 1.0):
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    largest = float(values.max())
    if n_imputations is not None:
        if not isinstance(n_imputations, numbers.Integral) or n_imputations < 2:
            raise ValueError(f"n_imputations must be an integer >= 2, got {n_imputations!r}.")
        bounds = information_interval(np.array(largest), int(n_imputations), confidence)
        largest = float(bounds[1])
    return max(2, math.ceil(1.0 + 0.5 * (largest / cv) ** 2))


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
