"""Rows of one pattern reduced to weight, mean and scatter: an iteration independent of n.

Only a single Gaussian gives every row of a pattern the same weight, so only it can use
this form. It pays where a pattern has more rows than about half the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from emlearn.engine import DegenerateModelError
from emlearn.gaussian.incomplete.conditioning import Component, Moments
from emlearn.gaussian.incomplete.frame import Frame, row_chunks
from emlearn.gaussian.incomplete.patterns import Index, PatternTable, pattern_members

Array = NDArray[np.float64]

# Below this number of rows the calls for a pattern cost more than its rows do.
_FEWEST_ROWS = 48
_LOG_2PI = float(np.log(2.0 * np.pi))


class PatternMoments(NamedTuple):
    """One pattern: weight, mean and scatter (about the mean) of the observed columns."""

    observed: Index
    missing: Index
    weight: float
    mean: Array
    scatter: Array


class PatternBlock(NamedTuple):
    """Some patterns, and the constant part of their log-likelihood."""

    patterns: tuple[PatternMoments, ...]
    constant: float


def worth_reducing(table: PatternTable) -> NDArray[np.bool_]:
    """Which patterns are reduced to sufficient statistics; complete rows always are."""
    n_rows = np.diff(table.edges)
    complete = ~table.mask.any(axis=1)
    worth: NDArray[np.bool_] = complete | (n_rows >= max(_FEWEST_ROWS, table.mask.shape[1] // 2))
    return worth


def pattern_blocks(
    X: NDArray[np.floating],
    frame: Frame,
    table: PatternTable,
    chosen: Index,
    sample_weight: Array | None,
) -> Iterator[PatternBlock]:
    """Reduce the chosen patterns, and gather them in blocks of some hundred microseconds."""
    n_blocks = max(1, min(16, chosen.size // 8))
    for part in np.array_split(chosen, n_blocks) if chosen.size else ():
        patterns = [_reduce(X, frame, table, int(i), sample_weight) for i in part]
        constant = sum(
            p.weight * (-0.5 * _LOG_2PI * p.observed.size - np.log(frame.scale[p.observed]).sum())
            for p in patterns
        )
        yield PatternBlock(tuple(patterns), float(constant))


def _reduce(
    X: NDArray[np.floating],
    frame: Frame,
    table: PatternTable,
    index: int,
    sample_weight: Array | None,
) -> PatternMoments:
    members = pattern_members(table, index)
    missing = table.mask[index]
    observed = np.flatnonzero(~missing)
    total, first, second = 0.0, np.zeros(observed.size), np.zeros((observed.size,) * 2)
    for rows in row_chunks(members.size, X.shape[1]):
        part = members[rows]
        Z = frame.standardize(X[part])
        if missing.any():
            Z = Z[:, observed]
        if sample_weight is None:
            total += part.size
            first += Z.sum(axis=0)
        else:
            weight = sample_weight[part]
            total += weight.sum()
            first += weight @ Z
            Z *= np.sqrt(weight)[:, None]
        second += Z.T @ Z
    mean = first / total
    scatter = second - total * np.outer(mean, mean)
    return PatternMoments(observed, np.flatnonzero(missing), float(total), mean, scatter)


def expect_patterns(block: PatternBlock, component: Component) -> tuple[Moments, float]:
    """Moments of the filled rows of a block about the mean, and their log-likelihood."""
    d = component.mean.size
    weight, first, second = 0.0, np.zeros(d), np.zeros((d, d))
    log_likelihood = block.constant
    for pattern in block.patterns:
        part_first, part_second, value = (
            _expect_incomplete if pattern.missing.size else _expect_complete
        )(pattern, component)
        weight += pattern.weight
        first += part_first
        second += part_second
        log_likelihood += value
    zero = np.zeros((d, d))
    moments = Moments(np.array(weight), first, second, np.array(0.0), np.zeros(d), zero)
    return moments, log_likelihood


def _expect_complete(pattern: PatternMoments, component: Component) -> tuple[Array, Array, float]:
    shift = pattern.mean - component.mean
    second = pattern.scatter + pattern.weight * np.outer(shift, shift)
    P = component.whitener
    square = float(np.einsum("ij,ij->", P, second @ P))
    value = -0.5 * (pattern.weight * component.log_det + square)
    return pattern.weight * shift, second, value


def _expect_incomplete(pattern: PatternMoments, component: Component) -> tuple[Array, Array, float]:
    o, m, d = pattern.observed, pattern.missing, component.mean.size
    shift = pattern.mean - component.mean[o]
    seen = pattern.scatter + pattern.weight * np.outer(shift, shift)
    factor, info = lapack.dpotrf(component.covariance[np.ix_(o, o)], lower=1)
    if info:
        raise DegenerateModelError("a covariance matrix is not positive definite")
    across = component.covariance[np.ix_(o, m)]
    regression, _ = lapack.dpotrs(factor, across, lower=1)
    left = component.covariance[np.ix_(m, m)] - across.T @ regression
    half, _ = lapack.dtrtrs(factor, seen, lower=1)
    whitened, _ = lapack.dtrtrs(factor, half.T, lower=1)
    log_det = 2.0 * np.log(np.diagonal(factor)).sum()
    filled = np.empty((d, o.size))
    filled[o] = np.eye(o.size)
    filled[m] = regression.T
    first = filled @ (pattern.weight * shift)
    second = filled @ seen @ filled.T
    second[np.ix_(m, m)] += pattern.weight * left
    return first, second, float(-0.5 * (pattern.weight * log_det + np.trace(whitened)))
