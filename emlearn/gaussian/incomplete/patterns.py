"""Rows sorted and grouped by which of their entries are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.gaussian.incomplete.batched import batch_size
from emlearn.gaussian.incomplete.frame import Frame

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Rows of a block: enough for a matrix product, few enough for the block to stay in cache.
_BLOCK_ENTRIES = 1 << 16
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


class Run(NamedTuple):
    """Rows of a block that lack the same *number* of columns.

    Attributes
    ----------
    start, stop : int
        Position of the rows in the block.
    columns : ndarray of shape (n_columns, n_patterns)
        The columns whose block of a matrix is inverted: the missing ones in the precision
        form, the observed ones in the observed form.
    pattern : ndarray of shape (stop - start,) or None
        Pattern of each row; None if each has its own.
    """

    start: int
    stop: int
    columns: NDArray[np.integer]
    pattern: Index | None

    def per_row(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of each pattern (last axis) repeated for its rows."""
        return values if self.pattern is None else values.take(self.pattern, axis=-1)

    def per_pattern(self, weights: Array) -> Array:
        """Weights of rows, added for each pattern."""
        if self.pattern is None:
            return weights
        sums = np.bincount(self.pattern, weights, minlength=self.columns.shape[1])
        return np.asarray(sums, dtype=np.float64)


class RowBlock(NamedTuple):
    """Rows of similar patterns, in the units of a frame.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Standardized rows; missing entries 0.
    order : ndarray of shape (n_rows,)
        Their row numbers in the data.
    weight : ndarray of shape (n_rows,)
        Their weights.
    constant : ndarray of shape (n_rows,)
        The part of the log-density that no parameter changes: powers of 2 pi, and the
        scale of the observed columns, so that densities are those of the original units.
    runs : tuple of Run
        The rows by number of missing entries; those in the precision form come first.
    n_precision : int
        Number of rows in the precision form.
    n_precision_runs : int
        Number of runs of such rows.
    missing : ndarray of shape (n_rows, n_features), dtype bool
        Which entries are missing.
    """

    rows: Array
    order: Index
    weight: Array
    constant: Array
    runs: tuple[Run, ...]
    n_precision: int
    n_precision_runs: int
    missing: NDArray[np.bool_]


def find_patterns(missing: NDArray[np.bool_]) -> PatternTable:
    """Sort rows by number of missing entries, then by pattern, then by row number."""
    n_rows, n_columns = missing.shape
    packed = np.packbits(missing, axis=1)
    padded = np.zeros((n_rows, -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    words = padded.view(np.uint64)
    counts = missing.sum(axis=1)
    order = np.lexsort((*words.T, counts))
    ordered = words[order]
    new = np.ones(n_rows + 1, dtype=bool)
    if n_rows:
        new[1:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    edges = np.flatnonzero(new)
    return PatternTable(order, edges, missing[order[edges[:-1]]].reshape(-1, n_columns))


def row_blocks(
    X: NDArray[np.floating],
    frame: Frame,
    table: PatternTable,
    chosen: Index,
    sample_weight: Array | None = None,
    *,
    precision_only: bool = False,
) -> Iterator[RowBlock]:
    """Cut the rows of the chosen patterns into blocks.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Data, NaN where missing.
    frame : Frame
        Units of the blocks.
    table : PatternTable
        Patterns of `X`.
    chosen : ndarray of int
        Patterns to take, in increasing order.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights; None means 1 each.
    precision_only : bool, default=False
        Use the precision form also where more columns are missing than observed.
    """
    log_scale = np.log(frame.scale)
    limit = X.shape[1] if precision_only else X.shape[1] // 2
    for order, pattern, masks in _portions_of_rows(table, chosen):
        runs, n_precision, n_precision_runs = _runs(masks, pattern, limit)
        missing = masks[pattern]
        constant = -0.5 * _LOG_2PI * (~missing).sum(axis=1) - ~missing @ log_scale
        yield RowBlock(
            frame.standardize(X[order]),
            order,
            np.ones(order.size) if sample_weight is None else sample_weight[order],
            constant,
            runs,
            n_precision,
            n_precision_runs,
            missing,
        )


def pattern_members(table: PatternTable, index: int) -> Index:
    """Row numbers of a pattern."""
    return table.order[table.edges[index] : table.edges[index + 1]]


def _portions_of_rows(
    table: PatternTable, chosen: Index
) -> Iterator[tuple[Index, Index, NDArray[np.bool_]]]:
    """Row numbers of each block, their patterns, and the masks of these patterns."""
    n_columns = max(1, table.mask.shape[1])
    limit = max(min(_BLOCK_ENTRIES // n_columns, 4096), min(n_columns, 4096))
    sizes = np.diff(table.edges)[chosen]
    pattern = np.repeat(np.arange(chosen.size), sizes)
    within = np.arange(pattern.size) - (np.cumsum(sizes) - sizes)[pattern]
    order = table.order[table.edges[chosen][pattern] + within]
    for start in range(0, order.size, limit):
        part = pattern[start : start + limit]
        yield (
            order[start : start + limit],
            part - part[0],
            table.mask[chosen[part[0] : part[-1] + 1]],
        )


def _runs(masks: NDArray[np.bool_], pattern: Index, limit: int) -> tuple[tuple[Run, ...], int, int]:
    """Runs, and how many rows and how many runs are in the precision form.

    Complete rows belong to no run.
    """
    n_columns = masks.shape[1]
    counts = masks.sum(axis=1)
    small: type[np.integer] = np.uint16 if n_columns < 1 << 16 else np.intp
    sizes = np.bincount(pattern, minlength=counts.size)
    stops = np.cumsum(sizes)
    runs: list[Run] = []
    n_precision_runs = 0
    for count in np.unique(counts[counts > 0]):
        precision = bool(count <= limit)
        order = int(count if precision else n_columns - count)
        for part in _portions(np.flatnonzero(counts == count), sizes, batch_size(order)):
            start, stop = int(stops[part[0]] - sizes[part[0]]), int(stops[part[-1]])
            table = masks[part] if precision else ~masks[part]
            columns = np.nonzero(table)[1].reshape(part.size, order).T.astype(small, order="C")
            own = part.size == stop - start
            runs.append(Run(start, stop, columns, None if own else pattern[start:stop] - part[0]))
        n_precision_runs = len(runs) if precision else n_precision_runs
    n_precision = int(sizes[counts <= limit].sum())
    return tuple(runs), n_precision, n_precision_runs


def _portions(members: Index, sizes: Index, limit: int) -> Sequence[Index]:
    """Neighbouring patterns with about `limit` rows together."""
    rows = sizes[members]
    portion = (np.cumsum(rows) - rows) // limit
    return np.split(members, np.flatnonzero(np.diff(portion)) + 1)
