"""One covariance matrix shared by all components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.structures._base import (
    Array,
    CovarianceFactor,
    CovarianceStructure,
    cholesky_factor,
    inverse_of_precisions,
    sufficient_in_common,
)
from emlearn.distributions.gaussian.structures._full import (
    FullCovariance,
    from_triangles,
    inverse_transpose,
    to_triangles,
    whitened_norm,
)
from emlearn.engine.parameters import Part, Symmetric


class TiedCovariance(CovarianceStructure):
    """Sigma_k = Sigma: shape (n_features, n_features).

    The quadratic term is the same for all components, so the moment form has no
    moments: responsibilities depend on x alone, and the total scatter of the data is
    the same in every iteration.
    """

    name = "tied"
    cluster_shape = "tied"
    is_shared = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_features, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def sufficient(self, weight: Array, n_features: int) -> NDArray[np.bool_]:
        return sufficient_in_common(weight, n_features)

    def estimate(self, weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
        covariance: Array = second - (shift.T * weight).dot(shift)
        covariance /= weight.sum()
        covariance.reshape(-1)[:: len(ridge) + 1] += ridge
        return covariance

    def estimate_nonempty(
        self,
        nonempty: Array,
        weight: Array,
        shift: Array,
        second: Array,
        ridge: Array,
        before: Array,
    ) -> Array:
        return self.estimate(weight, shift, second, ridge)

    def with_average(self, covariances: Array, k: int, weights: Array) -> Array:
        return covariances

    def factor(self, covariances: Array, n_features: int, floor: float) -> CovarianceFactor:
        precision_cholesky, log_det, diagonal = cholesky_factor(covariances[None], floor, tied=True)
        return CovarianceFactor(precision_cholesky[0], log_det, diagonal)

    def n_moments(self, n_features: int) -> int:
        return 0

    def moments(self, x: Array, out: Array) -> None:
        """There are none."""

    def natural(self, factor: CovarianceFactor, means: Array) -> tuple[Array, Array]:
        precision_cholesky = factor.precision_cholesky
        return means.dot(precision_cholesky).dot(precision_cholesky.T), np.empty((len(means), 0))

    def unpack(self, moments: Array, n_features: int) -> Array:
        return moments

    def squared_distance(self, z: Array, factor: CovarianceFactor, k: int) -> Array:
        return whitened_norm(z, factor.precision_cholesky)

    def new_scatter(self, n_components: int, n_features: int) -> Array:
        return np.zeros((n_features, n_features))

    def scatter(self, z: Array, sqrt_responsibility: Array, k: int, out: Array) -> Array:
        z *= sqrt_responsibility
        out += z @ z.T
        return z @ sqrt_responsibility

    def kernel_cholesky(self, factor: CovarianceFactor, shape: tuple[int, int]) -> Array:
        precision_cholesky: Array = np.repeat(factor.precision_cholesky[None], shape[0], axis=0)
        return precision_cholesky

    def from_kernel(self, second: Array) -> Array:
        total: Array = second.sum(axis=0)
        return total

    def to_vector(self, covariances: Array) -> Array:
        """The triangle of the covariance."""
        return to_triangles(covariances)

    def from_vector(self, vector: Array, like: Array) -> Array:
        covariance: Array = from_triangles(vector, len(like))[0]
        self.factor(covariance, len(like), 0.0)
        return covariance

    def part(self, shape: tuple[int, int]) -> Part:
        return Symmetric(("feature", "feature"))

    def score(self, weight: Array, second: Array, factor: CovarianceFactor) -> Array:
        root = factor.precision_cholesky
        inner = root.T @ second @ root - weight.sum() * np.eye(len(root))
        gradient: Array = 0.5 * root @ inner @ root.T
        return gradient

    def rescale(self, covariances: Array, scale: Array) -> Array:
        return covariances * scale[:, None] * scale

    def precision(self, precision_cholesky: Array) -> Array:
        return precision_cholesky @ precision_cholesky.T

    def rescale_cholesky(self, precision_cholesky: Array, scale: Array) -> Array:
        return np.triu(precision_cholesky / scale[:, None])

    def factor_from_cholesky(
        self, precision_cholesky: Array, shape: tuple[int, int]
    ) -> CovarianceFactor:
        return (
            FullCovariance()
            .factor_from_cholesky(precision_cholesky[None], shape)
            ._replace(precision_cholesky=precision_cholesky)
        )

    def conditional_deviation(self, precision_cholesky: Array, shape: tuple[int, int]) -> Array:
        deviation: Array = np.tile(1.0 / np.abs(precision_cholesky).max(axis=1), (shape[0], 1))
        return deviation

    def covariance_from_precision(self, precision: Array, n_features: int) -> Array:
        return inverse_of_precisions(precision[None])[0]

    def matrix(self, covariances: Array, k: int, n_features: int) -> Array:
        return covariances

    def covariance_cholesky(self, precision_cholesky: Array, k: int, n_features: int) -> Array:
        return inverse_transpose(precision_cholesky)
