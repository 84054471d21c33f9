"""Levels of the columns of items, and the groups in which columns are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._contract import Array
from emlearn.distributions._domain import ColumnError

# Joint levels of a group. The tables of several groups have to fit in the fastest cache.
_JOINT_LEVELS = 128
# A column with more distinct codes than this holds numbers or identifiers, not levels.
MOST_LEVELS = 2**16


class CategoricalSpec(NamedTuple):
    """Levels of the columns, and the groups of columns.

    Attributes
    ----------
    n_levels : ndarray of shape (n_features,)
        Number of levels of each column.
    levels : tuple of ndarray
        Codes of the levels of each column, increasing.
    are_positions : bool
        Whether the levels of all columns are 0, 1, 2, ....
    groups : tuple of (int, int)
        First and last column (exclusive) of each group.
    stride : ndarray of shape (n_features,)
        Increase in the joint level of the group for each level of the column.
    offset : ndarray of shape (n_groups + 1,)
        Position of the first joint level of each group among all joint levels.
    """

    n_levels: NDArray[np.intp]
    levels: tuple[Array, ...]
    are_positions: bool
    groups: tuple[tuple[int, int], ...]
    stride: NDArray[np.intp]
    offset: NDArray[np.intp]


def make_spec(levels: Sequence[Array]) -> CategoricalSpec:
    """Column spec for these levels: group neighbors as long as their joint levels are few."""
    n_levels = np.array([len(own) for own in levels], np.intp)
    sizes = n_levels + 1
    groups, stride, offset = [], np.empty(len(sizes), np.intp), [0]
    start, product = 0, 1
    for column, size in enumerate(sizes):
        if column > start and product * size > _JOINT_LEVELS:
            groups.append((start, column))
            offset.append(offset[-1] + product)
            start, product = column, 1
        stride[column] = product
        product *= int(size)
    groups.append((start, len(sizes)))
    offset.append(offset[-1] + product)
    are_positions = all(own[-1] == len(own) - 1.0 for own in levels)
    return CategoricalSpec(
        n_levels, tuple(levels), are_positions, tuple(groups), stride, np.array(offset, np.intp)
    )


def distinct(column: Array) -> Array:
    """Distinct codes in a column, increasing."""
    codes = column[~np.isnan(column)]
    if codes.max(initial=0.0) < MOST_LEVELS:
        return np.flatnonzero(np.bincount(codes.astype(np.intp))).astype(np.float64)
    return np.unique(codes).astype(np.float64)


def positions_among(X: Array, levels: Sequence[Array]) -> Array:
    """Positions of codes among the levels of their columns; infinity for other codes."""
    positions = np.full(X.shape, np.inf)
    for j, own in enumerate(levels):
        place = np.minimum(np.searchsorted(own, X[:, j]), len(own) - 1)
        positions[:, j] = np.where(own[place] == X[:, j], place, np.inf)
    return positions


def _read_levels(own: Any) -> int | tuple[float, ...]:
    """The declaration for one column: a number of levels, or their codes."""
    codes = np.asarray(own)
    valid = np.issubdtype(codes.dtype, np.number) and np.isrealobj(codes) and codes.size > 0
    if not valid or not ((codes >= 0) & (codes == np.floor(codes)) & np.isfinite(codes)).all():
        raise ValueError(f"n_levels must be integers, or arrays of codes >= 0, got {own!r}.")
    if codes.ndim == 0:
        if codes < 1:
            raise ValueError(f"n_levels must be at least 1, got {own!r}.")
        return int(codes)
    return tuple(np.unique(codes).astype(np.float64).tolist())


def read_declaration(n_levels: Any) -> int | tuple[int | tuple[float, ...], ...]:
    """The declaration as numbers and tuples, which can be hashed and compared."""
    if not isinstance(n_levels, Iterable):
        own = _read_levels(n_levels)
        assert isinstance(own, int)
        return own
    return tuple(_read_levels(own) for own in n_levels)


def require_declared(seen: Array, declared: Array, column: int) -> None:
    """Raise ColumnError if a code that occurs is not a declared level."""
    undeclared = np.setdiff1d(seen, declared)
    if len(undeclared):
        codes = [f"{code:.0f}" for code in declared]
        shown = codes if len(codes) < 9 else [*codes[:4], "...", codes[-1]]
        raise ColumnError(
            [column],
            f"has the code {undeclared[0]:.0f}, which is not among the levels declared by "
            f"n_levels: {', '.join(shown)}.",
        )
