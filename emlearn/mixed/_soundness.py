"""What is not sound about the end of a fit: variances that the data do not identify."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emlearn.mixed._covariance import blocks_of
from emlearn.mixed._gram import Array
from emlearn.mixed._params import RESIDUAL, SMALLEST, MixedParams, MixedStatistics

Mask = NDArray[np.bool_]

# Information about variances, relative to their size and to each other, that is rounding error.
_NONE = 1e-9
# Standard deviation of random effects, in units of the noise, that leaves it few digits.
_DOMINANT = 1e6
# Part of the variance below which noise goes to 0, if it is not identified.
_NO_NOISE = 1e-3


def free_entries(patterns: Sequence[Mask]) -> list[tuple[int, int, int]]:
    """Term, row and column of the free entries of the factors."""
    return [
        (j, int(a), int(c))
        for j, pattern in enumerate(patterns)
        for a, c in np.argwhere(np.tril(pattern))
    ]


def unsound(
    names: Sequence[str],
    patterns: Sequence[Mask],
    statistics: MixedStatistics,
    params: MixedParams,
) -> list[str]:
    """Messages about variances that are not accurate, or not identified.

    Parameters
    ----------
    names : sequence of str
        Names of the terms.
    patterns : sequence of ndarray of bool of shape (q, q)
        Which effects may be correlated.
    statistics : MixedStatistics
        Statistics at the parameters.
    params : MixedParams
        The end of a fit.
    """
    explained = [
        repr(name)
        for name, factor in zip(names, params.factors, strict=True)
        if np.abs(factor).max() > _DOMINANT
    ]
    if explained:
        return [
            f"The random effects of {', '.join(explained)} explain y, but for residuals that "
            "are little more than rounding errors, and the variances are not accurate. Check "
            "that y does vary within levels."
        ]
    changed, changes = _changes(names, patterns, params)
    information = changes @ statistics.information @ changes.T
    # Where entries cancel, what is left is rounding errors.
    largest = np.einsum("ia,ab,ib->i", *map(np.abs, (changes, statistics.information, changes)))
    unit = np.sqrt(np.maximum(np.diagonal(information), np.maximum(1e-4 * largest, _NONE)))
    values, vectors = np.linalg.eigh(information / unit[:, None] / unit)
    free = (np.abs(vectors[:, values < _NONE]) > 1e-3).any(axis=1)
    known = statistics.sum_of_squares == 0.0
    found = {} if known else dict.fromkeys(np.array(changed)[free].tolist())
    if not found:
        return []
    relative = 1.0 / (1.0 + sum(float(np.square(factor).sum()) for factor in params.factors))
    if RESIDUAL in found and relative < _NO_NOISE:
        return [
            "The likelihood is highest where the variance of 'residual' is 0, or nearly so: the "
            "random effects account for all of y, as with a heritability of 1. So few rows do not "
            "tell them from noise: use more rows, method='reml' instead of 'ml', or hold the "
            "variance of 'residual' with `fixed`."
        ]
    listed = ", ".join(map(repr, found))
    return [
        f"The variances of {listed} are not identified: others have the same likelihood. Each "
        "level may have a single row, two terms the same levels, or a column may be 0. Leave "
        "out a term, or hold its variance with `fixed`."
    ]


def _changes(
    names: Sequence[str], patterns: Sequence[Mask], params: MixedParams
) -> tuple[list[str], Array]:
    """Changes of the vector form that change the variances, as large as these, and of what.

    A change of a factor within the directions in which it is 0 has no effect, at first.
    """
    entries = free_entries(patterns)
    changed, changes = [], []
    for j, (factor, pattern) in enumerate(zip(params.factors, patterns, strict=True)):
        for block in blocks_of(pattern):
            own = np.ix_(block, block)
            values, vectors = np.linalg.eigh(factor[own])
            for b, a in zip(*np.tril_indices(len(values)), strict=True):
                size = values[b]
                if size > 2.0 * SMALLEST:
                    change = np.zeros_like(factor)
                    outer = size * np.outer(vectors[:, a], vectors[:, b])
                    change[own] = outer + outer.T
                    row = [change[c, d] if i == j else 0.0 for i, c, d in entries]
                    changed.append(names[j])
                    changes.append(np.array([*row, 0.0]))
    return [*changed, RESIDUAL], np.array([*changes, np.eye(len(entries) + 1)[-1]])
