"""Factor analysis of a known covariance: maximum of the likelihood over loadings and noise.

For given noise psi, the best loadings are those of the leading eigenvectors of
``inv(sqrt(psi)) S inv(sqrt(psi))``; the likelihood with these is a function of psi alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.factor_profile import (
    Effort,
    Point,
    evaluate,
    loadings_at,
    minimize,
    slopes,
)
from emlearn.engine import DegenerateModelError

Array = NDArray[np.float64]

# Largest number of steps, and the expected gain of the last of them.
_NEWTON, _GAIN = 50, 1e-14
# Noise below this part of the variance may be on its way to 0.
_SMALL = 1e-2
# Smallest part at a maximum below which there may be better ones, and most columns for which
# each is tried.
_SUSPICIOUS, _EACH_COLUMN = 0.05, 40


def leading(matrix: Array, n: int) -> tuple[Array, Array]:
    """Largest eigenvalues in decreasing order, and their vectors."""
    values, vectors = np.linalg.eigh(matrix)
    return values[: -n - 1 : -1], vectors[:, : -n - 1 : -1]


def principal_solution(values: Array, vectors: Array, total: float, d: int) -> tuple[Array, Array]:
    """Closed form of Tipping and Bishop: what the leading eigenvalues leave is noise."""
    least = 1e-12 * total / d
    if values.size == d:
        # As many factors as columns: all values up to the smallest are equally likely.
        noise = max(0.5 * float(values.min()), least)
    else:
        noise = max((total - float(values.sum())) / (d - values.size), least)
    loadings = vectors * np.sqrt(np.maximum(values - noise, 0.0))
    return loadings, np.full(d, noise)


def first_noise(matrix: Array, n_factors: int, smallest: Array) -> Array:
    """Variances that the other columns leave of each, a little less (Joereskog 1967)."""
    d, variance = len(matrix), np.diagonal(matrix)
    regular = matrix + np.diag(1e-6 * variance)
    try:
        left = 1.0 / np.diagonal(np.linalg.inv(regular))
    except np.linalg.LinAlgError:
        left = 0.5 * variance
    left = np.where(np.isfinite(left) & (left > 0.0), left, 0.5 * variance)
    low = np.maximum(smallest, 1e-3 * variance)
    bounded: Array = np.clip((1.0 - 0.5 * n_factors / d) * left, low, variance)
    return bounded


def profile_maximum(
    matrix: Array,
    n_factors: int,
    smallest: Array,
    noise: Array | None = None,
    max_steps: int = _NEWTON,
) -> tuple[Array, Array]:
    """Maximum of the likelihood over the noise, with the best loadings for each noise.

    Newton's method in the logarithms of the noise, within the least variances; see
    `emlearn.distributions.gaussian.factor_profile`.

    Parameters
    ----------
    matrix : ndarray of shape (n_features, n_features)
        Covariance or correlation.
    n_factors : int
        Number of factors.
    smallest : ndarray of shape (n_features,)
        Least variances of the noise.
    noise : ndarray of shape (n_features,), default=None
        Where to start.
    max_steps : int, default=50
        Largest number of steps, none of which lowers the likelihood.

    Returns
    -------
    loadings : ndarray of shape (n_features, n_factors)
        Loadings.
    noise : ndarray of shape (n_features,)
        Variances of the noise.
    """
    if noise is None:
        noise = first_noise(matrix, n_factors, smallest)
    effort = Effort(_GAIN, max_steps)
    loadings, left, _ = _maxima(matrix, n_factors, smallest, np.array([noise]), effort)
    return loadings[0], left[0]


def _maxima(
    matrix: Array, n_factors: int, smallest: Array, noise: Array, effort: Effort
) -> tuple[Array, Array, Array]:
    """Maxima from several starts: loadings, noise, and minus two log-likelihoods of a row."""
    if not np.isfinite(matrix).all():
        raise DegenerateModelError("the covariance of the rows is not finite")
    low = np.broadcast_to(np.log(smallest), noise.shape)
    matrices = np.broadcast_to(matrix, (len(noise), *matrix.shape))
    start = np.maximum(np.log(np.maximum(noise, smallest)), low)
    x, point = minimize(matrices, n_factors, start, low, np.full(low.shape, np.inf), effort)
    x, point = _at_bounds(matrices, n_factors, x, point, low)
    return loadings_at(x, point, n_factors), np.exp(x), point.value


def best_of_starts(matrix: Array, n_factors: int, smallest: Array) -> tuple[Array, Array]:
    """The best of the maxima from several starts; see `profile_maximum`.

    If the noise of a column nearly vanishes at the first maximum, there may be better ones where
    it is that of another column: then each column is tried.
    """
    variance = np.diagonal(matrix).copy()
    first = profile_maximum(matrix, n_factors, smallest)
    if (first[1] / variance).min() >= _SUSPICIOUS or len(matrix) > _EACH_COLUMN:
        return first
    small = np.where(np.eye(len(matrix), dtype=bool), _SMALL, 1.0) * variance
    starts = np.stack([first_noise(matrix, n_factors, smallest), variance, *small])
    effort = Effort(_GAIN, _NEWTON)
    loadings, noise, losses = _maxima(matrix, n_factors, smallest, starts, effort)
    # Equal maxima differ by rounding: the first counts.
    limit = losses.min() + 1e-10 * max(1.0, abs(float(losses.min())))
    best = int(np.flatnonzero(losses <= limit)[0])
    return loadings[best], noise[best]


def _at_bounds(
    matrices: Array, n_factors: int, x: Array, point: Point, low: Array
) -> tuple[Array, Point]:
    """With noise that vanishes at its least value, where its last steps would gain nothing."""
    variance = np.diagonal(matrices, axis1=1, axis2=2)
    small = (x > low) & (x < np.log(_SMALL * variance))
    small &= slopes(point, n_factors)[0] >= 0.0
    if not small.any():
        return x, point
    moved = np.where(small, low, x)
    trial = evaluate(matrices, moved, n_factors)
    fine = trial.value <= point.value
    parts = [
        np.where(fine.reshape(-1, *[1] * (new.ndim - 1)), new, old)
        for new, old in zip(trial, point, strict=True)
    ]
    return np.where(fine[:, None], moved, x), Point(*parts)
