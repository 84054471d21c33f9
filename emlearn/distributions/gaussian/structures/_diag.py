"""Independent features within each component."""

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


class DiagonalCovariance(CovarianceStructure):
    """Sigma_k diagonal: shape (n_components, n_features)."""

    name = "diag"
    cluster_shape = "diag"
    is_diagonal = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def optimism(self, weight: Array, n_features: int) -> Array:
        return expected_optimism(2.0 * n_features * weight, weight - 3.0)

    def estimate(self, weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
        variances: Array = second / weight[:, None] - np.square(shift) + ridge
        return variances

    def factor(self, covariances: Array, n_features: int, floor: float) -> CovarianceFactor:
        if not covariances.min() > floor * floor:
            raise singular(int(np.argmin((covariances > floor * floor).all(axis=1))))
        precision = 1.0 / covariances
        return CovarianceFactor(np.sqrt(precision), np.log(covariances).sum(axis=1), precision)

    def n_moments(self, n_features: int) -> int:
        return n_features

    def moments(self, x: Array, out: Array) -> None:
        np.square(x, out=out)

    def natural(self, factor: CovarianceFactor, means: Array) -> tuple[Array, Array]:
        precision = factor.precision_diagonal
        return precision * means, -0.5 * precision

    def unpack(self, moments: Array, n_features: int) -> Array:
        return moments

    def squared_distance(self, z: Array, factor: CovarianceFactor, k: int) -> Array:
        np.square(z, out=z)
        distance: Array = factor.precision_diagonal[k].astype(z.dtype, copy=False) @ z
        return distance

    def new_scatter(self, n_components: int, n_features: int) -> Array:
        return np.zeros((n_components, n_features))

    def scatter(self, z: Array, sqrt_responsibility: Array, k: int, out: Array) -> Array:
        responsibility = np.square(sqrt_responsibility)
        first: Array = z @ responsibility
        np.square(z, out=z)
        out[k] += z @ responsibility
        return first

    def kernel_cholesky(self, factor: CovarianceFactor, shape: tuple[int, int]) -> Array:
        return factor.precision_cholesky

    def from_kernel(self, second: Array) -> Array:
        return second

    def to_vector(self, covariances: Array) -> Array:
        """Variances."""
        return covariances.flatten()

    def from_vector(self, vector: Array, like: Array) -> Array:
        covariances = finite(vector).reshape(like.shape).copy()
        self.factor(covariances, like.shape[1], 0.0)
        return covariances

    def part(self, shape: tuple[int, int]) -> Part:
        return Entries(("component", "feature"), lower=0.0)

    def score(self, weight: Array, second: Array, factor: CovarianceFactor) -> Array:
        precision = factor.precision_diagonal
        gradient: Array = 0.5 * precision * (precision * second - weight[:, None])
        return gradient

    def rescale(self, covariances: Array, scale: Array) -> Array:
        return covariances * scale * scale

    def precision(self, precision_cholesky: Array) -> Array:
        return np.square(precision_cholesky)

    def rescale_cholesky(self, precision_cholesky: Array, scale: Array) -> Array:
        return precision_cholesky / scale

    def factor_from_cholesky(
        self, precision_cholesky: Array, shape: tuple[int, int]
    ) -> CovarianceFactor:
        log_det = -2.0 * np.log(precision_cholesky).sum(axis=1)
        return CovarianceFactor(precision_cholesky, log_det, np.square(precision_cholesky))

    def conditional_deviation(self, precision_cholesky: Array, shape: tuple[int, int]) -> Array:
        deviation: Array = 1.0 / precision_cholesky
        return deviation

    def covariance_from_precision(self, precision: Array, n_features: int) -> Array:
        if not (precision > 0.0).all():
            raise ValueError("precisions_init must be positive.")
        return 1.0 / precision

    def matrix(self, covariances: Array, k: int, n_features: int) -> Array:
        return np.diag(covariances[k])

    def covariance_cholesky(self, precision_cholesky: Array, k: int, n_features: int) -> Array:
        return np.diag(1.0 / precision_cholesky[k])
