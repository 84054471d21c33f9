"""Factor analysis of rows with missing entries: a low-rank covariance for wide data.

A row is x = mu + L z + e with z ~ N(0, I_k) and e ~ N(0, diag(psi)); only the observed
entries of x enter, and the factors z are the latent variables. No d x d matrix appears:
an iteration costs n d k^2 + n k^3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.batched import invert
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.engine import DegenerateModelError, LatentVariableModel

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

_BLOCK_ENTRIES = 1 << 18
_LOG_2PI = float(np.log(2.0 * np.pi))


class FactorParams(NamedTuple):
    """Parameters, in the units of the scaling.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean.
    loadings : ndarray of shape (n_features, n_factors)
        Loadings.
    noise : ndarray of shape (n_features,)
        Variances of the noise.
    """

    mean: Array
    loadings: Array
    noise: Array


class FactorPrecomputed(NamedTuple):
    """Parameters as the blocks use them."""

    params: FactorParams
    scaled: Array
    products: Array


class FactorBlock(NamedTuple):
    """Some rows: standardized with 0 where missing, where observed, weight, constant."""

    rows: Array
    seen: NDArray[np.bool_]
    weight: Array
    constant: Array


class FactorData(NamedTuple):
    """Prepared data: units, blocks, total weight."""

    scaling: ColumnScaling
    blocks: tuple[FactorBlock, ...]
    weight: float


class FactorStatistics(NamedTuple):
    """Sums over the rows in which each column is observed; u = (z, 1).

    Attributes
    ----------
    weight : ndarray of shape (n_features,)
        Sum of weights.
    square : ndarray of shape (n_features,)
        Sum of (x - mu)^2.
    cross : ndarray of shape (n_features, n_factors + 1)
        Sum of (x - mu) E[u].
    outer : ndarray of shape (n_features, (n_factors + 1)^2)
        Sum of E[u u'].
    """

    weight: Array
    square: Array
    cross: Array
    outer: Array


class FactorPosterior(NamedTuple):
    """Posterior of the factors of some rows, and the log-density of the rows."""

    mean: Array
    covariance: Array
    log_density: Array


@dataclass(frozen=True)
class FactorAnalysis(LatentVariableModel[FactorData, FactorParams, FactorStatistics]):
    """Factor analysis by maximum likelihood or posterior mode from incomplete rows.

    Parameters
    ----------
    n_factors : int
        Rank of the common part of the covariance.
    prior : CovariancePrior, default=CovariancePrior()
        Pseudo-rows in which the columns are uncorrelated with each other and with the
        factors: their variances are those of the target. The default is maximum likelihood.

    References
    ----------
    D. B. Rubin and D. T. Thayer (1982). "EM algorithms for ML factor analysis".
    Psychometrika 47(1), 69-76.
    """

    n_factors: int
    prior: CovariancePrior = field(default=CovariancePrior())

    def prepare(
        self,
        X: Any,
        sample_weight: NDArray[Any] | None = None,
        scaling: ColumnScaling | None = None,
    ) -> FactorData:
        """Center and scale; see `LatentVariableModel`."""
        if scaling is None:
            scaling = summarize_columns(X, sample_weight).scaling
        used = ~np.isnan(X).all(axis=1)
        if sample_weight is not None:
            used &= sample_weight > 0.0
        weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight
        blocks = tuple(cut_rows(X, scaling, np.flatnonzero(used), weight))
        return FactorData(scaling, blocks, float(weight[used].sum()))

    def blocks(self, data: FactorData) -> Sequence[FactorBlock]:
        """See `LatentVariableModel`."""
        return data.blocks

    def total_weight(self, data: FactorData) -> float:
        """See `LatentVariableModel`."""
        return data.weight

    def initialize(self, data: FactorData, rng: np.random.Generator) -> FactorParams:
        """Leading singular vectors of the rows filled with means, turned at random a little."""
        rows = np.concatenate([b.rows * np.sqrt(b.weight)[:, None] for b in data.blocks])
        seen = sum(b.weight @ b.seen for b in data.blocks)
        variance = (rows * rows).sum(axis=0) / seen
        # Filling with 0 shrinks a covariance by the fraction of rows observed.
        rows /= np.sqrt(seen / data.weight)
        k = min(self.n_factors, *rows.shape)
        wide = rows.shape[1] > rows.shape[0]
        values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        values = np.maximum(values[: -k - 1 : -1], 0.0)
        vectors = vectors[:, : -k - 1 : -1]
        if wide:
            vectors = rows.T @ (vectors / np.sqrt(np.maximum(values, np.finfo(float).tiny)))
        loadings = np.zeros((rows.shape[1], self.n_factors))
        loadings[:, :k] = vectors * np.sqrt(values / data.weight)
        deviation = np.sqrt(variance)[:, None]
        loadings += 0.01 * deviation * rng.standard_normal(loadings.shape)
        common = (loadings * loadings).sum(axis=1)
        loadings *= np.sqrt(np.minimum(1.0, 0.9 * variance / common))[:, None]
        noise = variance - (loadings * loadings).sum(axis=1)
        return FactorParams(np.zeros(rows.shape[1]), loadings, noise)

    def precompute(self, params: FactorParams) -> FactorPrecomputed:
        """See `LatentVariableModel`."""
        return precompute(params)

    def e_step(
        self, block: FactorBlock, params: FactorPrecomputed
    ) -> tuple[FactorStatistics, float]:
        """Moments of the factors for each column; see `LatentVariableModel`."""
        seen = block.seen.astype(np.float64)
        rows = (block.rows - params.params.mean) * seen
        factors = infer_factors(rows, seen, block.constant, params)
        n, k = factors.mean.shape
        u = np.concatenate((factors.mean, np.ones((n, 1))), axis=1)
        outer = u[:, :, None] * u[:, None, :]
        outer[:, :k, :k] += factors.covariance
        weight = block.weight[:, None]
        weighted = seen.T @ (outer.reshape(n, -1) * weight)
        statistics = FactorStatistics(
            weighted[:, -1], (weight * rows * rows).sum(axis=0), rows.T @ (u * weight), weighted
        )
        return statistics, float(block.weight @ factors.log_density)

    def m_step(self, statistics: FactorStatistics, params: FactorParams) -> FactorParams:
        """Regress each column on the factors; see `LatentVariableModel`."""
        d, k = params.loadings.shape
        strength, variance = self._pseudo_rows(d)
        outer = statistics.outer.reshape(d, k + 1, k + 1).copy()
        outer[:, range(k), range(k)] += strength
        try:
            solved = np.linalg.solve(outer, statistics.cross[:, :, None])
        except np.linalg.LinAlgError:
            raise DegenerateModelError("a column has fewer values than factors") from None
        slope = np.asarray(solved[:, :, 0], dtype=np.float64)
        rest = statistics.square - np.einsum("ij,ij->i", slope, statistics.cross)
        noise = (np.maximum(rest, 0.0) + strength * variance) / (statistics.weight + strength)
        return FactorParams(params.mean + slope[:, k], slope[:, :k], noise)

    def _pseudo_rows(self, n_features: int) -> tuple[float, Array]:
        """Number of pseudo-rows, and the variances of their columns."""
        target = self.prior.target
        return self.prior.strength, np.ones(n_features) if target is None else target

    def log_prior(self, params: FactorParams) -> float:
        """Log-density of the pseudo-rows up to a constant; see `LatentVariableModel`."""
        strength, variance = self._pseudo_rows(len(params.noise))
        square = variance + (params.loadings**2).sum(axis=1)
        return float(
            -0.5 * strength * (np.log(params.noise / variance) + square / params.noise - 1.0).sum()
        )

    def to_vector(self, params: FactorParams) -> Array:
        """Mean, loadings, and logarithms of the noise variances."""
        return np.concatenate((params.mean, params.loadings.ravel(), np.log(params.noise)))

    def from_vector(self, vector: Array, like: FactorParams) -> FactorParams:
        """See `LatentVariableModel`."""
        d, k = like.loadings.shape
        with np.errstate(over="ignore"):
            noise = np.exp(vector[-d:])
        if not (np.isfinite(noise).all() and (noise > 0.0).all()):
            raise DegenerateModelError("the noise of a column is 0 or infinite")
        return FactorParams(vector[:d], vector[d : d + d * k].reshape(d, k), noise)


def precompute(params: FactorParams) -> FactorPrecomputed:
    """Products of the loadings that the posterior of the factors needs."""
    if not (np.isfinite(params.noise).all() and (params.noise > 0.0).all()):
        raise DegenerateModelError("the noise of a column has variance 0")
    scaled = params.loadings / params.noise[:, None]
    products = (scaled[:, :, None] * params.loadings[:, None, :]).reshape(scaled.shape[0], -1)
    return FactorPrecomputed(params, scaled, products)


def infer_factors(
    rows: Array, seen: Array, constant: Array, precomputed: FactorPrecomputed
) -> FactorPosterior:
    """Posterior of the factors given the observed entries, by Woodbury's identity.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Deviations from the mean, 0 where missing.
    seen : ndarray of shape (n_rows, n_features)
        1 where observed, else 0.
    constant : ndarray of shape (n_rows,)
        Part of the log-density that is free of parameters.
    precomputed : FactorPrecomputed
        Parameters.
    """
    params = precomputed.params
    n, k = rows.shape[0], params.loadings.shape[1]
    information = np.ascontiguousarray((seen @ precomputed.products).T).reshape(k, k, n)
    information[range(k), range(k)] += 1.0
    covariance, log_det = invert(information)
    mean = np.einsum("ijb,jb->bi", covariance, np.ascontiguousarray((rows @ precomputed.scaled).T))
    # The distance as a sum of squares: no digits are lost where the noise is small.
    rest = (rows - mean @ params.loadings.T) * seen
    distance = rest * rest @ (1.0 / params.noise) + np.einsum("ij,ij->i", mean, mean)
    log_density = constant - 0.5 * (seen @ np.log(params.noise) + log_det + distance)
    return FactorPosterior(mean, np.ascontiguousarray(covariance.transpose(2, 0, 1)), log_density)


def infer_block(block: FactorBlock, precomputed: FactorPrecomputed) -> FactorPosterior:
    """Posterior of the factors of the rows of a block."""
    seen = block.seen.astype(np.float64)
    rows = (block.rows - precomputed.params.mean) * seen
    return infer_factors(rows, seen, block.constant, precomputed)


def cut_rows(
    X: Floats, scaling: ColumnScaling, chosen: NDArray[np.intp], weight: Array
) -> Iterator[FactorBlock]:
    """Blocks of the chosen rows of a table."""
    log_scale = np.log(scaling.scale)
    step = max(16, min(2048, _BLOCK_ENTRIES // max(1, X.shape[1])))
    for start in range(0, chosen.size, step):
        rows = chosen[start : start + step]
        part = X[rows]
        seen = ~np.isnan(part)
        constant = -0.5 * _LOG_2PI * seen.sum(axis=1) - seen @ log_scale
        yield FactorBlock(scaling.standardize(part), seen, weight[rows], constant)
