"""One Gaussian, or a mixture of them, fitted to rows with missing entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from emlearn.distributions.gaussian.incomplete import filling
from emlearn.distributions.gaussian.incomplete.available import (
    AvailableMoments,
    available_moments,
    start_covariance,
)
from emlearn.distributions.gaussian.incomplete.compressing import condense
from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    Moments,
    accumulate,
    complete_moments,
    condition,
    expect,
    filled_deviation,
    log_densities,
    make_component,
)
from emlearn.distributions.gaussian.incomplete.monotone import monotone_estimate
from emlearn.distributions.gaussian.incomplete.patterns import (
    RowBlock,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.incomplete.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.kernels.softmax import to_responsibilities

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

_TINY = float(np.finfo(np.float64).tiny)
# A component with less weight than this many rows has died.
_DEAD = 1e-8


class GaussianParams(NamedTuple):
    """Parameters, in the units of the scaling.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
        Mixture weights.
    means : ndarray of shape (n_components, n_features)
        Means.
    covariances : ndarray of shape (n_components, n_features, n_features)
        Covariances.
    """

    weights: Array
    means: Array
    covariances: Array


class Working(NamedTuple):
    """Parameters as the blocks use them."""

    log_weights: Array
    components: tuple[Component, ...]


class IncompleteData(NamedTuple):
    """Prepared data.

    Attributes
    ----------
    scaling : ColumnScaling
        Units of the blocks.
    available : AvailableMoments
        Moments of the available pairs.
    blocks : tuple of RowBlock
        All rows with something observed and weight above 0, for one component condensed.
    weight : float
        Sum of their weights.
    """

    scaling: ColumnScaling
    available: AvailableMoments
    blocks: tuple[RowBlock, ...]
    weight: float


@dataclass(frozen=True)
class IncompleteGaussian(LatentVariableModel[IncompleteData, GaussianParams, Any]):
    """Maximum likelihood, or posterior mode, of Gaussians from incomplete rows.

    Entries are assumed to be missing at random. The missing entries, and for several
    components the labels, are the latent variables.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    prior : CovariancePrior, default=None
        Prior on each covariance; None is maximum likelihood.

    References
    ----------
    T. Orchard and M. A. Woodbury (1972). "A missing information principle: theory and
    applications". Proc. 6th Berkeley Symposium 1, 697-715.
    Z. Ghahramani and M. I. Jordan (1994). "Supervised learning from incomplete data via
    an EM approach". Advances in Neural Information Processing Systems 6, 120-127.
    """

    n_components: int = 1
    prior: CovariancePrior | None = None

    def prepare(
        self,
        X: Any,
        sample_weight: NDArray[Any] | None = None,
        scaling: ColumnScaling | None = None,
    ) -> IncompleteData:
        """Centre, scale, and group the rows by pattern; see `LatentVariableModel`.

        `X` has NaN where an entry is missing, and no column without two distinct values.
        """
        if scaling is None:
            scaling = summarize_columns(X, sample_weight).scaling
        if sample_weight is not None and not (sample_weight > 0.0).all():
            X, sample_weight = X[sample_weight > 0.0], sample_weight[sample_weight > 0.0]
        single = self.n_components == 1
        patterns = find_patterns(np.isnan(X)).observed()
        blocks: list[RowBlock] = []
        for rows in sorted_rows(X, scaling, patterns, sample_weight, weigh=single):
            blocks += row_blocks(condense(rows) if single else rows, scaling)
        used = patterns.order
        total = float(used.size if sample_weight is None else sample_weight[used].sum())
        return IncompleteData(scaling, available_moments(blocks, X.shape[1]), tuple(blocks), total)

    def blocks(self, data: IncompleteData) -> Sequence[RowBlock]:
        """See `LatentVariableModel`."""
        return data.blocks

    def total_weight(self, data: IncompleteData) -> float:
        """See `LatentVariableModel`."""
        return data.weight

    def initialize(self, data: IncompleteData, rng: np.random.Generator) -> GaussianParams:
        """Start from the moments of available pairs; for a mixture, k-means on the filled rows.

        One Gaussian starts from its estimate in closed form where patterns are nested.
        """
        if self.n_components == 1:
            estimate = monotone_estimate(data.blocks, self.prior)
            if estimate is not None:
                return GaussianParams(np.ones(1), estimate[0][None], estimate[1][None])
        strength = 0.0 if self.prior is None else self.prior.strength
        covariance = start_covariance(data.available, strength / (strength + data.weight), rng)
        d = covariance.shape[0]
        if self.n_components == 1:
            return GaussianParams(np.ones(1), np.zeros((1, d)), covariance[None])
        if data.weight < self.n_components:
            raise DegenerateModelError("there are fewer rows than components")
        return self._cluster(data, make_component(np.zeros(d), covariance), rng)

    def _cluster(
        self, data: IncompleteData, overall: Component, rng: np.random.Generator
    ) -> GaussianParams:
        K = self.n_components
        filled = np.concatenate([_filled(block, overall) for block in data.blocks])
        weight = np.concatenate([block.weight for block in data.blocks])
        if filled.shape[0] < K:
            raise DegenerateModelError("there are fewer distinct rows than components")
        clusters = KMeans(K, n_init=1, random_state=int(rng.integers(2**31 - 1)))
        labels = clusters.fit(filled, sample_weight=weight).labels_
        member = (labels[:, None] == np.arange(K)) * weight[:, None]
        size = np.maximum(member.sum(axis=0), _TINY)
        means = (member.T @ filled) / size[:, None]
        rest = filled - means[labels]
        within = (rest * weight[:, None]).T @ rest / data.weight
        # Filling shrinks the spread of the missing entries; half of the whole restores it.
        within = 0.5 * within + 0.5 * overall.covariance / K ** (2.0 / means.shape[1])
        return GaussianParams(size / size.sum(), means, np.repeat(within[None], K, axis=0))

    def precompute(self, params: GaussianParams) -> Working:
        """See `LatentVariableModel`."""
        return Working(
            np.log(np.maximum(params.weights, _TINY)),
            tuple(map(make_component, params.means, params.covariances)),
        )

    def e_step(self, block: RowBlock, params: Working) -> tuple[Moments, float]:
        """Moments of the filled rows for each component; see `LatentVariableModel`."""
        if self.n_components == 1:
            moments, value = expect(block, params.components[0])
            return Moments(*(part[None] for part in moments)), value
        rows = [condition(block, part, k) for k, part in enumerate(params.components)]
        joint = np.array(
            [log_densities(block, p, r) for p, r in zip(params.components, rows, strict=True)]
        )
        joint += params.log_weights[:, None]
        value = to_responsibilities(joint, block.weight)
        parts = [
            accumulate(block, part, row, weight)
            for part, row, weight in zip(params.components, rows, joint, strict=True)
        ]
        return Moments(*(np.stack(part) for part in zip(*parts, strict=True))), value

    def m_step(self, statistics: Moments, params: GaussianParams) -> GaussianParams:
        """Mode of each component given its moments; see `LatentVariableModel`."""
        prior = self.prior or CovariancePrior(0.0, np.ones(params.means.shape[1]))
        means, covariances = params.means.copy(), params.covariances.copy()
        for k in range(self.n_components):
            moments = Moments(*(part[k] for part in statistics))
            weight, first, second = complete_moments(moments, params.covariances[k])
            if weight < _DEAD and prior.strength == 0.0:
                raise DegenerateModelError(f"component {k} has lost all its rows")
            shift = first / max(weight, _DEAD)
            means[k] += shift
            covariances[k] = prior.mode(weight, second - weight * np.outer(shift, shift))
        return GaussianParams(statistics.weight / statistics.weight.sum(), means, covariances)

    def log_prior(self, params: GaussianParams) -> float:
        """See `LatentVariableModel`."""
        if self.prior is None:
            return 0.0
        return float(sum(self.prior.log_density(part) for part in params.covariances))

    def to_vector(self, params: GaussianParams) -> Array:
        """Log-ratios of the weights, means, and lower triangles of the covariances."""
        log_weights = np.log(np.maximum(params.weights, _TINY))
        rows, columns = _lower(params.means.shape[1])
        return np.concatenate(
            (
                log_weights[1:] - log_weights[0],
                params.means.ravel(),
                params.covariances[:, rows, columns].ravel(),
            )
        )

    def from_vector(self, vector: Array, like: GaussianParams) -> GaussianParams:
        """See `LatentVariableModel`."""
        K, d = like.means.shape
        logits = np.concatenate(([0.0], vector[: K - 1]))
        weights = np.exp(logits - logits.max())
        means = vector[K - 1 : K - 1 + K * d].reshape(K, d)
        rows, columns = _lower(d)
        lower = np.zeros((K, d, d))
        lower[:, rows, columns] = vector[K - 1 + K * d :].reshape(K, -1)
        covariances = lower + np.tril(lower, -1).transpose(0, 2, 1)
        try:
            np.linalg.cholesky(covariances)
        except np.linalg.LinAlgError:
            raise DegenerateModelError("a covariance matrix is not positive definite") from None
        return GaussianParams(weights / weights.sum(), means, covariances)

    def mixture(self, params: GaussianParams) -> tuple[Array, Array]:
        """Weights and means of the components, in the units of the scaling."""
        return params.weights, params.means

    def covariances(self, params: GaussianParams) -> Array:
        """Covariances of the components, in the units of the scaling."""
        return params.covariances

    def log_density(self, params: GaussianParams, scaling: ColumnScaling, X: Floats) -> Array:
        """Log-density of what is observed of each row, in the units of the data."""
        return filling.log_density(X, scaling, *self.precompute(params))

    def fill_means(
        self, params: GaussianParams, scaling: ColumnScaling, X: Floats, out: Floats
    ) -> None:
        """Put conditional means into `out` where `X` is missing, in the units of the data."""
        filling.fill_means(X, scaling, *self.precompute(params), out)

    def fill_deviations(
        self, params: GaussianParams, scaling: ColumnScaling, X: Floats, out: Floats
    ) -> None:
        """Put conditional standard deviations into `out` where `X` is missing."""
        filling.fill_deviations(X, scaling, *self.precompute(params), out)

    def fill_draws(
        self,
        params: GaussianParams,
        scaling: ColumnScaling,
        X: Floats,
        out: Floats,
        rng: np.random.Generator,
    ) -> None:
        """Put draws from the conditional distribution into `out` where `X` is missing."""
        filling.fill_draws(X, scaling, *self.precompute(params), out, rng)

    def fill_draws_within(
        self,
        params: GaussianParams,
        scaling: ColumnScaling,
        X: Floats,
        low: Array,
        high: Array,
        out: Floats,
        rng: np.random.Generator,
    ) -> None:
        """Put draws within the bounds of the columns into `out` where `X` is missing."""
        filling.fill_draws_within(X, scaling, *self.precompute(params), low, high, out, rng)


@lru_cache(maxsize=4)
def _lower(order: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the lower triangle of a matrix."""
    return np.tril_indices(order)


def _filled(block: RowBlock, component: Component) -> Array:
    rows = condition(block, component)
    filled: Array = filled_deviation(block, rows.deviation, component) + component.mean
    return filled
