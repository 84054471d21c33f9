"""Ellipsoids of equal volume and shape, each with its own orientation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.structures._base import (
    Array,
    CovarianceStructure,
    finite,
    inverse_of_precisions,
    sufficient_in_common,
)
from emlearn.distributions.gaussian.structures._full import (
    FullCovariance,
    from_triangles,
    to_triangles,
)

# Eigenvalues are equal up to this relative difference.
_SAME = 1e-6


class RotatedCovariance(FullCovariance):
    """Sigma_k = D_k C D_k', with C diagonal: shape (n_components, n_features, n_features).

    All components have the same eigenvalues C, in ascending order; each has its own
    eigenvectors D_k. This is EEV of mclust: equal volume, equal shape, variable orientation.
    The model changes its form if columns are rescaled.

    In the M-step D_k are the eigenvectors of the scatter of component k, and C is the sum
    of the eigenvalues of all scatters divided by the sum of the weights [1]_. (A component
    of fewer rows than features has axes without any scatter; which of the smaller
    eigenvalues belongs to which of these makes no difference to the likelihood.)

    The coordinates are matrix logarithms of the covariances: K d (d + 1) / 2 of them,
    which is more than there are free parameters. Any symmetric matrices are logarithms of
    covariances; the eigenvectors of these and the geometric means of their eigenvalues
    are in the structure. (Angles would be as many as there are parameters, but are not
    continuous where two of the eigenvalues are equal. The covariances are.)

    References
    ----------
    .. [1] G. Celeux and G. Govaert (1995). "Gaussian parsimonious clustering models".
       Pattern Recognition 28(5), 781-793.
    """

    name = "EEV"
    scales_by_column = False

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features + n_components * n_features * (n_features - 1) // 2

    def optimism(self, weight: Array, n_features: int) -> Array:
        """None: rows of the other components hold up the volume and shape of each."""
        return np.zeros(len(weight))

    def sufficient(self, weight: Array, n_features: int) -> NDArray[np.bool_]:
        return sufficient_in_common(weight, n_features)

    def estimate(self, weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
        values, vectors = np.linalg.eigh(_scatters(weight, shift, second, ridge))
        return _compose(vectors, values.sum(axis=0) / weight.sum())

    def estimate_nonempty(
        self,
        nonempty: Array,
        weight: Array,
        shift: Array,
        second: Array,
        ridge: Array,
        before: Array,
    ) -> Array:
        """As `estimate`, but components that are not `nonempty` keep only their orientation."""
        scatters = _scatters(weight, shift, second, ridge)
        values, vectors = np.linalg.eigh(np.where(nonempty[:, None, None], scatters, before))
        return _compose(vectors, values[nonempty].sum(axis=0) / weight[nonempty].sum())

    def with_average(self, covariances: Array, k: int, weights: Array) -> Array:
        """As for any structure; all components get the mean of the volumes and shapes."""
        values, vectors = np.linalg.eigh(super().with_average(covariances, k, weights))
        return _compose(vectors, values.mean(axis=0))

    # Not entry by entry, as for the full structure: the matrices share their eigenvalues.
    part = CovarianceStructure.part

    def to_vector(self, covariances: Array) -> Array:
        values, vectors = np.linalg.eigh(covariances)
        common = np.maximum(values.mean(axis=0), np.finfo(np.float64).tiny)
        return to_triangles(_compose(vectors, np.log(common)))

    def from_vector(self, vector: Array, like: Array) -> Array:
        values, vectors = np.linalg.eigh(from_triangles(vector, like.shape[-1]))
        with np.errstate(over="ignore", under="ignore"):
            common = finite(np.exp(values.mean(axis=0)))
        covariances = _compose(vectors, common)
        self.factor(covariances, like.shape[-1], 0.0)
        return covariances

    def covariance_from_precision(self, precision: Array, n_features: int) -> Array:
        values, vectors = np.linalg.eigh(inverse_of_precisions(precision))
        common = values.mean(axis=0)
        if not (np.abs(values - common) <= _SAME * common).all():
            raise ValueError(
                'With covariance_type="EEV" the matrices of precisions_init must have the '
                "same eigenvalues: the components share volume and shape."
            )
        return _compose(vectors, common)


def _scatters(weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
    """Sums of squares and products about the means, with the ridge in them."""
    scatters = second - weight[:, None, None] * (shift[:, :, None] * shift[:, None, :])
    n_components, n_features = shift.shape
    scatters.reshape(n_components, -1)[:, :: n_features + 1] += weight[:, None] * ridge
    return scatters


def _compose(vectors: Array, values: Array) -> Array:
    """Symmetric matrices with the given eigenvectors and common eigenvalues."""
    matrices: Array = (vectors * values) @ vectors.transpose(0, 2, 1)
    return 0.5 * (matrices + matrices.transpose(0, 2, 1))
