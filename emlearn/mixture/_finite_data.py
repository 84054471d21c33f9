"""Rows prepared for the E-step of a mixture of any family."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from emlearn.families import DomainError, Family
from emlearn.gaussian.blocks import Workspace

Array = NDArray[Any]

#: Label of a row whose component is not known.
UNKNOWN = -1

_BLOCK_NUMBERS = 2**18
_BLOCK_ROWS = (512, 16384)
_BLOCK_NANOSECONDS = 2e5
# Rows on which starts are compared, where there are more than twice as many.
_SUBSET_ROWS = 5000
_SUBSET_ROWS_PER_COMPONENT = 200


class Observations(NamedTuple):
    """Rows, and what is known of their components.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows.
    labels : ndarray of shape (n_rows,) or None
        Component of each row, `UNKNOWN` where it is not known; None if none is.
    """

    X: Any
    labels: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class FiniteBlock:
    """Some rows.

    Attributes
    ----------
    rows : object
        Rows encoded by the family.
    weight : ndarray of shape (n_rows,)
        Their weights.
    labels : ndarray of shape (n_rows,) or None
        See `Observations`.
    workspace : Workspace
        Scratch memory shared by the blocks of a data set.
    """

    rows: Any
    weight: Array
    labels: Array | None
    workspace: Workspace


@dataclass(frozen=True)
class FiniteData:
    """All rows: distinct ones, of positive weight.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows.
    weight : ndarray of shape (n_rows,)
        Their weights: the sum over the rows that are copies of each other.
    labels : ndarray of shape (n_rows,) or None
        See `Observations`; copies with different labels are different rows.
    origin : ndarray of shape (n_rows,)
        Position of the first of the copies among the rows given.
    frame : object
        What the family learnt of the columns.
    rows : object
        The rows, encoded.
    blocks : tuple of FiniteBlock
        The rows, cut into blocks.
    """

    X: Any
    weight: Array
    labels: Array | None
    origin: Array
    frame: Any
    rows: Any
    blocks: tuple[FiniteBlock, ...]


def prepare_rows(
    observed: Observations,
    weight: Array | None,
    family: Family,
    n_components: int,
    unlabelled_weight: float,
) -> FiniteData:
    """Drop rows of weight zero, merge copies, encode, cut into blocks."""
    X, labels = observed
    weight = np.ones(X.shape[0]) if weight is None else weight
    if labels is not None:
        weight = np.where(labels == UNKNOWN, unlabelled_weight * weight, weight)
    origin = np.flatnonzero(weight)
    if len(origin) < len(weight):
        X, weight = X[origin], weight[origin]
        labels = None if labels is None else labels[origin]
    merged = find_copies(X, labels)
    if merged is not None:
        first, group = merged
        weight = np.bincount(group, weight)
        X, origin = X[first], origin[first]
        labels = None if labels is None else labels[first]
    try:
        frame = family.frame(X, weight)
        rows = family.encode(X, frame)
    except DomainError as error:
        raise error.at(rows=origin) from None
    blocks = _cut(X, rows, weight, labels, family, n_components)
    return FiniteData(X, weight, labels, origin, frame, rows, blocks)


def subset_rows(
    data: FiniteData, family: Family, n_components: int, rng: np.random.Generator
) -> FiniteData | None:
    """Random rows of large data; None if the data are not large."""
    n_rows = len(data.weight)
    size = max(_SUBSET_ROWS, _SUBSET_ROWS_PER_COMPONENT * n_components)
    if n_rows <= 2 * size:
        return None
    chosen = np.sort(rng.choice(n_rows, size, replace=False, shuffle=False))
    X, rows, weight = data.X[chosen], family.take(data.rows, chosen), data.weight[chosen]
    labels = None if data.labels is None else data.labels[chosen]
    blocks = _cut(X, rows, weight, labels, family, n_components)
    return FiniteData(X, weight, labels, data.origin[chosen], data.frame, rows, blocks)


def find_copies(X: Any, labels: Array | None) -> tuple[Array, Array] | None:
    """First of each set of equal rows, in their order, and the set of each row.

    None if less than half of the rows are copies, or X is sparse: it would not pay. Rows
    are compared by a hash of their bits, and then, where the hashes agree, by their bits.
    """
    if issparse(X):
        return None
    bits = (np.asarray(X, np.float64) + 0.0).view(np.uint64)
    factors = np.random.default_rng(0).integers(1 << 63, size=bits.shape[1] + 1, dtype=np.uint64)
    # The low bits of small integers are all zero, and products only carry upwards.
    hashed = ((bits ^ (bits >> np.uint64(32))) * (factors[1:] | np.uint64(1))).sum(
        axis=1, dtype=np.uint64
    )
    if labels is not None:
        hashed += labels.astype(np.uint64) * (factors[0] | np.uint64(1))
    _, first, group = np.unique(hashed, return_index=True, return_inverse=True)
    if 2 * len(first) > len(hashed):
        return None
    same = (bits == bits[first[group]]).all()
    if labels is not None:
        same &= (labels == labels[first[group]]).all()
    if not same:
        return None
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[group]


def row_slices(X: Any, n_components: int) -> list[slice]:
    """Where to cut the rows: a function of the shape of the problem alone."""
    n_rows = X.shape[0]
    entries = X.nnz if hasattr(X, "nnz") else X.size
    width = entries / max(n_rows, 1)
    fewest, most = _BLOCK_ROWS
    rows = min(max(int(_BLOCK_NUMBERS / (n_components + width)), fewest), most)
    nanoseconds = n_rows * n_components * (3.0 + 0.1 * width)
    n_blocks = max(-(-n_rows // rows), min(8, int(nanoseconds / _BLOCK_NANOSECONDS)), 1)
    edges = [int(edge) for edge in np.linspace(0, n_rows, n_blocks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _cut(
    X: Any, rows: Any, weight: Array, labels: Array | None, family: Family, n_components: int
) -> tuple[FiniteBlock, ...]:
    workspace = Workspace()
    return tuple(
        FiniteBlock(
            family.take(rows, part),
            weight[part],
            None if labels is None else labels[part],
            workspace,
        )
        for part in row_slices(X, n_components)
    )
