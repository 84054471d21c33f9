"""The Gaussian mixture as a model for the engine.

With weights pi_k, means mu_k and covariances Sigma_k, and a ridge Lambda = diag(lambda)
from the hyperparameter `reg_covar`, EM climbs

    sum_i w_i log sum_k pi_k N(x_i; mu_k, Sigma_k) exp(-tr(Lambda inv(Sigma_k)) / 2).

The last factor is the penalty under which ``S_k / N_k + Lambda`` is the exact maximiser
of the M-step: each component's log-density is replaced by its mean under noise N(0,
Lambda) added to the row. With Lambda = 0 this is the log-likelihood.

All of it is computed in the coordinates of `Scaling`; only the objective is reported in
the units of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.blocks import RowBlock
from emlearn.distributions.gaussian.forms import (
    CompiledBound,
    Form,
    GaussianStatistics,
    choose_form,
)
from emlearn.distributions.gaussian.structures import CovarianceFactor, CovarianceStructure
from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.kernels.softmax import to_responsibilities
from emlearn.mixture._data import MixtureData, prepare_rows, subset_rows
from emlearn.mixture._initialization import (
    SoftLabels,
    Start,
    distance_to_nearest,
    sample_rows,
)

Array = NDArray[Any]

#: Ridge relative to the variance of each column, where `reg_covar` is "auto".
RELATIVE_RIDGE = 1e-6

_LOG_2PI = float(np.log(2.0 * np.pi))
_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)

# Of a component that is moved: its least weight in the draw, and its covariance relative
# to the average of all.
_LIGHTEST = 1e-3
_SMALLER = 0.4


class _Precision(NamedTuple):
    """What follows from the precision of the rows.

    Attributes
    ----------
    floor : float
        Smallest standard deviation, in scaled coordinates, that is not rounding.
    lowest : float
        Stands for the logarithm of 0; finite, so that no matrix product makes a NaN of it.
    kappa : float
        Largest terms that may cancel in the moment form: it then loses 1e-10 nats a row
        in double precision, 1e-3 in single.
    """

    floor: float
    lowest: float
    kappa: float


def _precision(dtype: Any, accepted_loss: float) -> _Precision:
    info = np.finfo(dtype)
    eps = float(info.eps)
    return _Precision(64.0 * eps, float(info.min) / 4.0, accepted_loss / eps)


_PRECISION = {
    np.dtype(np.float64): _precision(np.float64, 1e-10),
    np.dtype(np.float32): _precision(np.float32, 1e-3),
}


class Columns(NamedTuple):
    """What only the data know of the columns, in scaled coordinates.

    Attributes
    ----------
    ridge : ndarray of shape (n_features,)
        The diagonal of Lambda.
    deviation : ndarray of shape (n_features,)
        Standard deviations, or one for all where the columns have a common scale. They
        are the units in which accelerators measure, so that those of the data do not
        matter.
    """

    ridge: Array
    deviation: Array


class GaussianMixtureParams(NamedTuple):
    """Parameters in scaled coordinates; not to be written to.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
        Mixing proportions; 0 for a component that died.
    means : ndarray of shape (n_components, n_features)
        Means.
    covariances : ndarray
        Covariances in the layout of the structure.
    factor : CovarianceFactor
        Their factorisation.
    columns : Columns
        Carried along: only the data know them.
    form : Form
        The kernel for these parameters.
    """

    weights: Array
    means: Array
    covariances: Array
    factor: CovarianceFactor
    columns: Columns
    form: Form


class _Working(NamedTuple):
    """What all blocks of one E-step need."""

    bound: Any
    n_components: int


@dataclass(frozen=True)
class GaussianMixtureModel(
    LatentVariableModel[MixtureData, GaussianMixtureParams, GaussianStatistics]
):
    """Mixture of K Gaussians with one covariance structure.

    Parameters
    ----------
    n_components : int
        Number of components.
    structure : CovarianceStructure
        Structure of the covariances.
    start : Start
        How to find starting parameters.
    reg_covar : float or "auto", default="auto"
        Lambda: a variance in squared units of the data, or `RELATIVE_RIDGE` times the
        variance of each column.
    dtype : dtype, default=float64
        Precision of the rows and of the arithmetic within a block.
    """

    n_components: int
    structure: CovarianceStructure
    start: Start
    reg_covar: float | str = "auto"
    dtype: np.dtype[Any] = np.dtype(np.float64)

    def prepare(self, X: Array, sample_weight: Array | None = None) -> MixtureData:
        """Drop rows of weight zero, find the scaling, cut into blocks."""
        X = np.asarray(X, dtype=self.dtype)
        return prepare_rows(X, sample_weight, self.structure, self.n_components)

    def initialize(self, data: MixtureData, rng: np.random.Generator) -> GaussianMixtureParams:
        """Start as the hyperparameters say."""
        start, structure = self.start, self.structure
        columns = self._columns(data)
        weights, means, covariances = start.weights, None, None
        if start.means is not None:
            means = data.scaling.to_scaled(start.means)
        if start.covariances is not None:
            covariances = structure.rescale(
                np.asarray(start.covariances, np.float64), 1.0 / data.scaling.scale
            )
        if weights is None or means is None or covariances is None:
            drawn = self._from_soft_labels(
                start.draw(data, self.n_components, rng), columns.ridge, rng
            )
            weights = drawn[0] if weights is None else weights
            means = drawn[1] if means is None else means
            covariances = drawn[2] if covariances is None else covariances
        return self._params(weights, means, covariances, columns)

    def _columns(self, data: MixtureData) -> Columns:
        deviation = np.sqrt(data.variance)
        if not self.structure.scales_by_column:
            deviation = np.full_like(deviation, np.sqrt(data.variance.mean()))
        return Columns(self._ridge(data), np.where(deviation > 0.0, deviation, 1.0))

    def _ridge(self, data: MixtureData) -> Array:
        """Lambda in scaled coordinates.

        A relative ridge of a constant column is relative to the unit of the data, as
        there is no variance to relate it to.
        """
        variance = data.variance
        if self.reg_covar != "auto":
            with np.errstate(over="ignore"):
                ridge: Array = float(self.reg_covar) / data.scaling.scale / data.scaling.scale
            if not np.isfinite(ridge).all():
                raise DegenerateModelError(
                    f"reg_covar={self.reg_covar} is beyond the range of float64 beside "
                    "the variances of the columns"
                )
            return ridge
        if self.structure.scales_by_column:
            return RELATIVE_RIDGE * np.where(variance > 0.0, variance, 1.0)
        return np.full_like(variance, RELATIVE_RIDGE * (variance.mean() or 1.0))

    def _from_soft_labels(
        self, labels: SoftLabels, ridge: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """One M-step from responsibilities, with the scatter about the new means."""
        x, responsibilities = labels.rows.T, labels.responsibilities
        if labels.weight is not None:
            responsibilities = responsibilities * labels.weight
        total = responsibilities.sum(axis=1)
        empty = np.flatnonzero(total <= np.finfo(np.float64).eps * total.sum())
        if empty.size:
            # A component without rows starts at a row drawn at random.
            responsibilities = responsibilities.copy()
            responsibilities[empty, rng.integers(x.shape[1], size=empty.size)] += 1.0
            total = responsibilities.sum(axis=1)
        means = (responsibilities @ labels.rows) / total[:, None]
        second = self.structure.new_scatter(*means.shape)
        for k, mean in enumerate(means):
            z = x - mean[:, None]
            self.structure.scatter(z, np.sqrt(responsibilities[k]), k, second)
        covariances = self.structure.estimate(total, np.zeros_like(means), second, ridge)
        return total / total.sum(), means, covariances

    def precompute(self, params: GaussianMixtureParams) -> _Working:
        """Bind the kernel to the parameters."""
        constants = self.constants(params)
        bound = params.form.bind(params.means, params.factor, constants, self.dtype)
        return _Working(bound, self.n_components)

    def constants(self, params: GaussianMixtureParams) -> Array:
        """What each component adds to its log-density in scaled coordinates."""
        factor, weights = params.factor, params.weights
        if weights.min() > 0.0:
            constants: Array = np.log(weights)
        else:
            constants = np.full(len(weights), _PRECISION[self.dtype].lowest)
            np.log(weights, out=constants, where=weights > 0.0)
        halves = factor.log_det + factor.precision_diagonal @ params.columns.ridge
        halves += params.means.shape[1] * _LOG_2PI
        constants -= 0.5 * halves
        return constants

    def e_step(self, block: RowBlock, params: _Working) -> tuple[GaussianStatistics, float]:
        """Responsibilities of a block, its statistics and its share of the objective."""
        bound = params.bound
        jacobian = block.total_weight * block.scaling.log_jacobian
        if isinstance(bound, CompiledBound):
            statistics, value = bound.expect(block)
            return statistics, value + jacobian
        shape = (params.n_components, block.n_rows)
        joint = block.workspace.array("log_joint", shape, block.dtype)
        bound.log_density(block, joint, common=False)
        value = to_responsibilities(joint, block.weight) + bound.common_total(block)
        return bound.statistics(block, joint), value + jacobian

    def m_step(
        self, statistics: GaussianStatistics, params: GaussianMixtureParams
    ) -> GaussianMixtureParams:
        """Weighted means and covariances. A component without rows stays where it was."""
        weight, columns = statistics.weight, params.columns
        origin, second = params.form.centred(statistics, params.means)
        total = weight.sum()
        lightest = 10.0 * _EPS * total
        if weight.min() > lightest:
            shift = statistics.first / weight[:, None]
            covariances = self.structure.estimate(weight, shift, second, columns.ridge)
            return self._params(weight / total, origin + shift, covariances, columns)
        alive = weight > lightest
        weights = np.where(alive, weight, 0.0)
        shift = statistics.first / np.where(alive, weight, 1.0)[:, None]
        means = np.where(alive[:, None], origin + shift, params.means)
        covariances = self.structure.estimate_alive(
            alive, weights, shift, second, columns.ridge, params.covariances
        )
        return self._params(weights / weights.sum(), means, covariances, columns)

    def _params(
        self, weights: Array, means: Array, covariances: Array, columns: Columns
    ) -> GaussianMixtureParams:
        precision = _PRECISION[self.dtype]
        factor = self.structure.factor(covariances, means.shape[1], precision.floor)
        form = choose_form(self.structure, means, factor, precision.kappa)
        return GaussianMixtureParams(weights, means, covariances, factor, columns, form)

    def at_factor(
        self, weights: Array, means: Array, factor: CovarianceFactor
    ) -> GaussianMixtureParams:
        """Parameters for densities only: without covariances, without a ridge."""
        form = choose_form(self.structure, means, factor, _PRECISION[self.dtype].kappa)
        columns = Columns(np.zeros(means.shape[1]), np.ones(means.shape[1]))
        return GaussianMixtureParams(weights, means, np.empty(0), factor, columns, form)

    def perturb(
        self, data: MixtureData, params: GaussianMixtureParams, rng: np.random.Generator
    ) -> GaussianMixtureParams | None:
        """Move one component to a row, both drawn at random.

        Light components are moved more often, and rows far from all means are preferred.
        Where it lands a component starts rather small, lest it takes what others have.
        """
        if self.n_components == 1:
            return None
        rows, row_weight = sample_rows(data, self.n_components, rng)
        lightness = 1.0 / np.maximum(params.weights, _LIGHTEST)
        moved = int(rng.choice(self.n_components, p=lightness / lightness.sum()))
        chance = row_weight * distance_to_nearest(rows * data.metric, params.means * data.metric)
        if not chance.any():
            return None
        means, weights = params.means.copy(), params.weights.copy()
        means[moved] = rows[rng.choice(len(rows), p=chance / chance.sum())]
        weights[moved] = 1.0 / self.n_components
        covariances = self.structure.with_average(
            params.covariances, moved, _SMALLER * params.weights
        )
        return self._params(weights / weights.sum(), means, covariances, params.columns)

    def subset(self, data: MixtureData, rng: np.random.Generator) -> MixtureData | None:
        """So many rows that each component has some for each of its parameters."""
        return subset_rows(data, self.structure, self.n_components, rng)

    def blocks(self, data: MixtureData) -> Sequence[RowBlock]:
        """Blocks of rows."""
        return data.blocks

    def total_weight(self, data: MixtureData) -> float:
        """Sum of the weights of the rows."""
        return data.total_weight

    def to_vector(self, params: GaussianMixtureParams) -> NDArray[np.float64]:
        """Log-ratios of the weights, means and covariances, in standard deviations."""
        log_weights = np.log(np.maximum(params.weights, _TINY))
        inverse = 1.0 / params.columns.deviation
        return np.concatenate(
            [
                log_weights[:-1] - log_weights[-1],
                (params.means * inverse).ravel(),
                self.structure.to_vector(self.structure.rescale(params.covariances, inverse)),
            ]
        )

    def from_vector(
        self, vector: NDArray[np.float64], like: GaussianMixtureParams
    ) -> GaussianMixtureParams:
        """See `to_vector`."""
        edges = np.cumsum([self.n_components - 1, like.means.size])
        log_ratio, means, covariances = np.split(vector, edges)
        log_weights = np.append(log_ratio, 0.0)
        weights = np.exp(log_weights - log_weights.max())
        if not np.isfinite(weights).all():
            raise DegenerateModelError("the weights are not finite")
        deviation = like.columns.deviation
        covariances = self.structure.from_vector(covariances, like.covariances)
        return self._params(
            weights / weights.sum(),
            means.reshape(like.means.shape) * deviation,
            self.structure.rescale(covariances, deviation),
            like.columns,
        )
