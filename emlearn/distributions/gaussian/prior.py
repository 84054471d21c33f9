"""The prior of covariances: pseudo-rows, and a ridge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.forms import GaussianStatistics
from emlearn.distributions.gaussian.structures import CovarianceFactor, CovarianceStructure

Array = NDArray[np.float64]

# A component with less than this of the rows is empty.
_EMPTY = 10.0 * float(np.finfo(np.float64).eps)


class CovariancePrior(NamedTuple):
    """Prior of each covariance, conjugate to the rows.

    With strength nu, the scatter of the pseudo-rows ``P = nu T + C``, and ridge L, the
    covariances maximize, for scatter S and weight N of the rows of a component,

        -(N / 2) log|Sigma| - tr(inv(Sigma) (S + N L)) / 2
        -(nu / 2) log|Sigma| - tr(inv(Sigma) P) / 2

    which, for covariances without constraints, is at ``(S + N L + P) / (N + nu)``. The second
    line is an inverse Wishart density: nu pseudo-rows, centered at the mean of the component,
    whose scatter is P. The ridge belongs to the rows: each has the factor
    ``exp(-L_j K_jj / 2)``, with ``K = inv(Sigma)``, for each column j observed. So it grows with
    the weight of a component and changes the responsibilities, which pseudo-rows do not; and
    it adds nothing where nothing is observed.

    Attributes
    ----------
    strength : float, default=0.0
        Number of pseudo-rows, nu; 0 is maximum likelihood.
    target : ndarray of shape (n_features,) or (n_features, n_features), default=None
        T, the variances or the covariance of the pseudo-rows, in scaled coordinates.
    ridge : ndarray of shape (n_features,), default=None
        L, the variance of noise that is added to what is observed, in scaled coordinates.
    constant : ndarray of the shape of `target`, default=None
        C, a part of the scatter that does not scale with the strength.
    """

    strength: float = 0.0
    target: Array | None = None
    ridge: Array | None = None
    constant: Array | None = None

    @property
    def scatter(self) -> Array | None:
        """Scatter of the pseudo-rows, P: variances, or a matrix; None without any."""
        if self.strength == 0.0 or self.target is None:
            return self.constant
        scatter = self.strength * self.target
        if self.constant is None:
            return scatter
        if scatter.ndim == self.constant.ndim:
            return self.constant + scatter
        parts = (self.constant, scatter)
        return sum((np.diag(part) if part.ndim == 1 else part for part in parts), np.zeros(()))

    def estimate(
        self, structure: CovarianceStructure, statistics: GaussianStatistics, before: Array
    ) -> tuple[Array, Array]:
        """M-step: the shifts of the means, and the covariances.

        Parameters
        ----------
        structure : CovarianceStructure
            Structure of the covariances.
        statistics : GaussianStatistics
            Statistics about the means.
        before : ndarray
            Covariances at which the statistics were computed. Without pseudo-rows, a component
            without rows keeps its covariance.

        Returns
        -------
        shift : ndarray of shape (n_components, n_features)
            What to add to the means.
        covariances : ndarray
            Covariances, in the layout of the structure.
        """
        weight, first, second = statistics
        # Of a few numbers, this is faster in Python than in numpy.
        weights = weight.tolist()
        all_filled = min(weights) > _EMPTY * sum(weights)
        if all_filled:
            shift = first / weight[:, None]
        else:
            filled = weight > _EMPTY * weight.sum()
            shift = np.where(filled[:, None], first, 0.0) / np.where(filled, weight, 1.0)[:, None]
        scatter = self.scatter
        if scatter is None:
            ridge = np.zeros(first.shape[1]) if self.ridge is None else self.ridge
            if all_filled:
                return shift, structure.update(weight, shift, second, ridge, before)
            if not filled.any():
                return shift, before
            return shift, structure.estimate_nonempty(filled, weight, shift, second, ridge, before)
        # The pseudo-rows are about the new means already, and without a ridge.
        about = shift * np.sqrt(weight / (weight + self.strength))[:, None]
        second = second + in_layout(structure, self._added(weight, scatter))
        return shift, structure.update(
            weight + self.strength, about, second, np.zeros(first.shape[1]), before
        )

    def score(
        self,
        structure: CovarianceStructure,
        statistics: GaussianStatistics,
        factor: CovarianceFactor,
    ) -> Array:
        """Gradient of the expected objective with respect to the covariances.

        Parameters
        ----------
        structure : CovarianceStructure
            Structure of the covariances.
        statistics : GaussianStatistics
            Statistics about the means.
        factor : CovarianceFactor
            The covariances, factorized.

        Returns
        -------
        gradient : ndarray
            In the layout of the structure, as if all entries varied separately.
        """
        return structure.score(*self.with_pseudo_rows(structure, statistics), factor)

    def with_pseudo_rows(
        self, structure: CovarianceStructure, statistics: GaussianStatistics
    ) -> tuple[Array, Array]:
        """Weight, and scatter in the layout of the structure, of rows, ridge and pseudo-rows.

        Parameters
        ----------
        structure : CovarianceStructure
            Structure of the covariances.
        statistics : GaussianStatistics
            Statistics about the means.
        """
        weight, first, second = statistics
        scatter = self.scatter
        if scatter is not None or self.ridge is not None:
            nothing = np.zeros(first.shape[1])
            added = self._added(weight, nothing if scatter is None else scatter)
            second = second + in_layout(structure, added)
        return weight + self.strength, second

    def alone(self, structure: CovarianceStructure, weight: Array) -> Array | None:
        """What the covariances would be if rows had no scatter; None without a prior.

        Parameters
        ----------
        structure : CovarianceStructure
            Structure of the covariances.
        weight : ndarray of shape (n_components,)
            Rows of each component.
        """
        scatter, ridge = self.scatter, self.ridge
        if scatter is None and ridge is None:
            return None
        added = self._added(weight, np.zeros_like(ridge) if scatter is None else scatter)
        zero = np.zeros(added.shape[:2])
        total = weight + self.strength
        return structure.estimate(total, zero, in_layout(structure, added), zero[0])

    def _added(self, weight: Array, scatter: Array) -> Array:
        """Scatter of pseudo-rows and ridge for each component: (K, d), or (K, d, d)."""
        added = scatter[None]
        if self.ridge is not None:
            ridge: Array = weight[:, None] * self.ridge
            added = added + (
                ridge if scatter.ndim == 1 else ridge[:, :, None] * np.eye(len(scatter))
            )
        return np.broadcast_to(added, (len(weight), *scatter.shape))

    def log_density(
        self, structure: CovarianceStructure, factor: CovarianceFactor, shape: tuple[int, int]
    ) -> float:
        """Log-density of covariances, without the ridge: at most 0, which is at P / nu.

        Parameters
        ----------
        structure : CovarianceStructure
            Structure of the covariances.
        factor : CovarianceFactor
            Their factorization.
        shape : tuple of int
            Numbers of components and of features.
        """
        scatter = self.scatter
        if scatter is None:
            return 0.0
        n_components, n_features = shape
        if scatter.ndim == 2 and not structure.is_diagonal:
            precision_cholesky = structure.kernel_cholesky(factor, shape)
            trace = np.einsum("kij,kij->k", precision_cholesky, scatter @ precision_cholesky)
            log_det = float(np.linalg.slogdet(scatter)[1])
        else:
            variances = np.diagonal(scatter) if scatter.ndim == 2 else scatter
            trace = factor.precision_diagonal @ variances
            log_det = float(np.log(variances).sum())
        excess = trace
        if self.strength > 0.0:
            level = log_det - n_features * (np.log(self.strength) - 1.0)
            excess = trace + self.strength * (factor.log_det - level)
        return -0.5 * float(np.broadcast_to(excess, n_components).sum())


def in_layout(structure: CovarianceStructure, scatter: Array) -> Array:
    """Scatters, (n_components, n_features) or of matrices, in the layout of a structure."""
    if structure.is_diagonal:
        if scatter.ndim == 3:
            scatter = np.diagonal(scatter, axis1=1, axis2=2)
        return structure.from_kernel(scatter)
    if scatter.ndim == 2:
        scatter = scatter[:, :, None] * np.eye(scatter.shape[1])
    return structure.from_kernel(scatter)
