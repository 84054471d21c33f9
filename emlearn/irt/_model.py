"""Item response models as latent-variable models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.engine.parameters import ParameterSpace
from emlearn.irt._items import maximize, slope_share
from emlearn.irt._latent import LatentLaw, LatentMoments, LatentParams
from emlearn.irt._persons import Block, PersonData, Persons, prepare
from emlearn.irt._prior import ItemPrior
from emlearn.irt._public import Shape, directions_of, publish, read_public, score_of, space_of
from emlearn.irt._quadrature import Grid, equally_spaced
from emlearn.irt._responses import (
    LARGEST_INTERCEPT,
    LARGEST_SLOPE,
    SMALLEST_GUESSING,
    ItemParams,
    ResponseModel,
    logit,
)
from emlearn.irt._start import start
from emlearn.kernels.softmax import row_log_density, to_responsibilities

Array = NDArray[np.float64]


class IRTParams(NamedTuple):
    """Parameters of the items and of the latent trait."""

    items: ItemParams
    latent: LatentParams


class IRTStatistics(NamedTuple):
    """Expected responses in each category at each node, and moments of the trait."""

    counts: Array
    moments: LatentMoments


class Working(NamedTuple):
    """What all blocks of an E-step need.

    Attributes
    ----------
    log_probability : ndarray of shape (n_items, n_categories, n_nodes)
        Log-probabilities of the responses.
    log_weight : ndarray of shape (n_groups, n_nodes)
        Log-weights of the nodes.
    latent : LatentParams
        Parameters of the trait.
    """

    log_probability: Array
    log_weight: Array
    latent: LatentParams


@dataclass(frozen=True)
class ItemResponseModel(LatentVariableModel[PersonData, IRTParams, IRTStatistics]):
    """Marginal likelihood of item responses, integrated over the latent trait on a grid.

    Parameters
    ----------
    responses : ResponseModel
        Probability of a response given the trait.
    law : LatentLaw
        Distribution of the trait.
    prior : ItemPrior
        Prior of the parameters of the items.
    n_nodes : int, default=61
        Nodes per dimension.
    loadings : tuple of tuple of bool, default=None
        Which items (first index) have a slope on which dimension; None means all.
    """

    responses: ResponseModel
    law: LatentLaw = field(default_factory=LatentLaw)
    prior: ItemPrior = field(default_factory=ItemPrior)
    n_nodes: int = 61
    loadings: tuple[tuple[bool, ...], ...] | None = None

    @property
    def grid(self) -> Grid:
        """The nodes."""
        return equally_spaced(self.n_nodes, self.law.n_dims, self.law.moves)

    @property
    def loads(self) -> NDArray[np.bool_]:
        """Which items have a slope on which dimension, of shape (n_items, n_dims)."""
        if self.loadings is None:
            return np.ones((self.responses.n_items, self.law.n_dims), dtype=bool)
        return np.array(self.loadings, dtype=bool)

    def prepare(self, X: Persons, sample_weight: NDArray[Any] | None = None) -> PersonData:
        """Merge copies, and cut the persons into blocks."""
        n_nodes = len(self.grid.nodes)
        return prepare(X, sample_weight, self.responses.n_categories, n_nodes)

    def blocks(self, data: PersonData) -> tuple[Block, ...]:
        """Persons of one group each."""
        return data.blocks

    def total_weight(self, data: PersonData) -> float:
        """Sum of the weights of the persons."""
        return data.total_weight

    def initialize(self, data: PersonData, rng: np.random.Generator) -> IRTParams:
        """Items from their shares and correlations; a trait with mean 0 and variance 1."""
        items = start(self.responses, self.loads, data, rng)
        if self.prior.slopes is not None:
            # The prior allows no others.
            items = items._replace(slopes=np.abs(items.slopes))
        return IRTParams(items, self.law.start())

    # ---- E-step -------------------------------------------------------------------------

    def precompute(self, params: IRTParams) -> Working:
        """Log-probabilities of all responses at the nodes."""
        return Working(
            self.responses.log_probabilities(params.items, self.grid.nodes),
            self.law.log_weights(params.latent, self.grid),
            params.latent,
        )

    def e_step(self, block: Block, params: Working) -> tuple[IRTStatistics, float]:
        """Posterior of the nodes for each person, as one matrix product, and expected counts."""
        posterior, rows = self._joint(block, params)
        log_likelihood = to_responsibilities(posterior, block.weight)
        total = posterior.sum(axis=1)
        counts = block.layout.counts(rows @ posterior.T, total, self.responses.width)
        return IRTStatistics(counts, self._moments(block, posterior, total)), log_likelihood

    def log_likelihoods_of(self, block: Block, params: Working) -> Array:
        """Log-likelihood of each person of a block."""
        joint, _ = self._joint(block, params)
        return row_log_density(joint)

    def posterior_of(self, block: Block, params: Working) -> Array:
        """Posterior of the nodes, of shape (n_nodes, n_persons), valid until the next call."""
        joint, _ = self._joint(block, params)
        row_log_density(joint)
        return joint

    def _joint(self, block: Block, working: Working) -> tuple[Array, Array]:
        """Joint log-density of nodes and responses (nodes, persons); responses as floats."""
        table, constant = block.layout.coefficients(working.log_probability)
        constant = constant + working.log_weight[block.group]
        rows = block.workspace.array("rows", block.rows.shape, np.float64)
        np.copyto(rows, block.rows)
        joint = block.workspace.array("joint", (len(constant), rows.shape[1]), np.float64)
        np.matmul(table.T, rows, out=joint)
        joint += constant[:, None]
        if len(block.covariates):
            latent = working.latent
            mean = latent.coefficients.T @ block.covariates
            scaled = np.linalg.solve(latent.covariances[0], mean)
            joint += self.grid.nodes @ scaled
            joint -= 0.5 * (mean * scaled).sum(axis=0)
        return joint, rows

    def _moments(self, block: Block, posterior: Array, total: Array) -> LatentMoments:
        law, nodes = self.law, self.grid.nodes
        weight = np.zeros(law.n_groups)
        first = np.zeros((law.n_groups, law.n_dims))
        second = np.zeros((law.n_groups, law.n_dims, law.n_dims))
        weight[block.group] = block.weight.sum()
        first[block.group] = total @ nodes
        second[block.group] = (nodes * total[:, None]).T @ nodes
        covariates = block.covariates
        gram = np.zeros((len(covariates),) * 2)
        cross = np.zeros((len(covariates), law.n_dims))
        if len(covariates):
            gram = (covariates * block.weight) @ covariates.T
            cross = covariates @ (posterior.T @ nodes)
        return LatentMoments(weight, first, second, gram, cross)

    # ---- M-step -------------------------------------------------------------------------

    def m_step(self, statistics: IRTStatistics, params: IRTParams) -> IRTParams:
        """Newton steps of each item, and moments of the trait."""
        return self._maximize(statistics, params, {})

    def constrained_m_step(
        self, statistics: IRTStatistics, params: IRTParams, fixed: Mapping[str, Array]
    ) -> IRTParams:
        """See `LatentVariableModel`: each item moves only in the directions that are left."""
        return self.impose(self._maximize(statistics, params, fixed), fixed)

    def _maximize(
        self, statistics: IRTStatistics, params: IRTParams, fixed: Mapping[str, Array]
    ) -> IRTParams:
        items = maximize(
            self.responses,
            self.prior,
            params.items,
            self.grid.nodes,
            statistics.counts,
            directions_of(self._shape, fixed),
            self.loads,
        )
        latent = self.law.m_step(statistics.moments, params.latent, self.grid, fixed)
        return IRTParams(items, latent)

    def log_prior(self, params: IRTParams) -> float:
        """Log prior density of the items, up to a constant."""
        exists = self.responses.is_category[:, 1:]
        share = slope_share(self.responses)
        return float(self.prior.log_density(params.items, self.loads, exists, share).sum())

    # ---- other forms --------------------------------------------------------------------

    def to_vector(self, params: IRTParams) -> Array:
        """Slopes, intercepts, logits of guessing, and the free parameters of the trait."""
        items, loads = params.items, self.loads
        slopes = items.slopes
        if self.responses.has_common_slope:
            index = loads.argmax(axis=0)
            parts = [slopes[index, np.arange(slopes.shape[1])]]
        else:
            parts = [slopes[loads]]
        if self.prior.slopes is not None:
            parts = [np.log(parts[0])]
        parts.append(items.intercepts[self.responses.is_category[:, 1:]])
        if self.responses.has_guessing:
            parts.append(logit(items.guessing))
        return np.concatenate([*parts, self.law.to_vector(params.latent)])

    def from_vector(self, vector: Array, like: IRTParams) -> IRTParams:
        """Inverse of `to_vector`."""
        loads, exists = self.loads, self.responses.is_category[:, 1:]
        n_slopes = loads.shape[1] if self.responses.has_common_slope else int(loads.sum())
        n_intercepts = int(exists.sum())
        values = vector[:n_slopes]
        if self.prior.slopes is not None:
            values = np.exp(values.clip(-30.0, 30.0))
        values = values.clip(-LARGEST_SLOPE, LARGEST_SLOPE)
        slopes = np.zeros(loads.shape)
        if self.responses.has_common_slope:
            slopes = np.where(loads, values, 0.0)
        else:
            slopes[loads] = values
        intercepts = np.zeros(exists.shape)
        at = n_slopes + n_intercepts
        intercepts[exists] = vector[n_slopes:at].clip(-LARGEST_INTERCEPT, LARGEST_INTERCEPT)
        guessing = np.zeros(len(loads))
        if self.responses.has_guessing:
            logits = vector[at : at + len(loads)].clip(-30.0, 6.0)
            guessing = (1.0 / (1.0 + np.exp(-logits))).clip(SMALLEST_GUESSING, 1.0 - 1e-3)
            at += len(loads)
        items = ItemParams(slopes, intercepts, guessing)
        if not self.responses.is_valid(items).all():
            raise DegenerateModelError("intercepts of an item are not in order")
        return IRTParams(items, self.law.from_vector(vector[at:], like.latent, self.grid))

    def oriented(self, params: IRTParams) -> IRTParams:
        """The same distribution, in which the slopes of each dimension are positive on average."""
        sign = np.where(params.items.slopes.sum(axis=0) < 0.0, -1.0, 1.0)
        items = params.items._replace(slopes=params.items.slopes * sign)
        return IRTParams(items, self.law.turned(params.latent, sign))

    # ---- the published parameters -------------------------------------------------------

    @property
    def _shape(self) -> Shape:
        return Shape(self.responses, self.law, self.loads, self.grid)

    def public(self, params: IRTParams) -> dict[str, Array]:
        """Discriminations, difficulties (several dimensions: intercepts), guessing, the trait."""
        return publish(self._shape, params.items, params.latent)

    def from_public(self, public: Mapping[str, Array], like: IRTParams) -> IRTParams:
        """See `LatentVariableModel.from_public`."""
        params = IRTParams(*read_public(self._shape, public, like.latent))
        if not self.responses.is_valid(params.items).all():
            raise DegenerateModelError("thresholds of an item are not in order")
        return params

    def space(self, params: IRTParams) -> ParameterSpace:
        """See `LatentVariableModel.space`."""
        return space_of(self._shape, params.latent)

    def score(self, statistics: IRTStatistics, params: IRTParams) -> dict[str, Array]:
        """See `LatentVariableModel.score`."""
        gradient, information = self.responses.newton(
            params.items, self.grid.nodes, statistics.counts
        )
        self.prior.add_to(gradient, information, params.items, slope_share(self.responses))
        return score_of(self._shape, params.items, params.latent, gradient, statistics.moments)

    def log_likelihoods(self, data: PersonData, params: IRTParams) -> tuple[Array, Array]:
        """Log-likelihoods of the distinct persons, and their weights."""
        working = self.precompute(params)
        values = np.empty(len(data.weight))
        for block in data.blocks:
            values[block.positions] = self.log_likelihoods_of(block, working)
        return values, data.weight
