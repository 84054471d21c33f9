"""Where a factor analysis starts: at the eigen-solution of its rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.factor_rows import (
    LARGEST_SQUARE,
    CompleteBlock,
    FactorData,
)

Array = NDArray[np.float64]

# Loadings that are 0 would stay so: weak factors start with this fraction of the deviations.
_NUDGE = 0.01
# Passes of the subspace iteration for wide rows, and columns more than factors.
_PASSES, _EXTRA = 8, 10
# Steps of Newton's method on the profile likelihood, gain at which they end, and largest step.
_NEWTON, _GAIN, _LONGEST = 50, 1e-14, 2.0


def start_solution(
    data: FactorData, n_factors: int, isotropic: bool, floor: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Mean, loadings and variances of the noise to start from.

    Complete rows of few columns start at the maximum of the profile likelihood; other rows at
    the leading eigenvectors of their covariance, in which missing entries are means.

    Parameters
    ----------
    data : FactorData
        The rows.
    n_factors : int
        Number of factors.
    isotropic : bool
        Whether the noise of all columns has one variance.
    floor : ndarray of shape (n_features,)
        Least variances of the noise.
    rng : Generator
        Source of randomness.
    """
    seen, square = data.moments()
    d = seen.size
    complete = all(isinstance(block, CompleteBlock) for block in data.blocks)
    mean = np.zeros(d)
    if complete:
        blocks = [block for block in data.blocks if isinstance(block, CompleteBlock)]
        mean = sum((b.sqrt_weight @ b.rows for b in blocks), np.zeros(d)) / data.weight
    variance = np.maximum(square / seen - mean * mean, np.finfo(float).tiny)
    unit = np.full(d, np.sqrt(variance.mean())) if isotropic else np.sqrt(variance)
    # Filling with means shrinks a covariance by the fraction of rows observed.
    unit_of_rows = unit * np.sqrt(seen)
    total = float((variance / unit**2).sum())
    smallest = np.maximum(floor / unit**2, 1e-12)
    if d <= LARGEST_SQUARE:
        matrix = np.zeros((d, d))
        for rows in data.weighted_rows():
            part = rows / unit_of_rows
            matrix += part.T @ part
        matrix -= np.outer(mean / unit, mean / unit)
        if isotropic:
            loadings, noise = _principal(*_top(matrix, n_factors), total, d)
        elif complete:
            loadings, noise = profile_maximum(matrix, n_factors, smallest)
        else:
            noise = _uniqueness(matrix, n_factors, smallest)
            loadings, noise = _conditional(matrix, noise, n_factors, 0.1)
    else:
        values, vectors = _subspace(data, unit_of_rows, mean / unit, n_factors, rng)
        if isotropic:
            loadings, noise = _principal(values, vectors, total, d)
        else:
            loadings = vectors * np.sqrt(np.maximum(values, 0.0))
            common = (loadings * loadings).sum(axis=1)
            loadings *= np.sqrt(np.minimum(1.0, 0.9 / common))[:, None]
            noise = 1.0 - (loadings * loadings).sum(axis=1)
    if loadings.shape[1] < n_factors:
        missing = np.zeros((d, n_factors - loadings.shape[1]))
        loadings = np.concatenate((loadings, missing), axis=1)
    weak = (loadings * loadings).sum(axis=0) < d * _NUDGE**2
    scale = _NUDGE * np.sqrt(noise)[:, None]
    loadings = loadings + scale * rng.standard_normal(loadings.shape) * weak
    return mean, loadings * unit[:, None], np.maximum(noise * unit**2, floor)


def _top(matrix: Array, n: int) -> tuple[Array, Array]:
    """Largest eigenvalues in decreasing order, and their vectors."""
    values, vectors = np.linalg.eigh(matrix)
    return values[: -n - 1 : -1], vectors[:, : -n - 1 : -1]


def _principal(values: Array, vectors: Array, total: float, d: int) -> tuple[Array, Array]:
    """Closed form of Tipping and Bishop: what the leading eigenvalues leave is noise."""
    left = max(total - float(values.sum()), 0.0)
    noise = max(left / max(1, d - values.size), 1e-12 * total / d)
    if values.size == d:
        noise = min(noise, 0.5 * float(max(values.min(), 1e-12 * total / d)))
    loadings = vectors * np.sqrt(np.maximum(values - noise, 0.0))
    return loadings, np.full(d, noise)


def _uniqueness(matrix: Array, n_factors: int, smallest: Array) -> Array:
    """Variances that the other columns leave of each, a little less (Joereskog 1967)."""
    d = len(matrix)
    regular = matrix + 1e-6 * np.eye(d)
    try:
        left = 1.0 / np.diagonal(np.linalg.inv(regular))
    except np.linalg.LinAlgError:
        left = np.full(d, 0.5)
    left = np.where(np.isfinite(left) & (left > 0.0), left, 0.5)
    bounded: Array = np.clip((1.0 - 0.5 * n_factors / d) * left, np.maximum(smallest, 1e-3), 1.0)
    return bounded


def _conditional(
    matrix: Array, noise: Array, n_factors: int, smallest: Array | float
) -> tuple[Array, Array]:
    """Best loadings for some noise, and the noise that they leave."""
    root = np.sqrt(noise)
    values, vectors = _top(matrix / np.outer(root, root), n_factors)
    loadings = root[:, None] * vectors * np.sqrt(np.maximum(values - 1.0, 0.0))
    left = np.diagonal(matrix) - (loadings * loadings).sum(axis=1)
    return loadings, np.maximum(left, smallest)


def _subspace(
    data: FactorData,
    unit_of_rows: Array,
    mean: Array,
    n_factors: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Leading eigenvalues and vectors of the covariance, from products with the rows only."""
    d = unit_of_rows.size
    k = min(n_factors, d)
    basis = np.linalg.qr(rng.standard_normal((d, min(d, k + _EXTRA))))[0]
    values = np.zeros(0)
    for _ in range(_PASSES):
        image = -mean[:, None] * (mean @ basis)
        scaled = basis / unit_of_rows[:, None]
        for rows in data.weighted_rows():
            image += rows.T @ (rows @ scaled) / unit_of_rows[:, None]
        basis, values, _ = np.linalg.svd(image, full_matrices=False)
    return values[:k], basis[:, :k]


def profile_maximum(matrix: Array, n_factors: int, smallest: Array) -> tuple[Array, Array]:
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
    point = _Profile.at(matrix, np.log(_uniqueness(matrix, n_factors, smallest)), n_factors)
    for _ in range(_NEWTON):
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
    return point.loadings, np.exp(point.log_noise)


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
        values, vectors = np.linalg.eigh(matrix / np.outer(root, root))
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

    def newton_step(self, low: Array) -> Array:
        """Step in the logarithms of the noise; those held at their least value do not move."""
        n = self.n_common
        rest, vectors = self.values[n:], self.vectors[:, n:]
        gradient = (vectors * vectors) @ (1.0 - rest)
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
        if values[0] > 1e-8 * values[-1]:
            inverse: Array = (vectors / values) @ vectors.T
            return inverse
    values = np.maximum(values, 1e-6 * values[-1])
    return np.asarray((vectors / values) @ vectors.T, dtype=np.float64)
