"""Factor analysis of rows with missing entries and few columns.

Only the missing entries are latent here, not the factors: the E-step is that of one Gaussian
with the covariance of the factor analysis, and the M-step is the factor analysis of the
expected covariance. An iteration costs more than with factors as latent variables, but how
many there are depends on the missing entries only; also where noise variances vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    Moments,
    complete_moments,
    expect,
    make_component,
)
from emlearn.distributions.gaussian.incomplete.factor_maximum import (
    best_of_starts,
    leading,
    principal_solution,
    profile_maximum,
)
from emlearn.distributions.gaussian.incomplete.factors import (
    FactorAnalysis,
    FactorParams,
)
from emlearn.distributions.gaussian.incomplete.patterns import RowBlock
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.distributions.gaussian.single import CompressedData, OneGaussian
from emlearn.engine import LatentVariableModel
from emlearn.engine.block_table import RowPart

Array = NDArray[np.float64]

#: Largest number of columns for which this model is the faster one.
FEW_COLUMNS = 128
# Steps of Newton's method in one M-step.
_STEPS = 3


@dataclass(frozen=True)
class MomentFactorAnalysis(LatentVariableModel[CompressedData, FactorParams, Moments]):
    """Maximum likelihood of a factor analysis from incomplete rows of few columns.

    Parameters
    ----------
    n_factors : int
        Rank of the common part of the covariance.
    isotropic : bool, default=False
        Whether the noise of all columns has one variance.
    floor : ndarray of shape (n_features,), default=None
        Least variances of the noise, in the units of the scaling; None means a billionth of
        the variances of the columns.

    References
    ----------
    D. N. Lawley and A. E. Maxwell (1971). "Factor Analysis as a Statistical Method".
    Butterworths.
    """

    n_factors: int
    isotropic: bool = False
    floor: Array | None = None

    def prepare(
        self,
        X: Any,
        sample_weight: NDArray[Any] | None = None,
        scaling: ColumnScaling | None = None,
    ) -> CompressedData:
        """Center, scale, and compress the rows of each pattern; see `LatentVariableModel`."""
        if scaling is None:
            scaling = summarize_columns(X, sample_weight, by_column=not self.isotropic).scaling
        return OneGaussian().prepare(X, sample_weight, scaling)

    def prepare_part(self, part: RowPart, learned: ColumnScaling) -> CompressedData:
        """See `LatentVariableModel`."""
        return self.prepare(part.X, part.weight, learned)

    def blocks(self, data: CompressedData) -> Sequence[RowBlock]:
        """See `LatentVariableModel`."""
        return data.blocks

    def total_weight(self, data: CompressedData) -> float:
        """See `LatentVariableModel`."""
        return data.weight

    def initialize(self, data: CompressedData, rng: np.random.Generator) -> FactorParams:
        """Start at the solution for the moments of available pairs."""
        start = OneGaussian().initialize(data, rng)
        return FactorParams(start.mean, *self._solve(start.covariance, None))

    def continue_from(self, data: CompressedData, params: FactorParams) -> FactorParams:
        """Where to start if these parameters are those of similar rows."""
        return params

    def precompute(self, params: FactorParams) -> Component:
        """See `LatentVariableModel`."""
        return make_component(
            params.mean, params.loadings @ params.loadings.T + np.diag(params.noise)
        )

    def e_step(self, block: RowBlock, params: Component) -> tuple[Moments, float]:
        """Moments of the filled rows; see `LatentVariableModel`."""
        return expect(block, params)

    def m_step(self, statistics: Moments, params: FactorParams) -> FactorParams:
        """Factor analysis of the expected covariance; see `LatentVariableModel`."""
        covariance = params.loadings @ params.loadings.T + np.diag(params.noise)
        weight, first, second = complete_moments(statistics, covariance)
        shift = first / weight
        matrix = second / weight - np.outer(shift, shift)
        loadings, noise = self._solve(matrix, params.noise)
        # Turned to where they were: eigenvectors have no signs, and may change places.
        left, _, right = np.linalg.svd(loadings.T @ params.loadings)
        return FactorParams(params.mean + shift, loadings @ (left @ right), noise)

    def _solve(self, matrix: Array, noise: Array | None) -> tuple[Array, Array]:
        variance = np.diagonal(matrix)
        smallest = 1e-9 * variance if self.floor is None else self.floor
        if self.isotropic:
            values, vectors = leading(matrix, self.n_factors)
            loadings, left = principal_solution(values, vectors, variance.sum(), len(matrix))
            return loadings, np.maximum(left, smallest)
        if noise is None:
            return best_of_starts(matrix, self.n_factors, smallest)
        return profile_maximum(matrix, self.n_factors, smallest, noise, _STEPS)

    def to_vector(self, params: FactorParams) -> Array:
        """Mean, loadings, and logarithms of the noise variances."""
        return self._factors().to_vector(params)

    def from_vector(self, vector: Array, like: FactorParams) -> FactorParams:
        """See `LatentVariableModel`."""
        return self._factors().from_vector(vector, like)

    def n_parameters(self, params: FactorParams) -> int:
        """Means, loadings up to a rotation, and variances of the noise."""
        return self._factors().n_parameters(params)

    def _factors(self) -> FactorAnalysis:
        return FactorAnalysis(self.n_factors, isotropic=self.isotropic, floor=self.floor)
