"""From log-joint densities to responsibilities, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.compiled import kernels

Array = NDArray[Any]


# Sums of exponentials within a factor of this from 1 have lost no digits, by precision;
# products of 16 numbers within a factor of `_SAFE_PRODUCT` neither.
_SAFE_SUM = {np.dtype(np.float64): 1e250, np.dtype(np.float32): 1e30}
_SAFE_PRODUCT = 1e15


def normalize(log_joint: Array, weight: Array | None) -> float | None:
    """Turn log-joint densities of about 0 into weighted responsibilities.

    The largest of each row is not subtracted first, which saves two passes. If a row is
    so improbable (or its density so large) that this loses digits, nothing is returned,
    and `normalize_any` has to be used.

    Parameters
    ----------
    log_joint : ndarray of shape (n_components, n_rows)
        log(weight_k) + log-density of each row, up to a shift that makes them small;
        overwritten by the responsibilities multiplied by the weights of the rows.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows; None means 1 each.

    Returns
    -------
    log_likelihood : float or None
        Weighted sum of the log-densities of the rows.
    """
    with np.errstate(over="ignore"):
        np.exp(log_joint, out=log_joint)
        total = log_joint.sum(axis=0)
    safe = _SAFE_SUM[log_joint.dtype]
    if not (total.min() > 1.0 / safe and total.max() < safe):
        return None
    return _finish(log_joint, total, weight)


def normalize_any(log_joint: Array, weight: Array | None) -> float:
    """As `normalize`, for log-joint densities of any size."""
    total, largest = _exponentiate(log_joint)
    shift = largest.sum(dtype=np.float64) if weight is None else weight @ largest
    return float(shift) + _finish(log_joint, total, weight)


def to_responsibilities(log_joint: Array, weight: Array | None) -> float:
    """As `normalize_any`, with the compiled kernel where there is one.

    `log_joint` is C-contiguous; -inf stands for components that are excluded.
    """
    if kernels is None:
        return normalize_any(log_joint, weight)
    return float(kernels.normalize(log_joint, weight, None))


def _finish(joint: Array, total: Array, weight: Array | None) -> float:
    """Responsibilities from joint densities and their sums; the sum of the logarithms."""
    if weight is None:
        joint /= total
        return _sum_log(total)
    joint *= (weight / total).astype(joint.dtype, copy=False)
    return float(weight @ np.log(total))


def _sum_log(total: Array) -> float:
    """Sum of logarithms; a sixteenth of them where products do not overflow."""
    if not (total.min() > 1.0 / _SAFE_PRODUCT and total.max() < _SAFE_PRODUCT):
        return float(np.log(total, dtype=np.float64).sum())
    whole = len(total) // 16 * 16
    products = np.multiply.reduce(total[:whole].reshape(16, -1), axis=0, dtype=np.float64)
    rest = np.multiply.reduce(total[whole:], dtype=np.float64)
    return float(np.log(products).sum() + np.log(rest))


def row_log_density(log_joint: Array) -> Array:
    """Log-density of each row in float64; `log_joint` becomes the responsibilities."""
    total, largest = _exponentiate(log_joint)
    log_joint /= total
    density: Array = np.log(total, dtype=np.float64) + largest
    return density


def _exponentiate(log_joint: Array) -> tuple[Array, Array]:
    largest = log_joint.max(axis=0)
    log_joint -= largest
    np.exp(log_joint, out=log_joint)
    return log_joint.sum(axis=0), largest
