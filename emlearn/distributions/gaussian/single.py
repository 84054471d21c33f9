"""One Gaussian fitted to rows with missing entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.forms import GaussianStatistics
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
from emlearn.distributions.gaussian.incomplete.monotone import monotone_estimate
from emlearn.distributions.gaussian.incomplete.patterns import (
    RowBlock,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.distributions.gaussian.structures import STRUCTURES, CovarianceFactor
from emlearn.engine import DegenerateModelError, LatentVariableModel

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
    """

    scaling: ColumnScaling
    available: AvailableMoments
    blocks: tuple[RowBlock, ...]
    weight: float


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

    References
    ----------
    T. Orchard and M. A. Woodbury (1972). "A missing information principle: theory and
    applications". Proc. 6th Berkeley Symposium 1, 697-715.
    """

    prior: CovariancePrior = field(default=CovariancePrior())

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
        return CompressedData(scaling, available, tuple(blocks), total)

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
        weight, first, second = complete_moments(statistics, params.covariance)
        sums = GaussianStatistics(np.array([weight]), first[None], second[None])
        shift, covariance = self.prior.estimate(_FULL, sums, params.covariance[None])
        return MeanCovariance(params.mean + shift[0], covariance[0])

    def log_prior(self, params: MeanCovariance) -> float:
        """See `LatentVariableModel`."""
        if self.prior.scatter is None:
            return 0.0
        whitener, log_det = whiten(params.covariance)
        diagonal = np.square(whitener).sum(axis=1)[None]
        factor = CovarianceFactor(whitener[None], np.array([log_det]), diagonal)
        return self.prior.log_density(_FULL, factor, (1, len(whitener)))

    def to_vector(self, params: MeanCovariance) -> Array:
        """Mean, and the coordinates of a full covariance."""
        return np.concatenate((params.mean, _FULL.to_vector(params.covariance[None])))

    def from_vector(self, vector: Array, like: MeanCovariance) -> MeanCovariance:
        """See `LatentVariableModel`."""
        mean, coordinates = np.split(vector, [like.mean.size])
        if not np.isfinite(mean).all():
            raise DegenerateModelError("the mean is not finite")
        return MeanCovariance(mean, _FULL.from_vector(coordinates, like.covariance[None])[0])
