"""Rows sorted and grouped by which of their entries are missing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.batched import Blocks
from emlearn.distributions.gaussian.scaling import ColumnScaling

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Rows of a block: enough for a matrix product, few enough for the block to stay in cache.
_BLOCK_ENTRIES = 1 << 16
# Number of rows that are sorted at a time, so that no second copy of the data is needed.
_CHUNK_ENTRIES = 1 << 21
_LOG_2PI = float(np.log(2.0 * np.pi))


class PatternTable(NamedTuple):
    """All patterns of a data set, by number of missing entries.

    Attributes
    ----------
    order : ndarray of shape (n_samples,)
        Row numbers, sorted so that rows of a pattern follow each other.
    edges : ndarray of shape (n_patterns + 1,)
        Pattern p holds ``order[edges[p]:edges[p + 1]]``.
    mask : ndarray of shape (n_patterns, n_features), dtype bool
        Which columns a pattern lacks.
    """

    order: Index
    edges: Index
    mask: NDArray[np.bool_]

    def incomplete(self) -> PatternTable:
        """Without the complete rows."""
        n_complete = int(not self.mask[:1].any()) if len(self.mask) else 0
        return self.part(n_complete, len(self.mask))

    def observed(self) -> PatternTable:
        """Without the rows in which every entry is missing."""
        n_empty = int(self.mask[-1:].all()) if len(self.mask) else 0
        return self.part(0, len(self.mask) - n_empty)

    def part(self, first: int, last: int) -> PatternTable:
        """The rows of the patterns from `first` to before `last`."""
        edges = self.edges[first : last + 1]
        return PatternTable(
            self.order[edges[0] : edges[-1]], edges - edges[0], self.mask[first:last]
        )


class SortedRows(NamedTuple):
    """Rows by pattern, in the units of a scaling.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Standardized rows times `sqrt_weight`; missing entries 0.
    sqrt_weight : ndarray of shape (n_rows,)
        Square roots of the weights: with these in the rows, sums of squares and products need
        no weights. 0 for a row without a mean, see `compress_patterns`.
    order : ndarray of shape (n_rows,)
        Their row numbers in the data, unless compressed.
    edges : ndarray of shape (n_patterns + 1,)
        Pattern p holds ``rows[edges[p]:edges[p + 1]]``.
    mask : ndarray of shape (n_patterns, n_features), dtype bool
        Which columns a pattern lacks.
    """

    rows: Array
    sqrt_weight: Array
    order: Index
    edges: Index
    mask: NDArray[np.bool_]


class RowBlock(NamedTuple):
    """Some of the sorted rows, with their patterns.

    Attributes
    ----------
    rows, sqrt_weight, order : ndarray
        See `SortedRows`.
    missing : ndarray of shape (n_rows, n_features), dtype bool
        Which entries are missing.
    precision : Blocks
        Missing columns of the patterns in the precision form, which come first.
    observed : Blocks
        Observed columns of the patterns in the observed form.
    counts : ndarray of shape (n_patterns,)
        Sum of the weights of each pattern.
    constants : ndarray of shape (n_patterns,)
        The part of the log-density that no parameter changes: powers of 2 pi, and the
        scale of the observed columns, so that densities are those of the original units.
    """

    rows: Array
    sqrt_weight: Array
    order: Index
    missing: NDArray[np.bool_]
    precision: Blocks
    observed: Blocks
    counts: Array
    constants: Array

    @property
    def n_precision(self) -> int:
        """Number of rows in the precision form."""
        return int(self.precision.edges[-1])

    @property
    def edges(self) -> NDArray[np.int64]:
        """Pattern p holds ``rows[edges[p]:edges[p + 1]]``."""
        return np.concatenate((self.precision.edges, self.observed.edges[1:]))

    def per_row(self, values: Array) -> Array:
        """Values of each pattern repeated for its rows."""
        return np.repeat(values, np.diff(self.edges))


def find_patterns(missing: NDArray[np.bool_]) -> PatternTable:
    """Sort rows by number of missing entries, then by size of the pattern, then by pattern."""
    n_rows, n_columns = missing.shape
    packed = np.packbits(missing, axis=1)
    padded = np.zeros((n_rows, max(1, -(-packed.shape[1] // 8)) * 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    words = padded.view(np.uint64)
    order = np.argsort(words[:, 0]) if words.shape[1] == 1 else np.lexsort(words.T)
    ordered = words[order]
    new = np.ones(n_rows + 1, dtype=bool)
    if n_rows:
        new[1:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    edges = np.flatnonzero(new)
    mask = missing[order[edges[:-1]]].reshape(-1, n_columns)
    sizes = np.diff(edges)
    sequence = np.lexsort((sizes, mask.sum(axis=1)))
    sizes = sizes[sequence]
    stops = np.cumsum(sizes)
    moved = np.arange(n_rows) + np.repeat(edges[sequence] - stops + sizes, sizes)
    return PatternTable(order[moved], np.concatenate(([0], stops)), mask[sequence])


def sorted_rows(
    X: NDArray[np.floating],
    scaling: ColumnScaling,
    table: PatternTable,
    sample_weight: Array | None = None,
) -> Iterator[SortedRows]:
    """Standardized rows by pattern, a chunk of the data at a time.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Data, NaN where missing.
    scaling : ColumnScaling
        Units of the rows.
    table : PatternTable
        Patterns of the rows of `X` to take.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights; None means 1 each.
    """
    step = max(1, _CHUNK_ENTRIES // max(1, X.shape[1]))
    for start in range(0, table.order.size, step):
        order = table.order[start : start + step]
        first, last = np.searchsorted(table.edges, (start, start + order.size - 1), side="right")
        edges = np.clip(table.edges[first - 1 : last + 1], start, start + order.size) - start
        weight = np.ones(order.size) if sample_weight is None else sample_weight[order]
        sqrt_weight = np.sqrt(weight)
        rows = scaling.standardize(X, order, sqrt_weight)
        yield SortedRows(rows, sqrt_weight, order, edges, table.mask[first - 1 : last])


def row_blocks(
    chunk: SortedRows, scaling: ColumnScaling, *, precision_only: bool = False
) -> Iterator[RowBlock]:
    """Cut sorted rows into blocks.

    Parameters
    ----------
    chunk : SortedRows
        The rows.
    scaling : ColumnScaling
        Their units.
    precision_only : bool, default=False
        Use the precision form also where more columns are missing than observed.
    """
    n_rows, n_columns = chunk.rows.shape
    limit = n_columns if precision_only else n_columns // 2
    largest = max(min(_BLOCK_ENTRIES // max(1, n_columns), 4096), min(n_columns, 4096))
    constants = -0.5 * _LOG_2PI * (~chunk.mask).sum(axis=1) - ~chunk.mask @ np.log(scaling.scale)
    n_missing = chunk.mask.sum(axis=1)
    cuts = np.linspace(0, n_rows, -(-n_rows // largest) + 1).astype(np.intp)
    for start, stop in pairwise(cuts):
        first, last = np.searchsorted(chunk.edges, (start, stop - 1), side="right")
        here = slice(first - 1, last)
        edges = np.clip(chunk.edges[first - 1 : last + 1], start, stop) - start
        mask, count = chunk.mask[here], n_missing[here]
        split = int(np.searchsorted(count, limit, side="right"))
        sqrt_weight = chunk.sqrt_weight[start:stop]
        yield RowBlock(
            chunk.rows[start:stop],
            sqrt_weight,
            chunk.order[start:stop],
            np.repeat(mask, np.diff(edges), axis=0),
            _blocks(mask[:split], edges[: split + 1]),
            _blocks(~mask[split:], edges[split:]),
            np.add.reduceat(sqrt_weight * sqrt_weight, edges[:-1]),
            constants[here],
        )


def _blocks(mask: NDArray[np.bool_], edges: Index) -> Blocks:
    starts = np.concatenate(([0], np.cumsum(mask.sum(axis=1))))
    columns = np.nonzero(mask)[1].astype(np.uint16)
    return Blocks(columns, starts.astype(np.int64), edges.astype(np.int64))
