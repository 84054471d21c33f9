"""Where a factor analysis starts: at the eigen-solution of its rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.factor_maximum import (
    best_of_starts,
    first_noise,
    leading,
    principal_solution,
    profile_maximum,
)
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


def solves_at_once(data: FactorData) -> bool:
    """Whether the start is the maximum: complete rows of few columns."""
    complete = all(isinstance(block, CompleteBlock) for block in data.blocks)
    return complete and data.scaling.center.size <= LARGEST_SQUARE


def start_solution(
    data: FactorData,
    n_factors: int,
    isotropic: bool,
    floor: Array,
    rng: np.random.Generator,
    noise: Array | None = None,
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
    noise : ndarray of shape (n_features,), default=None
        Variances of the noise near which to look for the maximum.
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
            loadings, noise = principal_solution(*leading(matrix, n_factors), total, d)
        elif complete:
            if noise is None:
                loadings, noise = best_of_starts(matrix, n_factors, smallest)
            else:
                loadings, noise = profile_maximum(matrix, n_factors, smallest, noise / unit**2)
        else:
            noise = first_noise(matrix, n_factors, smallest)
            loadings, noise = _conditional(matrix, noise, n_factors, 0.1)
    else:
        values, vectors = _subspace(data, unit_of_rows, mean / unit, n_factors, rng)
        if isotropic:
            loadings, noise = principal_solution(values, vectors, total, d)
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


def _conditional(
    matrix: Array, noise: Array, n_factors: int, smallest: Array | float
) -> tuple[Array, Array]:
    """Best loadings for some noise, and the noise that they leave."""
    root = np.sqrt(noise)
    values, vectors = leading(matrix / np.outer(root, root), n_factors)
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
