"""Draws from normal distributions within bounds.

A single coordinate is drawn exactly, by inverting its distribution function on a logarithmic
scale. Several coordinates are drawn one after the other, each given the previous ones (the
method of Geweke, Hajivassiliou and Keane), from normals whose means are moved to where later
coordinates have mass within their bounds (exponential tilting; Botev). Each proposal has a weight,
the density without over that with tilting. One of many proposals is chosen by weight, and Gibbs
sweeps correct for their finite number.

References
----------
J. Geweke (1991). "Efficient simulation from the multivariate normal and Student-t
distributions subject to linear constraints". Computing Science and Statistics 23, 571-578.
Z. I. Botev (2017). "The normal law under linear restrictions: simulation and estimation via
minimax tilting". Journal of the Royal Statistical Society B 79(1), 125-148.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

Array = NDArray[np.float64]

# Number of proposals of each component if several coordinates of a row have bounds, and of
# sweeps after one of them is chosen.
_PROPOSALS = 64
_SWEEPS = 20
# Newton steps towards the best tilting, and the residual that is small enough: any tilting is
# valid, and near the best one the weights hardly change.
_TILTING_STEPS = 30
_TILTING_TOL = 1e-3
_HALVINGS = 12
# Numbers in the proposals and matrices of one chunk of rows.
_SHAPE_ENTRIES = 1 << 20
# In an interval this narrow the density is almost constant, and the inverse would lose digits.
_NARROW = 1e-7
_LOWEST = 2.0**-54
_LOG_2PI = float(np.log(2.0 * np.pi))


class Candidate(NamedTuple):
    """Conditional distribution of rows of equal shape in one component of a mixture.

    Attributes
    ----------
    log_weight : ndarray of shape (n_rows,)
        Logarithm of its probability without the bounds.
    mean : ndarray of shape (n_rows, n_missing)
        Mean of the missing entries; those with bounds come last.
    precision : ndarray of shape (n_rows, n_missing, n_missing)
        Inverse of their covariance.
    cholesky : ndarray of shape (n_rows, n_missing, n_missing)
        Its lower Cholesky factor.
    """

    log_weight: Array
    mean: Array
    precision: Array
    cholesky: Array


def draw_within(
    candidates: list[Candidate], low: Array, high: Array, n_bounded: int, rng: np.random.Generator
) -> Array:
    """Missing entries of rows, drawn from a mixture of normals within bounds.

    The draws, including the component, are exact if at most one entry has bounds.

    Parameters
    ----------
    candidates : list of Candidate
        The components.
    low, high : ndarray of shape (n_rows, n_missing)
        Bounds; infinite where there is none.
    n_bounded : int
        How many of the entries, the last ones, have bounds.
    rng : numpy.random.Generator
        Source of the draws.
    """
    n_rows, n_missing = low.shape
    n_proposals = 1 if n_bounded < 2 else _PROPOSALS
    values = np.empty((len(candidates), n_proposals, n_rows, n_missing))
    scores = np.empty((len(candidates), n_proposals, n_rows))
    for k, candidate in enumerate(candidates):
        inside = low - candidate.mean, high - candidate.mean
        tilting = _tilting(candidate.cholesky, *inside, n_bounded)
        values[k], log_mass = _propose(
            candidate.cholesky, *inside, tilting, n_proposals, n_bounded, rng
        )
        scores[k] = candidate.log_weight + log_mass
    chosen = _choose(scores.reshape(-1, n_rows), rng)
    drawn = values.reshape(-1, n_rows, n_missing)[chosen, np.arange(n_rows)]
    for k, candidate in enumerate(candidates):
        own = chosen // n_proposals == k
        shifted = drawn[own]
        if n_bounded > 1:
            inside = (low - candidate.mean)[own], (high - candidate.mean)[own]
            _sweep(candidate.precision[own], shifted, *inside, rng)
        drawn[own] = shifted + candidate.mean[own]
    return np.clip(drawn, low, high)


def equal_shapes(
    missing: NDArray[np.bool_], limited: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], int]]:
    """Rows with equal numbers of missing and of bounded missing entries, and their columns.

    Bounded columns come last. The rows are divided into chunks whose proposals fit into memory.
    """
    bounded = missing & limited
    columns = np.argsort(missing.astype(np.int8) + bounded, axis=1, kind="stable")
    counts = np.stack((missing.sum(axis=1), bounded.sum(axis=1)), axis=1)
    for n_missing, n_bounded in np.unique(counts, axis=0):
        rows = np.flatnonzero((counts == (n_missing, n_bounded)).all(axis=1))
        step = max(1, _SHAPE_ENTRIES // (n_missing * max(_PROPOSALS, n_missing)))
        for start in range(0, rows.size, step):
            part = rows[start : start + step]
            yield part, columns[part, missing.shape[1] - n_missing :], int(n_bounded)


def truncated_normal(low: Array, high: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Standard normal numbers within bounds, and the logarithms of the mass within.

    Parameters
    ----------
    low, high : ndarray of shape (...)
        Bounds, which may be infinite.
    rng : numpy.random.Generator
        Source of the draws.
    """
    # The distribution function is accurate to the left of 0.
    mirrored = low > 0.0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    uniform = np.maximum(rng.random(low.shape), _LOWEST)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        width = high - low
        narrow = width * np.maximum(1.0, np.minimum(np.abs(low), np.abs(high))) < _NARROW
        above, below = log_ndtr(high), log_ndtr(low)
        log_mass = above + np.log1p(-np.exp(below - above))
        value = ndtri_exp(np.logaddexp(below, np.log(uniform) + log_mass))
        middle = 0.5 * (low + high)
        log_mass = np.where(narrow, np.log(width) - 0.5 * (middle**2 + _LOG_2PI), log_mass)
        value = np.where(narrow, low + uniform * width, value)
    # If the logarithm underflows, all mass is at the bound closer to 0.
    value = np.clip(np.where(np.isfinite(value), value, high), low, high)
    value = np.where(mirrored, -value, value)
    return value, np.where(np.isnan(log_mass), -np.inf, log_mass)


def _truncated_moments(low: Array, high: Array) -> tuple[Array, Array]:
    """Means and variances of standard normals within bounds."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mirrored = low > 0.0
        left, right = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
        above, below = log_ndtr(right), log_ndtr(left)
        log_mass = above + np.log1p(-np.exp(below - above))
        at_left = np.exp(-0.5 * (left**2 + _LOG_2PI) - log_mass)
        at_right = np.exp(-0.5 * (right**2 + _LOG_2PI) - log_mass)
        mean = np.clip(at_left - at_right, left, right)
        slope = np.where(at_left > 0.0, left * at_left, 0.0)
        slope -= np.where(at_right > 0.0, right * at_right, 0.0)
        variance = 1.0 + slope - mean**2
    narrow = ~np.isfinite(mean + variance)
    # Without mass in double precision, the bound closer to 0.
    mean = np.where(narrow, right, mean)
    variance = np.where(narrow, 0.0, np.clip(variance, 0.0, 1.0))
    return np.where(mirrored, -mean, mean), variance


def _tilting(cholesky: Array, low: Array, high: Array, n_bounded: int) -> Array:
    """Means of the proposals with which the largest weight is least.

    With R the matrix by which a coordinate depends on those drawn before it, and q the mean of a
    standard normal within the bounds of each, less its tilting, the saddle point of Botev is
    tilting = R'q. The bounds are then those of independent coordinates less (G - 1) q, where
    G = (1 + R)(1 + R)' is the covariance in units of the conditional standard deviations. The
    equation for q has one solution, because its Jacobian is a product of positive definite
    matrices.
    """
    tilting = np.zeros(low.shape)
    if n_bounded < 2:
        return tilting
    block = cholesky[:, -n_bounded:, -n_bounded:]
    pivot = np.diagonal(block, axis1=1, axis2=2)
    # Bounded coordinates x are solutions of block' x = z.
    unit = np.broadcast_to(np.eye(n_bounded), block.shape)
    depends = pivot[:, :, None] * np.linalg.solve(block.transpose(0, 2, 1), unit)
    excess = depends @ depends.transpose(0, 2, 1) - unit
    lowest, highest = pivot * low[:, -n_bounded:], pivot * high[:, -n_bounded:]

    def moments(mean: Array) -> tuple[Array, Array, Array]:
        shift = np.einsum("nij,nj->ni", excess, mean)
        found, variance = _truncated_moments(lowest - shift, highest - shift)
        return mean - found, variance, np.abs(mean - found).max(axis=1)

    mean = np.zeros(lowest.shape)
    residual, variance, error = moments(mean)
    for _ in range(_TILTING_STEPS):
        if (error <= _TILTING_TOL).all():
            break
        step = np.linalg.solve(unit + (1.0 - variance)[:, :, None] * excess, residual[:, :, None])
        length = np.ones((len(mean), 1))
        for _ in range(_HALVINGS):
            trial = mean - length * step[:, :, 0]
            trial_residual, trial_variance, trial_error = moments(trial)
            worse = ~(trial_error < error)
            if not worse.any():
                break
            length[worse] *= 0.5
        better = ~worse
        mean[better], residual[better] = trial[better], trial_residual[better]
        variance[better], error[better] = trial_variance[better], trial_error[better]
        if not better.any():
            break
    found = np.einsum("nji,nj->ni", depends - unit, mean)
    tilting[:, -n_bounded:] = np.where(np.isfinite(found), found, 0.0)
    return tilting


def _propose(
    cholesky: Array,
    low: Array,
    high: Array,
    tilting: Array,
    n_proposals: int,
    n_bounded: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Deviations within bounds, from the last coordinate to the first, and their log weights."""
    n_rows, n_missing = low.shape
    shape = (n_proposals, n_rows)
    values, log_mass = np.zeros((*shape, n_missing)), np.zeros(shape)
    for i in range(n_missing - 1, -1, -1):
        # With the precision L L' the coordinates are solutions of L' x = standard normal.
        pivot = cholesky[:, i, i]
        shift = np.einsum("pnl,nl->pn", values[..., i + 1 :], cholesky[:, i + 1 :, i])
        if i < n_missing - n_bounded:
            standard = rng.standard_normal(shape)
        else:
            tilt = tilting[:, i]
            limits = pivot * low[:, i] + shift - tilt, pivot * high[:, i] + shift - tilt
            standard, mass = truncated_normal(*limits, rng)
            standard += tilt
            log_mass += mass + tilt * (0.5 * tilt - standard)
        values[..., i] = (standard - shift) / pivot
    return values, log_mass


def _choose(scores: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """One of the proposals of each row, with probabilities given by logarithms."""
    top = scores.max(axis=0)
    scores = np.where(np.isfinite(top), scores, 0.0)
    edges = np.cumsum(np.exp(scores - scores.max(axis=0)), axis=0)
    chosen: NDArray[np.intp] = (rng.random(edges.shape[1]) * edges[-1] >= edges[:-1]).sum(axis=0)
    return chosen


def _sweep(
    precision: Array, values: Array, low: Array, high: Array, rng: np.random.Generator
) -> None:
    """Gibbs sweeps over deviations, in place: each coordinate given all others."""
    values[...] = np.clip(values, low, high)
    for _ in range(_SWEEPS):
        gradient = np.einsum("nij,nj->ni", precision, values)
        for i in range(values.shape[1]):
            pivot = precision[:, i, i]
            scale = 1.0 / np.sqrt(pivot)
            center = values[:, i] - gradient[:, i] / pivot
            standard, _ = truncated_normal(
                (low[:, i] - center) / scale, (high[:, i] - center) / scale, rng
            )
            moved = np.clip(center + scale * standard, low[:, i], high[:, i])
            gradient += precision[:, :, i] * (moved - values[:, i])[:, None]
            values[:, i] = moved
