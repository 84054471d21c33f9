"""A separate covariance matrix for each component."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.linalg import solve_triangular

from emlearn.distributions.gaussian.structures._base import (
    Array,
    CovarianceFactor,
    CovarianceStructure,
    cholesky_factor,
    expected_optimism,
    finite,
    inverse_of_precisions,
)
from emlearn.engine.parameters import Part, Symmetric


@cache
def _packing(n_features: int) -> tuple[Array, Array, Array]:
    """Flat indices of the upper triangle, their coefficients, and the inverse mapping."""
    rows, columns = np.triu_indices(n_features)
    coefficient = np.where(rows == columns, -0.5, -1.0)
    position = np.empty((n_features, n_features), dtype=np.intp)
    position[rows, columns] = position[columns, rows] = np.arange(len(rows))
    return rows * n_features + columns, coefficient, position


@cache
def _lengths(n_features: int) -> Array:
    """Factors of the entries of a triangle that give it the norm of the matrix."""
    lengths: Array = np.sqrt(-2.0 * _packing(n_features)[1])
    return lengths


def to_triangles(matrices: Array) -> Array:
    """Triangles of symmetric matrices, scaled to the norm of the matrices."""
    n_features = matrices.shape[-1]
    flat = matrices.reshape(math.prod(matrices.shape[:-2]), n_features**2)
    entries = flat.take(_packing(n_features)[0], axis=1)
    vector: Array = entries * _lengths(n_features)
    return vector.ravel()


def from_triangles(vector: Array, n_features: int) -> Array:
    """Symmetric matrices from `to_triangles`; DegenerateModelError if not finite."""
    lengths = _lengths(n_features)
    entries = finite(vector).reshape(-1, len(lengths)) / lengths
    return entries.take(_packing(n_features)[2], axis=1)


def inverse_transpose(upper: Array) -> Array:
    """The lower triangular inverse of the transpose of an upper triangular matrix."""
    lower: Array = solve_triangular(upper, np.eye(len(upper)), trans="T")
    return lower


class FullCovariance(CovarianceStructure):
    """Sigma_k unconstrained: shape (n_components, n_features, n_features)."""

    name = "full"

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components, n_features, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def optimism(self, weight: Array, n_features: int) -> Array:
        d = n_features
        return expected_optimism(weight * d * (d + 3), 2.0 * (weight - d - 2))

    def prefers_whitening(self, n_components: int, n_features: int) -> bool:
        if n_features < 16:
            return False
        # Nanoseconds a row on one core, fitted to measurements.
        whitened = n_components * n_features * (6.5 + 0.15 * n_features)
        moments = (1 + n_features + self.n_moments(n_features)) * (5.0 + 0.27 * n_components)
        return whitened < 1.2 * moments

    def estimate(self, weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
        covariances = second / weight[:, None, None]
        covariances -= shift[:, :, None] * shift[:, None, :]
        n_components, n_features = shift.shape
        covariances.reshape(n_components, -1)[:, :: n_features + 1] += ridge
        return covariances

    def factor(self, covariances: Array, n_features: int, floor: float) -> CovarianceFactor:
        return cholesky_factor(covariances, floor)

    def n_moments(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def moments(self, x: Array, out: Array) -> None:
        start = 0
        for i in range(len(x)):
            stop = start + len(x) - i
            np.multiply(x[i], x[i:], out=out[start:stop])
            start = stop

    def natural(self, factor: CovarianceFactor, means: Array) -> tuple[Array, Array]:
        precision_cholesky = factor.precision_cholesky
        precision = precision_cholesky @ precision_cholesky.transpose(0, 2, 1)
        upper, coefficient, _ = _packing(means.shape[1])
        linear = (precision @ means[:, :, None])[:, :, 0]
        return linear, precision.reshape(len(means), -1).take(upper, axis=1) * coefficient

    def unpack(self, moments: Array, n_features: int) -> Array:
        return moments.take(_packing(n_features)[2], axis=1)

    def squared_distance(self, z: Array, factor: CovarianceFactor, k: int) -> Array:
        return whitened_norm(z, factor.precision_cholesky[k])

    def new_scatter(self, n_components: int, n_features: int) -> Array:
        return np.zeros((n_components, n_features, n_features))

    def scatter(self, z: Array, sqrt_responsibility: Array, k: int, out: Array) -> Array:
        z *= sqrt_responsibility
        out[k] += z @ z.T
        return z @ sqrt_responsibility

    def kernel_cholesky(self, factor: CovarianceFactor, shape: tuple[int, int]) -> Array:
        return factor.precision_cholesky

    def from_kernel(self, second: Array) -> Array:
        return second

    def to_vector(self, covariances: Array) -> Array:
        """Triangles of the covariances, in which plain M-steps are averages."""
        return to_triangles(covariances)

    def from_vector(self, vector: Array, like: Array) -> Array:
        covariances = from_triangles(vector, like.shape[-1])
        self.factor(covariances, like.shape[-1], 0.0)
        return covariances

    def part(self, shape: tuple[int, int]) -> Part:
        return Symmetric(("component", "feature", "feature"))

    def rescale(self, covariances: Array, scale: Array) -> Array:
        return covariances * scale[:, None] * scale

    def precision(self, precision_cholesky: Array) -> Array:
        return precision_cholesky @ precision_cholesky.transpose(0, 2, 1)

    def rescale_cholesky(self, precision_cholesky: Array, scale: Array) -> Array:
        return np.triu(precision_cholesky / scale[:, None])

    def factor_from_cholesky(
        self, precision_cholesky: Array, shape: tuple[int, int]
    ) -> CovarianceFactor:
        pivots = np.diagonal(precision_cholesky, axis1=1, axis2=2).copy()
        return CovarianceFactor(
            precision_cholesky,
            -2.0 * np.log(pivots).sum(axis=1),
            np.square(precision_cholesky).sum(axis=2),
        )

    def conditional_deviation(self, precision_cholesky: Array, shape: tuple[int, int]) -> Array:
        deviation: Array = 1.0 / np.abs(precision_cholesky).max(axis=2)
        return deviation

    def covariance_from_precision(self, precision: Array, n_features: int) -> Array:
        return inverse_of_precisions(precision)

    def matrix(self, covariances: Array, k: int, n_features: int) -> Array:
        return covariances[k]

    def covariance_cholesky(self, precision_cholesky: Array, k: int, n_features: int) -> Array:
        return inverse_transpose(precision_cholesky[k])


# Columns of a triangular product that are taken together.
_PANEL = 32


def whitened_norm(z: Array, precision_cholesky: Array) -> Array:
    """Squared norms of the columns of P' z, for an upper triangular P.

    Panels of P skip its zeros, which is up to half of the work. (BLAS has a
    triangular product, but its wrapper in scipy holds the interpreter's lock.)
    """
    norm = np.zeros(z.shape[1], z.dtype)
    for start in range(0, len(z), _PANEL):
        stop = start + _PANEL
        white = precision_cholesky[:stop, start:stop].T @ z[:stop]
        np.square(white, out=white)
        norm += white.sum(axis=0)
    return norm
