"""One variance for all features of a component."""

from __future__ import annotations

import numpy as np

from emlearn.distributions.gaussian.structures._base import (
    Array,
    CovarianceFactor,
    CovarianceStructure,
    expected_optimism,
    finite,
    singular,
)
from emlearn.engine.parameters import Entries, Part


class SphericalCovariance(CovarianceStructure):
    """Sigma_k = v_k I: shape (n_components,)."""

    name = "spherical"
    cluster_shape = "spherical"
    is_diagonal = True
    scales_by_column = False

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components

    def optimism(self, weight: Array, n_features: int) -> Array:
        d = n_features
        return expected_optimism(d * (d + 1) * weight, d * (weight - 1.0) - 2.0)

    def estimate(self, weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
        total = second / weight - np.square(shift).sum(axis=1)
        variances: Array = total / len(ridge) + ridge.mean()
        return variances

    def factor(self, covariances: Array, n_features: int, floor: float) -> CovarianceFactor:
        if not covariances.min() > floor * floor:
            raise singular(int(np.argmin(covariances > floor * floor)))
        precision = np.repeat(1.0 / covariances[:, None], n_features, axis=1)
        return CovarianceFactor(
            np.sqrt(precision[:, 0]), n_features * np.log(covariances), precision
        )

    def n_moments(self, n_features: int) -> int:
        return 1

    def moments(self, x: Array, out: Array) -> None:
        np.einsum("ij,ij->j", x, x, out=out[0])

    def natural(self, factor: CovarianceFactor, means: Array) -> tuple[Array, Array]:
        precision = factor.precision_diagonal
        return precision * means, -0.5 * precision[:, :1]

    def unpack(self, moments: Array, n_features: int) -> Array:
        return moments[:, 0]

    def squared_distance(self, z: Array, factor: CovarianceFactor, k: int) -> Array:
        np.square(z, out=z)
        distance: Array = z.sum(axis=0) * z.dtype.type(factor.precision_diagonal[k, 0])
        return distance

    def new_scatter(self, n_components: int, n_features: int) -> Array:
        return np.zeros(n_components)

    def scatter(self, z: Array, sqrt_responsibility: Array, k: int, out: Array) -> Array:
        z *= sqrt_responsibility
        out[k] += np.vdot(z, z)
        first: Array = z @ sqrt_responsibility
        return first

    def kernel_cholesky(self, factor: CovarianceFactor, shape: tuple[int, int]) -> Array:
        precision_cholesky: Array = np.repeat(factor.precision_cholesky[:, None], shape[1], axis=1)
        return precision_cholesky

    def from_kernel(self, second: Array) -> Array:
        total: Array = second.sum(axis=1)
        return total

    def to_vector(self, covariances: Array) -> Array:
        """Variances."""
        return covariances.copy()

    def from_vector(self, vector: Array, like: Array) -> Array:
        covariances = finite(vector).copy()
        self.factor(covariances, 1, 0.0)
        return covariances

    def part(self, shape: tuple[int, int]) -> Part:
        return Entries(("component",), lower=0.0)

    def score(self, weight: Array, second: Array, factor: CovarianceFactor) -> Array:
        precision = factor.precision_diagonal[:, 0]
        n_features = factor.precision_diagonal.shape[1]
        gradient: Array = 0.5 * precision * (precision * second - n_features * weight)
        return gradient

    def rescale(self, covariances: Array, scale: Array) -> Array:
        return covariances * scale[0] * scale[0]

    def precision(self, precision_cholesky: Array) -> Array:
        return np.square(precision_cholesky)

    def rescale_cholesky(self, precision_cholesky: Array, scale: Array) -> Array:
        return precision_cholesky / scale[0]

    def factor_from_cholesky(
        self, precision_cholesky: Array, shape: tuple[int, int]
    ) -> CovarianceFactor:
        n_features = shape[1]
        diagonal = np.repeat(np.square(precision_cholesky)[:, None], n_features, axis=1)
        return CovarianceFactor(
            precision_cholesky, -2.0 * n_features * np.log(precision_cholesky), diagonal
        )

    def conditional_deviation(self, precision_cholesky: Array, shape: tuple[int, int]) -> Array:
        deviation: Array = np.repeat(1.0 / precision_cholesky[:, None], shape[1], axis=1)
        return deviation

    def covariance_from_precision(self, precision: Array, n_features: int) -> Array:
        if not (precision > 0.0).all():
            raise ValueError("precisions_init must be positive.")
        return 1.0 / precision

    def matrix(self, covariances: Array, k: int, n_features: int) -> Array:
        return covariances[k] * np.eye(n_features)

    def covariance_cholesky(self, precision_cholesky: Array, k: int, n_features: int) -> Array:
        return np.eye(n_features) / precision_cholesky[k]
