"""Whether responses determine the loadings of items, and link groups to one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# More items of the same pattern of loadings add no equations that matter.
_OF_A_PATTERN = 6
# Singular values below this share of the largest count as zero.
_RANK = 1e-7


def loose_dimensions(loads: Mask, correlated: bool, common: bool) -> list[int]:
    """Dimensions whose slopes correlations of items do not determine, in ascending order.

    The items are taken for categories of normal variables, whose correlations are all that
    responses tell of slopes. What a logistic curve tells beyond that is next to nothing. The
    derivatives of the correlations with respect to the slopes and the correlations of the
    dimensions have full rank at almost all parameters, or at none; so they are computed at random
    ones.

    Parameters
    ----------
    loads : ndarray of bool, of shape (n_items, n_dims)
        Which items have a slope on which dimension.
    correlated : bool
        Whether the dimensions may be correlated.
    common : bool
        Whether the slopes of a dimension are the same for all items.
    """
    if loads.shape[1] == 1 and (common or len(loads) > 2):
        return []
    patterns, index = np.unique(loads, axis=0, return_inverse=True)
    index = index.ravel()
    kept = [np.flatnonzero(index == k)[:_OF_A_PATTERN] for k in range(len(patterns))]
    mask = loads[np.sort(np.concatenate(kept))]
    n_dims = mask.shape[1]
    item, dim = np.nonzero(mask)
    pairs = np.triu_indices(n_dims, 1) if correlated else (np.empty(0, np.intp),) * 2
    rng = np.random.default_rng(0)
    slopes = np.where(mask, rng.uniform(0.7, 2.0, n_dims if common else mask.shape), 0.0)
    between = np.eye(n_dims)
    between[pairs] = between[pairs[::-1]] = rng.uniform(0.1, 0.4, len(pairs[0]))

    changes = []
    for j, d in zip(item, dim, strict=True):
        change = np.zeros(mask.shape)
        change[j, d] = 1.0
        changes.append(_change(slopes, between, change, np.zeros_like(between)))
    owner = dim
    if common:
        changes = [np.sum(changes, axis=0, where=(dim == d)[:, None]) for d in range(n_dims)]
        owner = np.arange(n_dims)
    for d, e in zip(*pairs, strict=True):
        change = np.zeros_like(between)
        change[d, e] = change[e, d] = 1.0
        changes.append(_change(slopes, between, np.zeros(mask.shape), change))
    _, values, directions = np.linalg.svd(np.stack(changes, axis=1))
    free = directions[int((values > _RANK * values.max(initial=0.0)).sum()) :]
    moves = np.abs(free).max(axis=0, initial=0.0)[: len(owner)] > 1e-6
    return sorted(set(owner[moves].tolist()))


def _change(slopes: Array, between: Array, of_slopes: Array, of_between: Array) -> Array:
    """Derivative of the correlations of the items in one direction."""
    cross = of_slopes @ between @ slopes.T
    shift = cross + cross.T + slopes @ of_between @ slopes.T
    covariance = slopes @ between @ slopes.T + np.eye(len(slopes))
    variance, own = np.diag(covariance), 0.5 * np.diag(shift)
    size = np.sqrt(variance)
    relative = (own / variance)[:, None] + own / variance
    changed = (shift - covariance * relative) / (size[:, None] * size)
    return np.asarray(changed[np.triu_indices(len(slopes), 1)])


def unlinked_group(codes: NDArray[np.int8], groups: NDArray[np.intp]) -> int | None:
    """A group that no chain of items in common links to the first; None if there is none."""
    answered = np.stack([(codes[groups == g] >= 0).any(axis=0) for g in range(groups.max() + 1)])
    linked = np.zeros(len(answered), dtype=bool)
    linked[0] = True
    for _ in answered:
        linked |= answered[:, answered[linked].any(axis=0)].any(axis=1)
    return None if linked.all() else int(np.flatnonzero(~linked)[0])
