"""Factor analysis of rows with missing entries: a low-rank covariance for wide data.

A row is x = mu + L z + e with z ~ N(0, I_k) and e ~ N(0, diag(psi)); only the observed
entries of x enter, and the factors z are the latent variables. No d x d matrix appears in
an iteration: it costs n d k^2 + n k^3 for n incomplete rows, and n d k for complete ones, of
which d + 1 remain if there are more (see `factor_rows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.batched import invert
from emlearn.distributions.gaussian.incomplete.factor_rows import (
    CompleteBlock,
    FactorBlock,
    FactorData,
    complete_blocks,
    cut_rows,
)
from emlearn.distributions.gaussian.incomplete.factor_starts import solves_at_once, start_solution
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.engine.block_table import RowPart

Array = NDArray[np.float64]


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


class FactorStatistics(NamedTuple):
    """Sums over rows; u = (z, 1).

    Attributes
    ----------
    weight : ndarray of shape (n_features,)
        Sum of weights of the rows in which a column is observed.
    square : ndarray of shape (n_features,)
        Sum of (x - mu)^2 over these rows.
    cross : ndarray of shape (n_features, n_factors + 1)
        Sum of (x - mu) E[u] over these rows.
    outer : ndarray of shape (n_features, (n_factors + 1)^2)
        Sum of E[u u'] over the incomplete ones of these rows.
    complete : ndarray of shape (n_factors + 1, n_factors + 1)
        Sum of E[u u'] over the complete rows.
    total : ndarray of shape (n_factors + 1, n_factors + 1)
        Sum of E[u u'] over all rows.
    """

    weight: Array
    square: Array
    cross: Array
    outer: Array
    complete: Array
    total: Array


class FactorPosterior(NamedTuple):
    """Posterior of the factors of some rows, and the log-density of the rows."""

    mean: Array
    covariance: Array
    log_density: Array


@dataclass(frozen=True)
class FactorAnalysis(LatentVariableModel[FactorData, FactorParams, FactorStatistics]):
    """Factor analysis by maximum likelihood or posterior mode from incomplete rows.

    Without a prior, the M-step is that of parameter-expanded EM: mean and covariance of the
    factors are free in it, and are then put into mean and loadings.

    Parameters
    ----------
    n_factors : int
        Rank of the common part of the covariance.
    prior : CovariancePrior, default=CovariancePrior()
        Pseudo-rows in which the columns are uncorrelated with each other and with the
        factors: their variances are those of the target. The default is maximum likelihood.
    isotropic : bool, default=False
        Whether the noise of all columns has one variance: probabilistic principal components.
    floor : ndarray of shape (n_features,), default=None
        Least variances of the noise, in the units of the scaling; None means above 0.

    References
    ----------
    D. B. Rubin and D. T. Thayer (1982). "EM algorithms for ML factor analysis".
    Psychometrika 47(1), 69-76.

    C. Liu, D. B. Rubin and Y. N. Wu (1998). "Parameter expansion to accelerate EM: the PX-EM
    algorithm". Biometrika 85(4), 755-770.

    M. E. Tipping and C. M. Bishop (1999). "Probabilistic principal component analysis".
    Journal of the Royal Statistical Society B 61(3), 611-622.
    """

    n_factors: int
    prior: CovariancePrior = field(default=CovariancePrior())
    isotropic: bool = False
    floor: Array | None = None

    def prepare(
        self,
        X: Any,
        sample_weight: NDArray[Any] | None = None,
        scaling: ColumnScaling | None = None,
    ) -> FactorData:
        """Center and scale; see `LatentVariableModel`."""
        if scaling is None:
            scaling = summarize_columns(X, sample_weight, by_column=not self.isotropic).scaling
        missing = np.isnan(X)
        used = ~missing.all(axis=1)
        if sample_weight is not None:
            used &= sample_weight > 0.0
        complete = used & ~missing.any(axis=1)
        weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight
        blocks: list[FactorBlock | CompleteBlock] = []
        if complete.any():
            blocks += complete_blocks(X, scaling, np.flatnonzero(complete), weight)
        blocks += cut_rows(X, scaling, np.flatnonzero(used & ~complete), weight)
        return FactorData(scaling, tuple(blocks), float(weight[used].sum()))

    def prepare_part(self, part: RowPart, learned: ColumnScaling) -> FactorData:
        """See `LatentVariableModel`."""
        return self.prepare(part.X, part.weight, learned)

    def blocks(self, data: FactorData) -> Sequence[FactorBlock | CompleteBlock]:
        """See `LatentVariableModel`."""
        return data.blocks

    def total_weight(self, data: FactorData) -> float:
        """See `LatentVariableModel`."""
        return data.weight

    def initialize(self, data: FactorData, rng: np.random.Generator) -> FactorParams:
        """Start at the eigen-solution; weak factors are turned at random a little."""
        return self._start(data, rng, None)

    def continue_from(self, data: FactorData, params: FactorParams) -> FactorParams:
        """Where to start if these parameters are those of similar rows."""
        if not solves_at_once(data):
            return params
        return self._start(data, np.random.default_rng(0), params.noise)

    def _start(
        self, data: FactorData, rng: np.random.Generator, noise: Array | None
    ) -> FactorParams:
        floor = np.zeros(data.scaling.center.size) if self.floor is None else self.floor
        found = start_solution(data, self.n_factors, self.isotropic, floor, rng, noise)
        return FactorParams(*found)

    def precompute(self, params: FactorParams) -> FactorPrecomputed:
        """See `LatentVariableModel`."""
        return precompute(params)

    def e_step(
        self, block: FactorBlock | CompleteBlock, params: FactorPrecomputed
    ) -> tuple[FactorStatistics, float]:
        """Moments of the factors for each column; see `LatentVariableModel`."""
        if isinstance(block, CompleteBlock):
            return expect_complete(block, params)
        seen = block.seen.astype(np.float64)
        rows = (block.rows - params.params.mean) * seen
        factors = infer_factors(rows, seen, block.constant, params)
        n, k = factors.mean.shape
        u = np.concatenate((factors.mean, np.ones((n, 1))), axis=1)
        outer = u[:, :, None] * u[:, None, :]
        outer[:, :k, :k] += factors.covariance
        weight = block.weight[:, None]
        flat = outer.reshape(n, -1) * weight
        weighted = seen.T @ flat
        statistics = FactorStatistics(
            weighted[:, -1].copy(),
            (weight * rows * rows).sum(axis=0),
            rows.T @ (u * weight),
            weighted,
            np.zeros((k + 1, k + 1)),
            flat.sum(axis=0).reshape(k + 1, k + 1),
        )
        return statistics, float(block.weight @ factors.log_density)

    def m_step(self, statistics: FactorStatistics, params: FactorParams) -> FactorParams:
        """Regress each column on the factors; see `LatentVariableModel`."""
        d, k = params.loadings.shape
        strength, variance = self._pseudo_rows(d)
        slope = self._regress(statistics, k, strength)
        rest = statistics.square - np.einsum("ij,ij->i", slope, statistics.cross)
        rest = np.maximum(rest, 0.0) + strength * variance
        weight = statistics.weight + strength
        noise = np.full(d, rest.sum() / weight.sum()) if self.isotropic else rest / weight
        if self.floor is not None:
            noise = np.maximum(noise, self.floor)
        mean, loadings = params.mean + slope[:, k], slope[:, :k]
        if strength == 0.0:
            mean, loadings = _standardize_factors(mean, loadings, statistics.total)
        return FactorParams(mean, loadings, noise)

    def _regress(self, statistics: FactorStatistics, k: int, strength: float) -> Array:
        """Coefficients of each column on the factors and 1."""
        common = statistics.complete.copy()
        common[range(k), range(k)] += strength
        try:
            if not statistics.outer[:, -1].any():
                slope = np.linalg.solve(common, statistics.cross.T).T
            else:
                outer = statistics.outer.reshape(-1, k + 1, k + 1) + common
                slope = np.linalg.solve(outer, statistics.cross[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            raise DegenerateModelError("a column has fewer values than factors") from None
        return np.asarray(slope, dtype=np.float64)

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
        if self.isotropic:
            noise = np.full(d, np.exp(vector[-d:].mean()))
        if self.floor is not None:
            noise = np.maximum(noise, self.floor)
        return FactorParams(vector[:d], vector[d : d + d * k].reshape(d, k), noise)

    def n_parameters(self, params: FactorParams) -> int:
        """Means, loadings up to a rotation, and variances of the noise."""
        d, k = params.loadings.shape
        return d + d * k - k * (k - 1) // 2 + (1 if self.isotropic else d)


def _standardize_factors(mean: Array, loadings: Array, total: Array) -> tuple[Array, Array]:
    """Mean and loadings with factors of mean 0 and covariance 1, of the same distribution."""
    k = loadings.shape[1]
    center = total[:k, k] / total[k, k]
    covariance = total[:k, :k] / total[k, k] - np.outer(center, center)
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root turns the factors least.
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    return mean + loadings @ center, loadings @ root


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
    if seen.all():
        information = (precomputed.scaled.T @ params.loadings)[:, :, None]
        information[range(k), range(k)] += 1.0
        common, log_det = invert(information)
        covariance = np.broadcast_to(common, (k, k, n))
    else:
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


def expect_complete(
    block: CompleteBlock, precomputed: FactorPrecomputed
) -> tuple[FactorStatistics, float]:
    """Statistics and log-likelihood of complete rows, whose factors have one covariance."""
    mean, loadings, noise = precomputed.params
    k = loadings.shape[1]
    rows = block.rows - block.sqrt_weight[:, None] * mean
    information = (precomputed.scaled.T @ loadings)[:, :, None]
    information[range(k), range(k)] += 1.0
    inverses, log_det = invert(information)
    covariance = inverses[:, :, 0]
    u = np.empty((len(rows), k + 1))
    u[:, :k] = rows @ (precomputed.scaled @ covariance)
    u[:, k] = block.sqrt_weight
    outer = u.T @ u
    outer[:k, :k] += block.weight * covariance
    outer[k, k] = block.weight
    statistics = FactorStatistics(
        np.full(noise.size, block.weight),
        np.einsum("ij,ij->j", rows, rows),
        rows.T @ u,
        np.zeros((noise.size, (k + 1) ** 2)),
        outer,
        outer,
    )
    # The distance as a sum of squares: no digits are lost where the noise is small.
    rows -= u[:, :k] @ loadings.T
    distance = np.einsum("ij,ij,j->", rows, rows, 1.0 / noise)
    distance += float(np.square(u[:, :k]).sum())
    level = block.weight * (float(np.log(noise).sum()) + float(log_det[0]))
    return statistics, block.constant - 0.5 * (level + float(distance))
