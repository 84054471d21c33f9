"""The mixture of any family as a model for the engine.

With weights pi_k and densities f(x; theta_k) of one family, EM climbs

    sum_i w_i log sum_k pi_k f(x_i; theta_k)  +  log prior,

where the inner sum has the one term k = y_i if the component of a row is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.distributions._labels import UNKNOWN, in_upper_half, with_labels
from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.engine.workspace import Workspace
from emlearn.kernels.softmax import to_responsibilities
from emlearn.mixture._finite_data import (
    FiniteBlock,
    FiniteData,
    Observations,
    prepare_rows,
    subset_rows,
)
from emlearn.mixture._finite_start import FiniteDraw, around

Array = NDArray[Any]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
# Least weight of a component in the draw of the one that is moved.
_LIGHTEST = 1e-3
# Share of a row that goes to one side of a split. Not all of it: with maximum likelihood what
# a component has never seen it excludes for ever.
_MOST = 0.9


class FiniteMixtureParams(NamedTuple):
    """Parameters; not to be written to.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
        Mixing proportions; 0 for a component that died.
    components : object
        Parameters of the family.
    column_spec : object
        What the family knows of the columns, carried along.
    """

    weights: Array
    components: Any
    column_spec: Any


def log_weights(params: FiniteMixtureParams) -> Array:
    """Logarithms of the weights; -inf for a component that died."""
    logarithms = np.full(len(params.weights), -np.inf)
    np.log(params.weights, out=logarithms, where=params.weights > 0.0)
    return logarithms


class FiniteStatistics(NamedTuple):
    """Sums of the responsibilities, and the statistics of the family."""

    weight: Array
    components: Any


class _Working(NamedTuple):
    """What all blocks of one E-step need."""

    log_weights: Array
    precomputed: Any


@dataclass(frozen=True)
class FiniteMixtureModel(LatentVariableModel[FiniteData, FiniteMixtureParams, FiniteStatistics]):
    """Mixture of K distributions of one family.

    Parameters
    ----------
    n_components : int
        Number of components.
    family : Family
        The family.
    draw : FiniteDraw
        How to find starting responsibilities.
    weight_alpha : float, default=0.0
        Pseudo-rows of each component in the estimate of the weights.
    unlabelled_weight : float, default=1.0
        Factor on the weights of rows without a label, where some have one.
    resume : FiniteMixtureParams, default=None
        Parameters to start from instead.
    """

    n_components: int
    family: Family
    draw: FiniteDraw
    weight_alpha: float = 0.0
    unlabelled_weight: float = 1.0
    resume: FiniteMixtureParams | None = None

    def prepare(self, X: Observations, sample_weight: Array | None = None) -> FiniteData:
        """Drop rows of weight zero, merge copies, encode, cut into blocks."""
        return prepare_rows(
            X, sample_weight, self.family, self.n_components, self.unlabelled_weight
        )

    def initialize(self, data: FiniteData, rng: np.random.Generator) -> FiniteMixtureParams:
        """Start as the hyperparameters say."""
        if self.resume is not None:
            return self.resume
        responsibilities = self.draw(data, self.n_components, rng)
        if data.labels is not None:
            responsibilities = with_labels(responsibilities, data.labels)
        return self._from_responsibilities(data, responsibilities * data.weight, rng)

    def _from_responsibilities(
        self, data: FiniteData, responsibilities: Array, rng: np.random.Generator
    ) -> FiniteMixtureParams:
        weight = responsibilities.sum(axis=1)
        components = self.family.start(data.rows, responsibilities, data.column_spec, rng)
        # No component starts dead.
        weight = np.maximum(weight, 1e-3 * weight.sum() / len(weight))
        return FiniteMixtureParams(weight / weight.sum(), components, data.column_spec)

    def precompute(self, params: FiniteMixtureParams) -> _Working:
        """Logarithms of the weights, and the family precomputed to its parameters."""
        precomputed = self.family.precompute(params.components, params.column_spec)
        return _Working(log_weights(params), precomputed)

    def e_step(self, block: FiniteBlock, params: _Working) -> tuple[FiniteStatistics, float]:
        """Responsibilities of a block, its statistics and its log-likelihood."""
        shape = (self.n_components, len(block.weight))
        joint = block.workspace.array("log_joint", shape, np.float64)
        self._log_joint(block, params, joint)
        log_likelihood = to_responsibilities(joint, block.weight)
        components = self.family.sufficient_statistics(block.rows, joint, params.precomputed)
        return FiniteStatistics(joint.sum(axis=1), components), log_likelihood

    def _log_joint(self, block: FiniteBlock, params: _Working, out: Array) -> None:
        out[:] = params.log_weights[:, None]
        self.family.log_density(block.rows, params.precomputed, out)
        if block.labels is not None:
            other = block.labels != np.arange(len(out))[:, None]
            out[other & (block.labels != UNKNOWN)] = -np.inf

    def m_step(
        self, statistics: FiniteStatistics, params: FiniteMixtureParams
    ) -> FiniteMixtureParams:
        """Modes given the statistics. A component without rows is left to the family."""
        weight = statistics.weight
        alive = weight > 10.0 * _EPS * weight.sum()
        weight = np.where(alive, weight, 0.0) + self.weight_alpha
        components = self.family.m_step(
            statistics.components, params.components, params.column_spec
        )
        return FiniteMixtureParams(weight / weight.sum(), components, params.column_spec)

    def log_prior(self, params: FiniteMixtureParams) -> float:
        """Dirichlet prior of the weights, and that of the family."""
        prior = self.family.log_prior(params.components, params.column_spec)
        if self.weight_alpha > 0.0:
            prior += self.weight_alpha * float(np.log(np.maximum(params.weights, _TINY)).sum())
        return prior

    def perturb(
        self, data: FiniteData, params: FiniteMixtureParams, rng: np.random.Generator
    ) -> FiniteMixtureParams | None:
        """Take one component away and split another in two.

        The one is a light component by preference, the other a heavy one. It is split by
        a row of its own, drawn at random: the half of its rows for which a component around
        that row is the best explanation is given to the component that was taken away.
        """
        if self.n_components == 1:
            return None
        lightness = 1.0 / np.maximum(params.weights, _LIGHTEST)
        moved = int(rng.choice(self.n_components, p=lightness / lightness.sum()))
        joint = np.empty((self.n_components, len(data.weight)))
        block = FiniteBlock(data.rows, data.weight, None, Workspace())
        self._log_joint(block, self.precompute(params), joint)
        joint[moved] = -np.inf
        if not np.isfinite(joint.max(axis=0)).all():
            return None
        first, _, weight = data.distinct
        home = joint.argmax(axis=0)[first]
        chance = weight * np.bincount(home, weight)[home]
        drawn = rng.choice(len(first), p=chance / chance.sum())
        split = home[drawn]
        nearness = self._density_around(data, first[drawn], rng) - joint[split]
        to_responsibilities(joint, data.weight)
        given = joint[split] * np.where(in_upper_half(nearness, joint[split]), _MOST, 1.0 - _MOST)
        joint[moved] = given
        joint[split] -= given
        if data.labels is not None:
            joint = with_labels(joint / data.weight, data.labels) * data.weight
        return self._from_responsibilities(data, joint, rng)

    def _density_around(self, data: FiniteData, row: int, rng: np.random.Generator) -> Array:
        """Log-densities of all rows in a component around one of them."""
        share = around(row, data, 1) * data.weight
        params = self.family.start(data.rows, share[None], data.column_spec, rng)
        density = np.zeros((1, len(share)))
        self.family.log_density(
            data.rows, self.family.precompute(params, data.column_spec), density
        )
        return density[0]

    def subset(self, data: FiniteData, rng: np.random.Generator) -> FiniteData | None:
        """Random rows of large data."""
        return subset_rows(data, self.family, self.n_components, rng)

    def blocks(self, data: FiniteData) -> Sequence[FiniteBlock]:
        """Blocks of rows."""
        return data.blocks

    def total_weight(self, data: FiniteData) -> float:
        """Sum of the weights of the rows."""
        return float(data.weight.sum())

    def to_vector(self, params: FiniteMixtureParams) -> NDArray[np.float64]:
        """Log-ratios of the weights, and the vector of the family, if it has one."""
        logarithms = np.log(np.maximum(params.weights, _TINY))
        components = self.family.to_vector(params.components, params.column_spec)
        return np.concatenate([logarithms[:-1] - logarithms[-1], components])

    def from_vector(
        self, vector: NDArray[np.float64], like: FiniteMixtureParams
    ) -> FiniteMixtureParams:
        """See `to_vector`."""
        log_ratio, components = np.split(vector, [self.n_components - 1])
        logarithms = np.append(log_ratio, 0.0)
        weights = np.exp(logarithms - logarithms.max())
        if not np.isfinite(weights).all():
            raise DegenerateModelError("the weights are not finite")
        return FiniteMixtureParams(
            weights / weights.sum(),
            self.family.from_vector(components, like.components, like.column_spec),
            like.column_spec,
        )
