"""One Gaussian fitted to rows with missing entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.constrained import estimate_held, put_in_all
from emlearn.distributions.gaussian.forms import GaussianStatistics, move_statistics
from emlearn.distributions.gaussian.incomplete.available import (
    AvailableMoments,
    available_moments,
    start_covariance,
)
from emlearn.distributions.gaussian.incomplete.compressing import compress_patterns
from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    Moments,
    complete_moments,
    expect,
    make_component,
    whiten,
)
from emlearn.distributions.gaussian.incomplete.filling import ConditionalGaussians
from emlearn.distributions.gaussian.incomplete.monotone import monotone_estimate
from emlearn.distributions.gaussian.incomplete.patterns import (
    RowBlock,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.distributions.gaussian.spec import GaussianParams
from emlearn.distributions.gaussian.structures import STRUCTURES, CovarianceFactor
from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.engine.block_table import RowPart
from emlearn.engine.parameters import Entries, ParameterSpace, Symmetric

Array = NDArray[np.float64]

_FULL = STRUCTURES["full"]


class MeanCovariance(NamedTuple):
    """Parameters, in the units of the scaling.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean.
    covariance : ndarray of shape (n_features, n_features)
        Covariance.
    """

    mean: Array
    covariance: Array


class CompressedData(NamedTuple):
    """Prepared data.

    Attributes
    ----------
    scaling : ColumnScaling
        Units of the blocks.
    available : AvailableMoments
        Moments of the available pairs.
    blocks : tuple of RowBlock
        All rows with something observed and weight above 0, or fewer with the same moments.
    weight : float
        Sum of their weights.
    X, row_weight : ndarray
        All rows of positive weight, and these weights (or None).
    """

    scaling: ColumnScaling
    available: AvailableMoments
    blocks: tuple[RowBlock, ...]
    weight: float
    X: NDArray[Any]
    row_weight: NDArray[Any] | None


@dataclass(frozen=True)
class OneGaussian(LatentVariableModel[CompressedData, MeanCovariance, Moments]):
    """Maximum likelihood, or posterior mode, of a Gaussian from incomplete rows.

    Entries are assumed to be missing at random; they are the latent variables. All that a single
    Gaussian needs of the rows of a pattern is their weight, mean and scatter, so that an iteration
    takes a time that does not grow with the number of rows. For several components there is
    `emlearn.distributions.Gaussian`.

    Parameters
    ----------
    prior : CovariancePrior, default=CovariancePrior()
        Prior of the covariance, without a ridge; the default is maximum likelihood.
    units : ColumnScaling, default=None
        Units of published parameters, relative to those of prepared rows: the scaling of
        these rows for the units of the data. None means those of prepared rows.

    References
    ----------
    T. Orchard and M. A. Woodbury (1972). "A missing information principle: theory and
    applications". Proc. 6th Berkeley Symposium 1, 697-715.
    """

    prior: CovariancePrior = field(default=CovariancePrior())
    units: ColumnScaling | None = None

    def prepare(
        self,
        X: Any,
        sample_weight: NDArray[Any] | None = None,
        scaling: ColumnScaling | None = None,
    ) -> CompressedData:
        """Center, scale, and compress the rows of each pattern; see `LatentVariableModel`.

        `X` has NaN where an entry is missing, and no column without two distinct values.
        """
        if scaling is None:
            scaling = summarize_columns(X, sample_weight).scaling
        if sample_weight is not None and not (sample_weight > 0.0).all():
            X, sample_weight = X[sample_weight > 0.0], sample_weight[sample_weight > 0.0]
        patterns = find_patterns(np.isnan(X)).observed()
        blocks: list[RowBlock] = []
        for chunk in sorted_rows(X, scaling, patterns, sample_weight):
            blocks += row_blocks(compress_patterns(chunk), scaling)
        used = patterns.order
        total = float(used.size if sample_weight is None else sample_weight[used].sum())
        available = available_moments(blocks, X.shape[1])
        return CompressedData(scaling, available, tuple(blocks), total, X, sample_weight)

    def prepare_part(self, part: RowPart, learned: ColumnScaling) -> CompressedData:
        """See `LatentVariableModel`."""
        return self.prepare(part.X, part.weight, learned)

    def blocks(self, data: CompressedData) -> Sequence[RowBlock]:
        """See `LatentVariableModel`."""
        return data.blocks

    def total_weight(self, data: CompressedData) -> float:
        """See `LatentVariableModel`."""
        return data.weight

    def initialize(self, data: CompressedData, rng: np.random.Generator) -> MeanCovariance:
        """Start from the moments of available pairs; where patterns are nested, at the optimum."""
        estimate = monotone_estimate(data.blocks, self.prior)
        if estimate is not None:
            return MeanCovariance(*estimate)
        strength = self.prior.strength
        covariance = start_covariance(data.available, strength / (strength + data.weight), rng)
        return MeanCovariance(np.zeros(len(covariance)), covariance)

    def precompute(self, params: MeanCovariance) -> Component:
        """See `LatentVariableModel`."""
        return make_component(*params)

    def e_step(self, block: RowBlock, params: Component) -> tuple[Moments, float]:
        """Moments of the filled rows; see `LatentVariableModel`."""
        return expect(block, params)

    def m_step(self, statistics: Moments, params: MeanCovariance) -> MeanCovariance:
        """Mode given the moments; see `LatentVariableModel`."""
        sums = _sums(statistics, params)
        shift, covariance = self.prior.estimate(_FULL, sums, params.covariance[None])
        return MeanCovariance(params.mean + shift[0], covariance[0])

    def recentered(
        self, statistics: Moments, params: MeanCovariance, moved: MeanCovariance
    ) -> Moments:
        """See `LatentVariableModel`: moments of completed rows about another mean."""
        sums = move_statistics(_FULL, _sums(statistics, params), (moved.mean - params.mean)[None])
        nothing = np.zeros_like(sums.second[0])
        return Moments(
            sums.weight[0], sums.first[0], sums.second[0], np.zeros(()), nothing[0], nothing
        )

    def log_prior(self, params: MeanCovariance) -> float:
        """See `LatentVariableModel`."""
        if self.prior.scatter is None:
            return 0.0
        return self.prior.log_density(_FULL, _factor(params), (1, params.mean.size))

    def to_vector(self, params: MeanCovariance) -> Array:
        """Mean, and the coordinates of a full covariance."""
        return np.concatenate((params.mean, _FULL.to_vector(params.covariance[None])))

    def from_vector(self, vector: Array, like: MeanCovariance) -> MeanCovariance:
        """See `LatentVariableModel`."""
        mean, coordinates = np.split(vector, [like.mean.size])
        if not np.isfinite(mean).all():
            raise DegenerateModelError("the mean is not finite")
        return MeanCovariance(mean, _FULL.from_vector(coordinates, like.covariance[None])[0])

    # ---- for standard errors and fixed entries --------------------------------------------

    def public(self, params: MeanCovariance) -> dict[str, Array]:
        """Mean and covariance in the units of `units`."""
        mean, covariance = params
        if self.units is None:
            return {"mean": mean, "covariance": covariance}
        scale = self.units.scale
        return {
            "mean": self.units.to_units(mean),
            "covariance": covariance * scale[:, None] * scale,
        }

    def from_public(self, public: Mapping[str, Array], like: MeanCovariance) -> MeanCovariance:
        """See `LatentVariableModel`."""
        mean, covariance = public["mean"], public["covariance"]
        if self.units is None:
            return MeanCovariance(mean, covariance)
        scale = self.units.scale
        return MeanCovariance(self.units.to_scaled(mean), covariance / scale[:, None] / scale)

    def space(self, params: MeanCovariance) -> ParameterSpace:
        """See `LatentVariableModel`."""
        whitener, _ = whiten(params.covariance)
        deviation = 1.0 / np.sqrt(np.square(whitener).sum(axis=1))
        if self.units is not None:
            deviation = deviation * self.units.scale
        mean, covariance = Entries(("feature",), deviation), Symmetric(("feature", "feature"))
        return ParameterSpace({"mean": mean, "covariance": covariance})

    def score(self, statistics: Moments, params: MeanCovariance) -> dict[str, Array]:
        """See `LatentVariableModel`."""
        sums, factor = _sums(statistics, params), _factor(params)
        (whitener,), (first,) = factor.precision_cholesky, sums.first
        mean, covariance = whitener @ (whitener.T @ first), self.prior.score(_FULL, sums, factor)[0]
        if self.units is None:
            return {"mean": mean, "covariance": covariance}
        scale = self.units.scale
        return {"mean": mean / scale, "covariance": covariance / scale[:, None] / scale}

    def constrained_m_step(
        self, statistics: Moments, params: MeanCovariance, fixed: Mapping[str, Array]
    ) -> MeanCovariance:
        """See `LatentVariableModel`, and `emlearn.distributions.gaussian.constrained`."""
        if not fixed:
            return self.m_step(statistics, params)
        at = GaussianParams(params.mean[None], params.covariance[None], _factor(params))
        sums, held = _sums(statistics, params), self._held(fixed)
        mean, covariance = estimate_held(_FULL, self.prior, sums, at, *held)
        return MeanCovariance(mean[0], covariance[0])

    def impose(self, params: MeanCovariance, fixed: Mapping[str, Array]) -> MeanCovariance:
        """See `LatentVariableModel`. Other covariances change if they have to."""
        (mean, covariance), (held_mean, held) = params, self._held(fixed)
        if held_mean is not None:
            mean = np.where(np.isnan(held_mean[0]), mean, held_mean[0])
        if held is not None:
            covariance = put_in_all(_FULL, covariance[None], held, (1, mean.size))[0]
        return MeanCovariance(mean, covariance)

    def _held(self, fixed: Mapping[str, Array]) -> tuple[Array | None, Array | None]:
        mean, covariance = (
            None if name not in fixed else np.asarray(fixed[name])[None]
            for name in ("mean", "covariance")
        )
        if self.units is None:
            return mean, covariance
        scale = self.units.scale
        return (
            None if mean is None else self.units.to_scaled(mean),
            None if covariance is None else covariance / scale[:, None] / scale,
        )

    def log_likelihoods(self, data: CompressedData, params: MeanCovariance) -> tuple[Array, Array]:
        """Log-densities of the rows of positive weight, in the units of the data."""
        one, mean, covariance = np.ones(1), params.mean[None], params.covariance[None]
        at = ConditionalGaussians.at(one, mean, covariance, data.scaling)
        density = at.log_density(data.X)
        if data.row_weight is None:
            return density, np.ones(len(density))
        return density, np.asarray(data.row_weight, np.float64)


def _sums(statistics: Moments, params: MeanCovariance) -> GaussianStatistics:
    """Statistics of a single component, about its mean."""
    weight, first, second = complete_moments(statistics, params.covariance)
    return GaussianStatistics(np.array([weight]), first[None], second[None])


def _factor(params: MeanCovariance) -> CovarianceFactor:
    whitener, log_det = whiten(params.covariance)
    diagonal = np.square(whitener).sum(axis=1)[None]
    return CovarianceFactor(whitener[None], np.array([log_det]), diagonal)
