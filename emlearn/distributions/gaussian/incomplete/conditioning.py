"""The distribution of missing entries given the observed ones, under one Gaussian.

With the precision K = inv(Sigma) and a row that lacks the columns m,

    x_m | x_o ~ N( mu_m - inv(K_mm) K_mo (x_o - mu_o),  inv(K_mm) )
    log|Sigma_oo| = log|Sigma| + log|K_mm|
    (x_o - mu_o)' inv(Sigma_oo) (x_o - mu_o) = (x - mu)' K (x - mu)  at the filled row x

so that a row costs the inverse of an |m| x |m| matrix and a few matrix products shared
by all rows: the *precision form*. Where fewer columns are observed than missing the
*observed form* inverts Sigma_oo instead. Its rows never need their conditional
covariances one by one: with y_o = inv(Sigma_oo)(x_o - mu_o) and zeros elsewhere the
filled row is mu + Sigma y, its conditional covariance Sigma - Sigma H Sigma, where H
holds inv(Sigma_oo) in the observed rows and columns.
"""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from emlearn.distributions.gaussian.incomplete.batched import solve_blocks
from emlearn.distributions.gaussian.incomplete.patterns import RowBlock
from emlearn.engine import DegenerateModelError
from emlearn.kernels import compiled

Array = NDArray[np.float64]

# A sum of squares may lose this many times its rounding error before the squares are taken
# of whitened rows, one by one.
_LARGEST_LOSS = 64.0


class Component(NamedTuple):
    """A Gaussian and what conditioning needs of it.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean.
    covariance : ndarray of shape (n_features, n_features)
        Covariance.
    whitener : ndarray of shape (n_features, n_features)
        Upper triangular P with P P' the precision: (x - mean) P has unit covariance.
    precision : ndarray of shape (n_features, n_features)
        Inverse of the covariance.
    log_det : float
        Log-determinant of the covariance.
    """

    mean: Array
    covariance: Array
    whitener: Array
    precision: Array
    log_det: float


class ConditionalCovariances(NamedTuple):
    """Weighted sums of the inverses of blocks.

    Attributes
    ----------
    precision : ndarray of shape (n_features, n_features)
        Of the precision, for the rows in the precision form: their conditional covariances.
    observed : ndarray of shape (n_features, n_features)
        Of the covariance, for the rows in the observed form: H of the module's text.
    """

    precision: Array
    observed: Array


class Conditioned(NamedTuple):
    """Rows of a block under one component.

    Attributes
    ----------
    deviation : ndarray of shape (n_rows, n_features)
        Rows in the precision form: filled row - mean. Others: y of the module's text.
    log_det : ndarray of shape (n_patterns,)
        Log-determinants of the covariances of the observed columns.
    distance : ndarray of shape (n_rows - n_precision,)
        Squared distances of the rows in the observed form.
    covariances : ConditionalCovariances or None
        Sums of inverses for the rows as they are, if asked for.
    """

    deviation: Array
    log_det: Array
    distance: Array
    covariances: ConditionalCovariances | None


class Moments(NamedTuple):
    """Sums over rows from which the M-step follows; additive.

    `observed_*` belong to the rows in the observed form. Completed by `complete_moments`.
    """

    weight: Array
    first: Array
    second: Array
    observed_weight: Array
    observed_first: Array
    observed_second: Array


def make_component(mean: Array, covariance: Array) -> Component:
    """Factorize a covariance.

    Raises
    ------
    DegenerateModelError
        If it is not positive definite.
    """
    whitener, log_det = whiten(covariance)
    return Component(mean, covariance, whitener, whitener @ whitener.T, log_det)


def whiten(covariance: Array) -> tuple[Array, float]:
    """Upper triangular P with P P' = inv(covariance), and log|covariance|."""
    try:
        cholesky = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise DegenerateModelError("a covariance matrix is not positive definite") from None
    # Before numpy 2 the last bit of logarithms of a strided view depends on addresses.
    diagonal = np.diagonal(cholesky).copy()
    if not (np.isfinite(diagonal).all() and (diagonal > 0.0).all()):
        raise DegenerateModelError("a covariance matrix is not positive definite")
    if covariance.shape[0] == 0:
        return covariance, 0.0
    inverse, _ = lapack.dtrtri(cholesky, lower=1)
    return np.ascontiguousarray(inverse.T), float(2.0 * np.log(diagonal).sum())


def condition(
    block: RowBlock, component: Component, slot: int = 0, *, covariances: bool = False
) -> Conditioned:
    """Fill the rows of a block under a component.

    Parameters
    ----------
    block : RowBlock
        The rows.
    component : Component
        The Gaussian.
    slot : int, default=0
        The deviations returned live in a workspace of the thread: a second call with the
        same slot overwrites them.
    covariances : bool, default=False
        Whether the sums of inverses are wanted.
    """
    n = block.n_precision
    deviation = _deviate(block, component.mean, _workspace(("deviation", slot), block.rows.shape))
    sums = _no_inverses(component) if covariances else None
    precision, observed = block.precision, block.observed
    log_det = np.empty(precision.edges.size + observed.edges.size - 2)
    log_det_precision, log_det_observed = np.split(log_det, [precision.edges.size - 1])
    distance = np.empty(0)
    if n:
        product = _workspace(("product", 0), deviation.shape)[:n]
        np.matmul(deviation[:n], component.precision, out=product)
        log_det_precision[:] = component.log_det + solve_blocks(
            component.precision,
            precision,
            product,
            deviation[:n],
            factor=-1.0,
            weights=block.counts[: precision.edges.size - 1] if covariances else None,
            target=sums.precision if sums else None,
        )
    if n < deviation.shape[0]:
        given = deviation[n:].copy()
        log_det_observed[:] = solve_blocks(
            component.covariance,
            observed,
            deviation,
            deviation,
            weights=block.counts[precision.edges.size - 1 :] if covariances else None,
            target=sums.observed if sums else None,
        )
        distance = np.einsum("ij,ij->i", given, deviation[n:])
    return Conditioned(deviation, log_det, distance, sums)


def _deviate(block: RowBlock, mean: Array, out: Array) -> Array:
    """Rows minus the mean, 0 where an entry is missing."""
    if compiled is not None:
        compiled.center_observed(block.rows, block.sqrt_weight, block.missing, mean, out)
    else:
        np.multiply(block.sqrt_weight[:, None], mean, out=out)
        np.subtract(block.rows, out, out=out)
        np.copyto(out, 0.0, where=block.missing)
    return out


def _no_inverses(component: Component) -> ConditionalCovariances:
    return ConditionalCovariances(
        np.zeros_like(component.covariance), np.zeros_like(component.covariance)
    )


def filled_deviation(block: RowBlock, deviation: Array, component: Component) -> Array:
    """Filled rows minus the mean, from what `condition` returned; observed ones as they are."""
    n = block.n_precision
    if n == deviation.shape[0]:
        return deviation
    return np.concatenate((deviation[:n], deviation[n:] @ component.covariance))


def log_densities(block: RowBlock, component: Component, rows: Conditioned) -> Array:
    """Log-density of the observed entries of each row."""
    level = block.per_row(block.constants - 0.5 * rows.log_det)
    distance = squared_distances(block, component, rows)
    density: Array = level * block.sqrt_weight**2 - 0.5 * distance
    return density


def squared_distances(block: RowBlock, component: Component, rows: Conditioned) -> Array:
    """Squared distance of the observed entries of each row from the mean, times its weight."""
    n = block.n_precision
    # Squares of whitened rows keep their digits where the precision form of the distance,
    # a difference of large numbers for a nearly singular covariance, does not.
    product = _workspace(("product", 0), rows.deviation.shape)[:n]
    np.matmul(rows.deviation[:n], component.whitener, out=product)
    return np.concatenate((np.einsum("ij,ij->i", product, product), rows.distance))


def expect(block: RowBlock, component: Component) -> tuple[Moments, float]:
    """Moments of the filled rows and the log-likelihood, all rows of one Gaussian."""
    rows = condition(block, component, covariances=True)
    moments = _sum_rows(block, rows.deviation, block.sqrt_weight)
    value = _log_likelihood(block, component, rows, moments.second)
    assert rows.covariances is not None
    return _with_covariances(moments, rows.covariances), value


def accumulate(block: RowBlock, component: Component, rows: Conditioned, weight: Array) -> Moments:
    """Moments of the filled rows, each with a weight; overwrites what is in `rows`."""
    sqrt_responsibility = np.sqrt(weight)
    rows.deviation[...] *= sqrt_responsibility[:, None]
    sqrt_weight = sqrt_responsibility * block.sqrt_weight
    covariances = _no_inverses(component)
    counts = sqrt_weight * sqrt_weight
    for matrix, blocks, target in (
        (component.precision, block.precision, covariances.precision),
        (component.covariance, block.observed, covariances.observed),
    ):
        solve_blocks(matrix, blocks, weights=blocks.per_pattern(counts), target=target)
    return _with_covariances(_sum_rows(block, rows.deviation, sqrt_weight), covariances)


def _log_likelihood(
    block: RowBlock, component: Component, rows: Conditioned, second: Array
) -> float:
    """Sum of the log-densities, from the rows' second moment where that is accurate enough.

    The squared distances add up to the trace of precision times second moment. That is a
    sum of d^2 terms of both signs, whose size bounds what it may lose.
    """
    terms = component.precision * second
    if np.abs(terms).sum() > _LARGEST_LOSS * block.counts.sum() * component.mean.size:
        return float(log_densities(block, component, rows).sum())
    level = block.counts @ (block.constants - 0.5 * rows.log_det)
    return float(level - 0.5 * (terms.sum() + rows.distance.sum()))


def _sum_rows(block: RowBlock, deviation: Array, sqrt_weight: Array) -> Moments:
    """Moments without conditional covariances."""
    n = block.n_precision
    precise, others = deviation[:n], deviation[n:]
    observed_weight = sqrt_weight[n:] @ sqrt_weight[n:]
    observed_second = others.T @ others if others.shape[0] else np.zeros((deviation.shape[1],) * 2)
    return Moments(
        np.asarray(sqrt_weight[:n] @ sqrt_weight[:n] + observed_weight),
        sqrt_weight[:n] @ precise,
        precise.T @ precise,
        np.asarray(observed_weight),
        sqrt_weight[n:] @ others,
        observed_second,
    )


def _with_covariances(moments: Moments, covariances: ConditionalCovariances) -> Moments:
    return moments._replace(
        second=moments.second + covariances.precision,
        observed_second=moments.observed_second - covariances.observed,
    )


def complete_moments(moments: Moments, covariance: Array) -> tuple[float, Array, Array]:
    """Weight, first and second moment about the mean, observed form included.

    `moments` are sums over all blocks for one component, taken at `covariance`.
    """
    first, second = moments.first, moments.second
    if moments.observed_weight > 0.0:
        first = first + covariance @ moments.observed_first
        second = second + moments.observed_weight * covariance
        second += covariance @ moments.observed_second @ covariance
    # Symmetric to the last bit: near to singular the mean of two roundings is the better one.
    return float(moments.weight), first, 0.5 * (second + second.T)


_local = threading.local()


def _workspace(name: tuple[str, int], shape: tuple[int, ...]) -> Array:
    """An array of the thread's own, allocated once."""
    store: dict[Any, Array] = _local.__dict__
    size = math.prod(shape)
    if name not in store or store[name].size < size:
        store[name] = np.empty(size)
    return store[name][:size].reshape(shape)
