"""From log-joint densities to responsibilities, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels import compiled

Array = NDArray[Any]


def to_responsibilities(log_joint: Array, weight: Array | None) -> float:
    """Turn log-joint densities into weighted responsibilities.

    Parameters
    ----------
    log_joint : ndarray of shape (n_components, n_rows)
        log(weight_k) + log-density of each row, C-contiguous; -inf for components that are
        excluded. Overwritten by the responsibilities multiplied by the weights of the rows.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows in float64; None means 1 each.

    Returns
    -------
    log_likelihood : float
        Weighted sum of the log-densities of the rows. A row of weight 0 does not count, even
        where its log-density is -inf.
    """
    if compiled is not None:
        return float(compiled.responsibilities(log_joint, weight, None))
    density = _normalize(log_joint)
    if weight is None:
        return float(density.sum())
    log_joint *= weight.astype(log_joint.dtype, copy=False)
    return float(weight @ np.where(weight != 0.0, density, 0.0))


def row_log_density(log_joint: Array) -> Array:
    """Log-density of each row in float64; `log_joint` becomes the responsibilities."""
    if compiled is None or not log_joint.flags.c_contiguous:
        return _normalize(log_joint)
    density = np.empty(log_joint.shape[1])
    compiled.responsibilities(log_joint, None, density)
    return density


def _normalize(log_joint: Array) -> Array:
    largest = log_joint.max(axis=0)
    # A row that no component can have made: its responsibilities are 0, its density too.
    finite = np.where(largest == -np.inf, 0.0, largest).astype(log_joint.dtype, copy=False)
    log_joint -= finite
    np.exp(log_joint, out=log_joint)
    total = log_joint.sum(axis=0)
    log_joint /= np.where(total > 0.0, total, 1.0)
    with np.errstate(divide="ignore"):
        density: Array = np.log(total, dtype=np.float64) + finite
    return density
