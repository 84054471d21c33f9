"""Factor analysis of a known covariance: maximum of the likelihood over loadings and noise.

For given noise psi, the best loadings are those of the leading eigenvectors of
``inv(sqrt(psi)) S inv(sqrt(psi))``; the likelihood with these is a function of psi alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError

Array = NDArray[np.float64]

# Largest number of steps, relative gain at which they end, and largest step.
_NEWTON, _GAIN, _LONGEST = 50, 1e-14, 2.0
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

    Newton's method in the logarithms of the noise, within the least variances. Where a step
    does not help, the variances that the loadings leave (the EM step) are next.

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

    References
    ----------
    K. G. Joereskog (1967). "Some contributions to maximum likelihood factor analysis".
    Psychometrika 32(4), 443-482.

    M. R. B. Clarke (1970). "A rapidly convergent method for maximum-likelihood factor
    analysis". British Journal of Mathematical and Statistical Psychology 23(1), 43-52.
    """
    low = np.log(smallest)
    if noise is None:
        noise = first_noise(matrix, n_factors, smallest)
    point = _Profile.at(matrix, np.log(np.maximum(noise, smallest)), n_factors)
    for _ in range(max_steps):
        after = None
        step = point.newton_step(low)
        for _ in range(4):
            trial = _Profile.at(matrix, np.maximum(point.log_noise + step, low), n_factors)
            if trial.loss < point.loss:
                after = trial
                break
            step = 0.25 * step
        if after is None:
            log_noise = np.log(np.maximum(point.left(matrix), smallest))
            after = _Profile.at(matrix, log_noise, n_factors)
            if not after.loss < point.loss:
                break
        gain = point.loss - after.loss
        point = after
        if gain <= _GAIN * max(1.0, abs(point.loss)):
            break
    point = _at_bounds(point, matrix, low)
    return point.loadings, np.exp(point.log_noise)


def best_of_starts(matrix: Array, n_factors: int, smallest: Array) -> tuple[Array, Array]:
    """The best of the maxima from several starts; see `profile_maximum`.

    If the noise of a column nearly vanishes at the first maximum, there may be better ones where
    it is that of another column: then each column is tried.
    """
    variance = np.diagonal(matrix).copy()
    found = [profile_maximum(matrix, n_factors, smallest)]
    if (found[0][1] / variance).min() >= _SUSPICIOUS or len(matrix) > _EACH_COLUMN:
        return found[0]
    found.append(profile_maximum(matrix, n_factors, smallest, variance))
    for column in range(len(matrix)):
        noise = variance.copy()
        noise[column] *= _SMALL
        found.append(profile_maximum(matrix, n_factors, smallest, noise))
    losses = [_Profile.at(matrix, np.log(noise), n_factors).loss for _, noise in found]
    # Equal maxima differ by rounding: the first counts.
    limit = min(losses) + 1e-10 * max(1.0, abs(min(losses)))
    return next(one for one, loss in zip(found, losses, strict=True) if loss <= limit)


def _at_bounds(point: _Profile, matrix: Array, low: Array) -> _Profile:
    """With noise that vanishes at its least value, where its last steps would gain nothing."""
    small = (point.log_noise > low) & (point.log_noise < np.log(_SMALL * np.diagonal(matrix)))
    small &= point.gradient() >= 0.0
    if not small.any():
        return point
    trial = _Profile.at(matrix, np.where(small, low, point.log_noise), point.k)
    return trial if trial.loss <= point.loss else point


class _Profile:
    """Minus two log-likelihoods of one row, up to a constant, as a function of the noise."""

    def __init__(self, log_noise: Array, values: Array, vectors: Array, n_common: int, k: int):
        self.log_noise = log_noise
        self.values, self.vectors = values, vectors
        self.k = k
        self.n_common = n_common
        rest = values[n_common:]
        common = values[:n_common]
        self.loss = float(log_noise.sum() + np.log(common).sum() + n_common + rest.sum())

    @classmethod
    def at(cls, matrix: Array, log_noise: Array, n_factors: int) -> _Profile:
        root = np.exp(0.5 * log_noise)
        scaled = matrix / np.outer(root, root)
        if not np.isfinite(scaled).all():
            raise DegenerateModelError("the covariance of the rows is not finite")
        values, vectors = np.linalg.eigh(scaled)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        n_common = min(n_factors, int((values > 1.0).sum()))
        return cls(log_noise, values, vectors, n_common, n_factors)

    @property
    def loadings(self) -> Array:
        root = np.exp(0.5 * self.log_noise)[:, None]
        kept = np.zeros(self.k)
        kept[: self.n_common] = np.sqrt(self.values[: self.n_common] - 1.0)
        loadings: Array = root * self.vectors[:, : self.k] * kept
        return loadings

    def left(self, matrix: Array) -> Array:
        left: Array = np.diagonal(matrix) - np.square(self.loadings).sum(axis=1)
        return left

    def gradient(self) -> Array:
        """Derivatives of the loss with respect to the logarithms of the noise."""
        vectors = self.vectors[:, self.n_common :]
        gradient: Array = (vectors * vectors) @ (1.0 - self.values[self.n_common :])
        return gradient

    def newton_step(self, low: Array) -> Array:
        """Step in the logarithms of the noise; those held at their least value do not move."""
        n = self.n_common
        rest, vectors = self.values[n:], self.vectors[:, n:]
        gradient = self.gradient()
        plain = vectors @ vectors.T
        hessian = plain * (vectors * rest @ vectors.T)
        for value, vector in zip(self.values[:n], self.vectors[:, :n].T, strict=True):
            gap = np.maximum(value - rest, 1e-8 * value)
            factor = (1.0 - rest) * (value + rest) / gap
            hessian += np.outer(vector, vector) * ((vectors * factor) @ vectors.T)
        free = ~((self.log_noise <= low) & (gradient >= 0.0))
        step = np.zeros(gradient.size)
        if not free.any():
            return step
        step[free] = -_solve(hessian, plain, free) @ gradient[free]
        longest = float(np.abs(step).max())
        return step * min(1.0, _LONGEST / longest) if longest > 0.0 else step


def _solve(hessian: Array, plain: Array, free: NDArray[np.bool_]) -> Array:
    """Inverse of the second derivatives, or of their positive approximation."""
    for matrix in (hessian, plain * plain):
        block = matrix[np.ix_(free, free)]
        values, vectors = np.linalg.eigh(block)
        if values[0] > 1e-8 * values[-1] > 0.0:
            inverse: Array = (vectors / values) @ vectors.T
            return inverse
    if not values[-1] > 0.0:
        return np.zeros_like(vectors)
    values = np.maximum(values, 1e-6 * values[-1])
    return np.asarray((vectors / values) @ vectors.T, dtype=np.float64)
