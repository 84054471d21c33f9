"""Gaussian rows, with any of the covariance structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from emlearn.engine import DegenerateModelError
from emlearn.families._contract import Array, Family
from emlearn.gaussian.blocks import RowBlock, Scaling, Workspace, column_scaling
from emlearn.gaussian.kernels import CentredBound, CentredForm, GaussianStatistics
from emlearn.gaussian.structures import STRUCTURES, CovarianceStructure

# Smallest standard deviation, in scaled coordinates, that is not rounding.
_FLOOR = 64.0 * float(np.finfo(np.float64).eps)


class GaussianFrame(NamedTuple):
    """Coordinates of the arithmetic.

    Attributes
    ----------
    scaling : Scaling
        Center and scale of the columns.
    variance : ndarray of shape (n_features,)
        Variances of the scaled columns.
    """

    scaling: Scaling
    variance: Array


class GaussianParams(NamedTuple):
    """Parameters in scaled coordinates.

    Attributes
    ----------
    mean : ndarray of shape (n_components, n_features)
        Means.
    covariance : ndarray
        Covariances in the layout of the structure.
    """

    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Gaussian(Family):
    """Multivariate Gaussian rows: ``"mean"`` and ``"covariance"``.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        Structure of the covariances: a matrix each, one matrix for all, a diagonal matrix
        each, or one variance each. The one matrix of "tied" is published once for each
        component.
    alpha : float, default=0.01
        Strength of the prior of each covariance: so many pseudo-rows with the variances
        of the columns, uncorrelated (an inverse Wishart prior). The default is next to
        maximum likelihood, and keeps a covariance from becoming singular; 0 is maximum
        likelihood.
    """

    covariance_type: str = "full"
    alpha: float = 0.01

    def __post_init__(self) -> None:
        if self.covariance_type not in STRUCTURES:
            raise ValueError(
                f"covariance_type must be one of {sorted(STRUCTURES)}, got "
                f"{self.covariance_type!r}."
            )

    @property
    def structure(self) -> CovarianceStructure:
        """The structure of the covariances."""
        return STRUCTURES[self.covariance_type]

    def frame(self, X: Array, weight: Array | None = None) -> GaussianFrame:
        """See `Family`."""
        X = np.asarray(X, np.float64)
        by_column = self.structure.scales_by_column
        return GaussianFrame(*column_scaling(X, weight, by_column=by_column))

    def encode(self, X: Array, frame: GaussianFrame) -> RowBlock:
        """See `Family`."""
        X = np.asarray(X, np.float64)
        block = RowBlock(X, frame.scaling, None, Workspace())
        return _resident(block, block.augment(np.empty((1 + X.shape[1], len(X)))))

    def take(self, rows: RowBlock, index: slice | Array) -> RowBlock:
        """See `Family`."""
        part = RowBlock(rows.rows[index], rows.scaling, None, rows.workspace)
        return _resident(part, rows.augmented()[:, index])

    def neutral(self, n_components: int, frame: GaussianFrame) -> GaussianParams:
        """Mean and variances of the columns."""
        spread = np.where(frame.variance > 0.0, frame.variance, 1.0)
        shape = (n_components, len(spread))
        second = self._add_rows(self.structure.new_scatter(*shape), spread, n_components)
        weight, zero = np.ones(n_components), np.zeros(shape)
        covariance = self.structure.estimate(weight, zero, second, np.zeros(len(spread)))
        return GaussianParams(zero, covariance)

    def bind(self, params: GaussianParams, frame: GaussianFrame) -> CentredBound:
        """See `Family`."""
        n_features = params.mean.shape[1]
        factor = self.structure.factor(params.covariance, n_features, _FLOOR)
        constant = frame.scaling.log_jacobian - 0.5 * n_features * np.log(2.0 * np.pi)
        constants = np.broadcast_to(constant - 0.5 * factor.log_det, len(params.mean))
        return CentredForm(self.structure).bind(params.mean, factor, constants, np.float64)

    def log_density(self, rows: RowBlock, bound: CentredBound, out: Array) -> None:
        """See `Family`."""
        density = np.empty(out.shape)
        bound.log_density(rows, density, common=True)
        out += density

    def statistics(
        self, rows: RowBlock, responsibilities: Array, bound: CentredBound
    ) -> GaussianStatistics:
        """Weight, and first and second moments about the means bound."""
        return bound.statistics(rows, responsibilities)

    def estimate(
        self, statistics: GaussianStatistics, params: GaussianParams, frame: GaussianFrame
    ) -> GaussianParams:
        """See `Family`."""
        structure, weight = self.structure, statistics.weight
        alive = weight > 10.0 * np.finfo(np.float64).eps * weight.sum()
        shift = statistics.first / np.where(alive, weight, 1.0)[:, None] * alive[:, None]
        second = self._add_rows(statistics.second.copy(), self.alpha * frame.variance, len(weight))
        total = weight + self.alpha
        # Scatter about the new means, the pseudo-rows being about them already.
        about = shift * np.sqrt(weight / np.where(total > 0.0, total, 1.0))[:, None]
        ridge = np.zeros(shift.shape[1])
        if self.alpha > 0.0 or alive.all():
            covariance = structure.estimate(total, about, second, ridge)
        else:
            covariance = structure.estimate_alive(
                alive, total, about, second, ridge, params.covariance
            )
        return GaussianParams(params.mean + shift, covariance)

    def _add_rows(self, second: Array, variance: Array, n_components: int) -> Array:
        """Add to each component uncorrelated columns with these sums of squares."""
        for k in range(n_components):
            self.structure.scatter(np.diag(np.sqrt(variance)), np.ones(len(variance)), k, second)
        return second

    def log_prior(self, params: GaussianParams, frame: GaussianFrame) -> float:
        """See `Family`."""
        if self.alpha == 0.0:
            return 0.0
        n_components, n_features = params.mean.shape
        factor = self.structure.factor(params.covariance, n_features, _FLOOR)
        excess = factor.log_det + factor.precision_diagonal @ frame.variance
        return -0.5 * self.alpha * float(np.broadcast_to(excess, n_components).sum())

    def n_parameters(self, params: GaussianParams, frame: GaussianFrame) -> int:
        """See `Family`."""
        return params.mean.size + self.structure.n_parameters(*params.mean.shape)

    def publish(self, params: GaussianParams, frame: GaussianFrame) -> dict[str, Array]:
        """See `Family`."""
        covariance = self.structure.rescale(params.covariance, frame.scaling.scale)
        if self.structure.is_shared:
            covariance = np.repeat(covariance[None], len(params.mean), axis=0)
        return {"mean": frame.scaling.to_units(params.mean), "covariance": covariance}

    def sample(
        self,
        params: GaussianParams,
        frame: GaussianFrame,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        n_components, n_features = params.mean.shape
        rows = rng.standard_normal((len(labels), n_features))
        for k in range(n_components):
            own = labels == k
            root = np.linalg.cholesky(self.structure.matrix(params.covariance, k, n_features))
            rows[own] = params.mean[k] + rows[own] @ root.T
        return frame.scaling.to_units(rows)

    def to_vector(self, params: GaussianParams, frame: GaussianFrame) -> Array:
        """Means and raw covariances."""
        return np.concatenate([params.mean.ravel(), params.covariance.ravel()])

    def from_vector(
        self, vector: Array, like: GaussianParams, frame: GaussianFrame
    ) -> GaussianParams:
        """See `Family`."""
        mean, covariance = np.split(vector, [like.mean.size])
        if not np.isfinite(vector).all():
            raise DegenerateModelError("the parameters are not finite")
        return GaussianParams(
            mean.reshape(like.mean.shape), covariance.reshape(like.covariance.shape)
        )


def _resident(block: RowBlock, scaled: Array) -> RowBlock:
    return RowBlock(block.rows, block.scaling, None, block.workspace, scaled)
