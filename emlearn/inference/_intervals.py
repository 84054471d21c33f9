"""Confidence intervals from replicates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

METHODS = ("percentile", "bca", "basic", "normal")


def percentile_interval(replicates: Array, level: float) -> Array:
    """Quantiles of the replicates (n, m): shape (m, 2)."""
    tail = (1.0 - level) / 2.0
    return np.quantile(replicates, [tail, 1.0 - tail], axis=0).T


def basic_interval(estimate: Array, replicates: Array, level: float) -> Array:
    """The quantiles of replicate - estimate, subtracted from the estimate."""
    return np.asarray(2.0 * estimate[:, None] - percentile_interval(replicates, level)[:, ::-1])


def normal_interval(estimate: Array, replicates: Array, level: float) -> Array:
    """Estimate without its bias, and quantiles of the normal distribution."""
    half = ndtri(0.5 + level / 2.0) * replicates.std(axis=0, ddof=1)
    center = 2.0 * estimate - replicates.mean(axis=0)
    return np.stack((center - half, center + half), axis=1)


def bca_interval(estimate: Array, replicates: Array, acceleration: Array, level: float) -> Array:
    """Quantiles at levels corrected for bias and for a standard error that depends on the truth."""
    n = len(replicates)
    below = (replicates < estimate).sum(axis=0) + 0.5 * (replicates == estimate).sum(axis=0)
    # If all replicates are on one side, the correction is only known to be at least this large.
    shift = ndtri(np.clip(below / n, 0.5 / n, 1.0 - 0.5 / n))
    tail = (1.0 - level) / 2.0
    ends = np.empty((len(estimate), 2))
    for side, quantile in enumerate((ndtri(tail), ndtri(1.0 - tail))):
        moved = shift + quantile
        # Where the correction has a pole, the level is at the end of its range.
        scale = np.maximum(1.0 - acceleration * moved, np.finfo(np.float64).tiny)
        with np.errstate(over="ignore"):
            levels = ndtr(shift + moved / scale)
        ends[:, side] = [np.quantile(own, at) for own, at in zip(replicates.T, levels, strict=True)]
    return ends


def acceleration_of(left_out: Array) -> Array:
    """Acceleration, a sixth of the skewness of the jackknife values (n_parts, m)."""
    influence = left_out.mean(axis=0) - left_out
    largest = np.abs(influence).max(axis=0)
    scaled = influence / np.where(largest > 0.0, largest, 1.0)
    square = (scaled**2).sum(axis=0)
    skew = (scaled**3).sum(axis=0)
    # Scaled, the largest influence is 1, so that a sum of squares below 1 is 0.
    return np.asarray(skew / (6.0 * np.maximum(square, 1.0) ** 1.5))


def check_level(level: Any) -> float:
    """A confidence level, between 0 and 1."""
    real = isinstance(level, (float, int, np.floating)) and not isinstance(level, bool)
    if not real or not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, got {level!r}.")
    return float(level)
