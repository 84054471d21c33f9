"""Conditional means, standard deviations, draws and densities of rows under a factor analysis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.factor_rows import FactorBlock, cut_rows
from emlearn.distributions.gaussian.incomplete.factors import (
    FactorParams,
    FactorPosterior,
    FactorPrecomputed,
    infer_block,
    precompute,
)
from emlearn.distributions.gaussian.incomplete.truncated import (
    Candidate,
    draw_within,
    equal_shapes,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


class ConditionalFactors(NamedTuple):
    """A factor analysis, conditioned on the observed entries of rows.

    Attributes
    ----------
    scaling : ColumnScaling
        Units of the parameters.
    precomputed : FactorPrecomputed
        The parameters.
    """

    scaling: ColumnScaling
    precomputed: FactorPrecomputed

    @classmethod
    def at(cls, params: FactorParams, scaling: ColumnScaling) -> ConditionalFactors:
        """Conditional distributions at parameters in the units of the scaling.

        Raises
        ------
        DegenerateModelError
            If a variance of the noise is not positive.
        """
        return cls(scaling, precompute(params))

    @property
    def params(self) -> FactorParams:
        """The parameters, in the units of the scaling."""
        return self.precomputed.params

    @property
    def weights(self) -> Array:
        """Weight as of a mixture of one component."""
        return np.ones(1)

    @property
    def means(self) -> Array:
        """Mean as of a mixture of one component, in the units of the data."""
        return self.scaling.to_units(self.params.mean[None])

    @property
    def covariances(self) -> Array:
        """Covariance as of a mixture of one component, in the units of the data."""
        loadings = self.loadings
        return (loadings @ loadings.T + np.diag(self.noise))[None]

    @property
    def loadings(self) -> Array:
        """Loadings in the units of the data."""
        return self.params.loadings * self.scaling.scale[:, None]

    @property
    def noise(self) -> Array:
        """Variances of the noise in the units of the data."""
        return self.params.noise * self.scaling.scale**2

    def log_density(self, X: Floats) -> Array:
        """Log-density of the observed entries of each row, in the units of the data."""
        everything = np.arange(X.shape[0])
        parts = [
            infer_block(block, self.precomputed).log_density
            for block in cut_rows(X, self.scaling, everything, np.ones(X.shape[0]))
        ]
        return np.concatenate([np.zeros(0), *parts])

    def fill_means(self, X: Floats, out: Floats) -> None:
        """Put conditional means into `out` where `X` is missing, in the units of the data."""
        for rows, _, factors in self._visit(X):
            values = factors.mean @ self.params.loadings.T + self.params.mean
            _write(rows, self.scaling.to_units(values), X, out)

    def fill_deviations(self, X: Floats, out: Floats) -> None:
        """Put conditional standard deviations into `out` where `X` is missing."""
        d, k = self.params.loadings.shape
        products = (self.params.loadings[:, :, None] * self.params.loadings[:, None, :]).reshape(
            d, -1
        )
        for rows, _, factors in self._visit(X):
            common = factors.covariance.reshape(-1, k * k) @ products.T
            _write(rows, np.sqrt(common + self.params.noise) * self.scaling.scale, X, out)

    def fill_draws(
        self,
        X: Floats,
        out: Floats,
        rng: np.random.Generator,
    ) -> None:
        """Put draws from the conditional distribution into `out` where `X` is missing."""
        for rows, block, factors in self._visit(X):
            common = _draw_normal(factors.mean, factors.covariance, rng) @ self.params.loadings.T
            own = rng.standard_normal(block.rows.shape) * np.sqrt(self.params.noise)
            _write(rows, self.scaling.to_units(common + own + self.params.mean), X, out)

    def fill_draws_within(
        self,
        X: Floats,
        low: Array,
        high: Array,
        out: Floats,
        rng: np.random.Generator,
    ) -> None:
        """Put draws within the bounds of the columns into `out` where `X` is missing.

        First the bounded entries, given those observed, then the factors given both.
        """
        low, high = (
            (low - self.scaling.center) / self.scaling.scale,
            (high - self.scaling.center) / self.scaling.scale,
        )
        limited = np.isfinite(low) | np.isfinite(high)
        for rows, block, factors in self._visit(X):
            common = _draw_normal(factors.mean, factors.covariance, rng)
            own = rng.standard_normal(block.rows.shape) * np.sqrt(self.params.noise)
            values = common @ self.params.loadings.T + own + self.params.mean
            for part, columns, n_bounded in equal_shapes(~block.seen & limited, limited):
                if n_bounded == 0:
                    continue
                here = (part[:, None], columns)
                loadings = self.params.loadings[columns]
                across = loadings @ factors.covariance[part]
                covariance = across @ loadings.transpose(0, 2, 1)
                covariance[:, range(n_bounded), range(n_bounded)] += self.params.noise[columns]
                precision: Array = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
                mean = (
                    np.einsum("rbk,rk->rb", loadings, factors.mean[part])
                    + self.params.mean[columns]
                )
                candidate = Candidate(
                    np.zeros(part.size),
                    mean,
                    precision,
                    np.asarray(np.linalg.cholesky(precision), dtype=np.float64),
                )
                drawn = draw_within([candidate], low[columns], high[columns], n_bounded, rng)
                # The factors move with them as the regression on them says.
                gap = np.einsum("rbc,rc->rb", precision, drawn - values[here])
                values[part] += np.einsum("rbk,rb->rk", across, gap) @ self.params.loadings.T
                values[here] = drawn
            _write(rows, self.scaling.to_units(values), X, out)

    def _visit(self, X: Floats) -> Iterator[tuple[NDArray[np.intp], FactorBlock, FactorPosterior]]:
        """Rows with something missing, with the posterior of their factors."""
        incomplete = np.flatnonzero(np.isnan(X).any(axis=1))
        done = 0
        for block in cut_rows(X, self.scaling, incomplete, np.ones(X.shape[0])):
            rows = incomplete[done : done + block.rows.shape[0]]
            done += rows.size
            yield rows, block, infer_block(block, self.precomputed)


def _draw_normal(mean: Array, covariance: Array, rng: np.random.Generator) -> Array:
    noise = rng.standard_normal((*mean.shape, 1))
    drawn: Array = mean + (np.linalg.cholesky(covariance) @ noise)[:, :, 0]
    return drawn


def _write(rows: NDArray[np.intp], values: Array, X: Floats, out: Floats) -> None:
    missing = np.isnan(X[rows])
    row, column = np.nonzero(missing)
    out[rows[row], column] = values[missing]
