"""Rows prepared for the E-step of a mixture of any family."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.distributions import DomainError, Family
from emlearn.distributions._labels import UNKNOWN
from emlearn.engine.workspace import Workspace

Array = NDArray[Any]

_BLOCK_NUMBERS = 2**18
_BLOCK_ROWS = (512, 16384)
_BLOCK_NANOSECONDS = 2e5
# Rows on which starts are compared, where there are more than twice as many.
_SUBSET_ROWS = 5000
_SUBSET_ROWS_PER_COMPONENT = 100
_SUBSET_ROWS_PER_ENTRY = 10


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


class Distinct(NamedTuple):
    """The distinct rows, in an order that does not depend on that of the rows.

    Attributes
    ----------
    first : ndarray of shape (n_distinct,)
        Position of a row of each kind.
    group : ndarray of shape (n_rows,)
        Which kind each row is of.
    weight : ndarray of shape (n_distinct,)
        Sum of the weights of the rows of each kind.
    """

    first: NDArray[np.intp]
    group: NDArray[np.intp]
    weight: Array


@dataclass(frozen=True)
class FiniteData:
    """All rows of positive weight.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows; of copies, if merged, one.
    weight : ndarray of shape (n_rows,)
        Their weights; the sum over the copies merged.
    labels : ndarray of shape (n_rows,) or None
        See `Observations`; copies with different labels are different rows.
    origin : ndarray of shape (n_rows,)
        Their positions among the rows given.
    distinct : Distinct
        The distinct rows: what is drawn at random for a start is drawn from these, so that
        neither the order of the rows nor copies in the place of weights change it.
    column_spec : object
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
    distinct: Distinct
    column_spec: Any
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
    distinct = find_distinct(X, weight, labels)
    if worth_merging(X, labels, distinct):
        first = distinct.first
        X, weight, origin = X[first], distinct.weight, origin[first]
        labels = None if labels is None else labels[first]
        distinct = Distinct(np.arange(len(first)), np.arange(len(first)), weight)
    try:
        column_spec = family.column_spec(X, weight)
        rows = family.encode(X, column_spec)
    except DomainError as error:
        raise error.at(rows=origin) from None
    blocks = _cut(X, rows, weight, labels, family, n_components)
    return FiniteData(X, weight, labels, origin, distinct, column_spec, rows, blocks)


def subset_rows(
    data: FiniteData, family: Family, n_components: int, rng: np.random.Generator
) -> FiniteData | None:
    """Random rows of large data; None if the data are not large."""
    n_rows = len(data.weight)
    each = max(_SUBSET_ROWS_PER_COMPONENT, int(_SUBSET_ROWS_PER_ENTRY * _width(data.X)))
    size = max(_SUBSET_ROWS, n_components * each)
    if n_rows <= 2 * size:
        return None
    chosen = np.sort(rng.choice(n_rows, size, replace=False, shuffle=False))
    X, rows, weight = data.X[chosen], family.take(data.rows, chosen), data.weight[chosen]
    labels = None if data.labels is None else data.labels[chosen]
    distinct = _group(data.distinct.group[chosen], weight)
    blocks = _cut(X, rows, weight, labels, family, n_components)
    return FiniteData(
        X, weight, labels, data.origin[chosen], distinct, data.column_spec, rows, blocks
    )


def find_distinct(X: Any, weight: Array, labels: Array | None) -> Distinct:
    """Rows that are equal as far as a hash of 64 bits can tell, in the order of the hash."""
    n_rows, n_features = X.shape
    factors = np.random.default_rng(0).integers(1 << 63, size=n_features + 1, dtype=np.uint64)
    factors |= np.uint64(1)
    if hasattr(X, "indptr"):
        hashed = csr_array((_bits(X.data), X.indices, X.indptr), shape=X.shape) @ factors[1:]
    else:
        hashed = np.zeros(n_rows, np.uint64)
        for column, factor in zip(X.T, factors[1:], strict=True):
            hashed += _bits(column) * factor
    if labels is not None:
        hashed += labels.astype(np.uint64) * factors[0]
    return _group(hashed, weight)


def _bits(values: Array) -> Array:
    # Adding 0 makes -0 the same as 0. The low bits of small integers are all zero, and
    # products carry upwards only.
    bits = (values.astype(np.float64) + 0.0).view(np.uint64)
    mixed: Array = bits ^ (bits >> np.uint64(32))
    return mixed


def _group(keys: Array, weight: Array) -> Distinct:
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return Distinct(first, group, np.bincount(group, weight))


def worth_merging(X: Any, labels: Array | None, distinct: Distinct) -> bool:
    """Whether half of the rows are copies, and truly so. Sparse rows are not compared."""
    first, group, _ = distinct
    if hasattr(X, "indptr") or 2 * len(first) > len(group):
        return False
    representative = first[group]
    same = all(np.array_equal(column, column[representative], equal_nan=True) for column in X.T)
    return same and (labels is None or np.array_equal(labels, labels[representative]))


def row_slices(X: Any, n_components: int) -> list[slice]:
    """Where to cut the rows: a function of the shape of the problem alone."""
    n_rows = X.shape[0]
    width = _width(X)
    fewest, most = _BLOCK_ROWS
    rows = min(max(int(_BLOCK_NUMBERS / (n_components + width)), fewest), most)
    nanoseconds = n_rows * n_components * (3.0 + 0.1 * width)
    n_blocks = max(-(-n_rows // rows), min(8, int(nanoseconds / _BLOCK_NANOSECONDS)), 1)
    edges = [int(edge) for edge in np.linspace(0, n_rows, n_blocks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _width(X: Any) -> float:
    """Mean number of entries of a row; of those that are not 0, if X is sparse."""
    return float((X.nnz if hasattr(X, "nnz") else X.size) / max(X.shape[0], 1))


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
