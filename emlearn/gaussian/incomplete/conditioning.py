"""What the observed entries of rows say about the missing ones, under one Gaussian.

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

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from emlearn.engine import DegenerateModelError
from emlearn.gaussian.incomplete.batched import invert
from emlearn.gaussian.incomplete.patterns import RowBlock, Run

Array = NDArray[np.float64]
Index = NDArray[np.intp]


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


class Plan(NamedTuple):
    """Where the entries that a run of rows needs lie.

    Attributes
    ----------
    entries : ndarray of shape (order, n_rows)
        Positions of the run's columns in the raveled rows of the block.
    pairs : ndarray of shape (order, order, n_patterns)
        Positions of each pattern's block in a raveled matrix.
    """

    entries: Index
    pairs: Index


class Conditioned(NamedTuple):
    """Rows of a block under one component.

    Attributes
    ----------
    deviation : ndarray of shape (n_rows, n_features)
        Rows in the precision form: filled row - mean. Others: y of the module's text.
    log_density : ndarray of shape (n_rows,)
        Log-density of what is observed.
    inverses : tuple of ndarray
        For each run the inverses of its blocks, of shape (order, order, n_patterns).
    """

    deviation: Array
    log_density: Array
    inverses: tuple[Array, ...]


class Moments(NamedTuple):
    """Sums over rows from which the M-step follows; additive.

    `outer_*` belong to the rows in the observed form. Completed by `complete_moments`.
    """

    weight: Array
    first: Array
    second: Array
    outer_weight: Array
    outer_first: Array
    outer: Array


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
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise DegenerateModelError("a covariance matrix is not positive definite") from None
    diagonal = np.diagonal(factor)
    if not (np.isfinite(diagonal).all() and (diagonal > 0.0).all()):
        raise DegenerateModelError("a covariance matrix is not positive definite")
    if covariance.shape[0] == 0:
        return covariance, 0.0
    inverse, _ = lapack.dtrtri(factor, lower=1)
    return np.ascontiguousarray(inverse.T), float(2.0 * np.log(diagonal).sum())


def make_plans(block: RowBlock) -> tuple[Plan, ...]:
    """Plans of all runs of a block: cheap to make, too large to keep for all blocks."""
    return tuple(_plan(run, block.rows.shape[1]) for run in block.runs)


def _plan(run: Run, n_columns: int) -> Plan:
    columns = run.columns.astype(np.intp)
    pairs = columns[:, None] * n_columns + columns[None]
    return Plan(run.per_row(columns) + np.arange(run.start, run.stop) * n_columns, pairs)


def condition(
    block: RowBlock, plans: tuple[Plan, ...], component: Component, slot: int = 0
) -> Conditioned:
    """Fill the rows of a block under a component.

    The deviations returned live in a workspace of the thread: a second call with the
    same `slot` overwrites them.
    """
    n, n_runs = block.n_precision, block.n_precision_runs
    deviation = _workspace(("deviation", slot), block.rows.shape)
    np.subtract(block.rows, component.mean, out=deviation)
    log_density = block.constant.copy()
    log_density[:n] -= 0.5 * component.log_det
    inverses = []
    for i, (run, plan) in enumerate(zip(block.runs, plans, strict=True)):
        matrix = component.precision if i < n_runs else component.covariance
        inverse, log_det = invert(matrix.reshape(-1).take(plan.pairs))
        log_density[run.start : run.stop] -= 0.5 * run.per_row(log_det)
        inverses.append(inverse)
    if n:
        _fill_precision_form(block, plans, component, inverses, deviation, log_density)
    for run, plan, inverse in zip(
        block.runs[n_runs:], plans[n_runs:], inverses[n_runs:], strict=True
    ):
        _fill_observed_form(run, plan, inverse, deviation, log_density)
    return Conditioned(deviation, log_density, tuple(inverses))


def _fill_precision_form(
    block: RowBlock,
    plans: tuple[Plan, ...],
    component: Component,
    inverses: list[Array],
    deviation: Array,
    log_density: Array,
) -> None:
    n, n_runs = block.n_precision, block.n_precision_runs
    flat = deviation.reshape(-1)
    for plan in plans[:n_runs]:
        flat[plan.entries] = 0.0
    product = _workspace(("product", 0), deviation.shape)[:n]
    np.matmul(deviation[:n], component.precision, out=product)
    gradient = product.reshape(-1)
    for run, plan, inverse in zip(block.runs, plans[:n_runs], inverses, strict=False):
        fill = np.einsum("ijb,jb->ib", run.per_row(inverse), gradient[plan.entries])
        flat[plan.entries] = np.negative(fill, out=fill)
    # Squares of whitened rows keep their digits where the precision form of the distance,
    # a difference of large numbers for a nearly singular covariance, does not.
    np.matmul(deviation[:n], component.whitener, out=product)
    log_density[:n] -= 0.5 * np.einsum("ij,ij->i", product, product)


def _fill_observed_form(
    run: Run, plan: Plan, inverse: Array, deviation: Array, log_density: Array
) -> None:
    flat = deviation.reshape(-1)
    observed = flat[plan.entries]
    solved = np.einsum("ijb,jb->ib", run.per_row(inverse), observed)
    deviation[run.start : run.stop] = 0.0
    flat[plan.entries] = solved
    log_density[run.start : run.stop] -= 0.5 * np.einsum("ib,ib->b", observed, solved)


def filled_deviation(block: RowBlock, deviation: Array, component: Component) -> Array:
    """Filled rows minus the mean, from what `condition` returned; observed ones as they are."""
    n = block.n_precision
    if n == deviation.shape[0]:
        return deviation
    return np.concatenate((deviation[:n], deviation[n:] @ component.covariance))


def accumulate(
    block: RowBlock, plans: tuple[Plan, ...], rows: Conditioned, weight: Array | None
) -> Moments:
    """Weighted moments of the filled rows, conditional covariances included.

    Overwrites what is in `rows`. A weight of None means 1 for each row.
    """
    n, d = block.n_precision, block.rows.shape[1]
    deviation = rows.deviation
    if weight is None:
        weight = np.ones(deviation.shape[0])
        first, outer_first = deviation[:n].sum(axis=0), deviation[n:].sum(axis=0)
    else:
        first, outer_first = weight[:n] @ deviation[:n], weight[n:] @ deviation[n:]
        deviation *= np.sqrt(weight)[:, None]
    second = deviation[:n].T @ deviation[:n]
    outer = deviation[n:].T @ deviation[n:] if n < deviation.shape[0] else np.zeros((d, d))
    for i, (run, plan, inverse) in enumerate(zip(block.runs, plans, rows.inverses, strict=True)):
        shares = run.per_pattern(weight[run.start : run.stop])
        if i < block.n_precision_runs:
            _scatter(second, plan.pairs, np.multiply(inverse, shares, out=inverse))
        else:
            _scatter(outer, plan.pairs, np.multiply(inverse, -shares, out=inverse))
    outer_weight = weight[n:].sum()
    return Moments(weight[:n].sum() + outer_weight, first, second, outer_weight, outer_first, outer)


def _scatter(target: Array, pairs: Index, blocks: Array) -> None:
    """Add the block of each pattern to its rows and columns of a matrix."""
    flat = target.reshape(-1)
    flat += np.bincount(pairs.reshape(-1), blocks.reshape(-1), minlength=flat.size)


def complete_moments(moments: Moments, covariance: Array) -> tuple[float, Array, Array]:
    """Weight, first and second moment about the mean, observed form included.

    `moments` are sums over all blocks for one component, taken at `covariance`.
    """
    first, second = moments.first, moments.second
    if moments.outer_weight > 0.0:
        first = first + covariance @ moments.outer_first
        second = second + moments.outer_weight * covariance
        second += covariance @ moments.outer @ covariance
    return float(moments.weight), first, second


_local = threading.local()


def _workspace(name: tuple[str, int], shape: tuple[int, ...]) -> Array:
    """An array of the thread's own, allocated once."""
    store: dict[Any, Array] = _local.__dict__
    size = int(np.prod(shape))
    if name not in store or store[name].size < size:
        store[name] = np.empty(size)
    return store[name][:size].reshape(shape)
