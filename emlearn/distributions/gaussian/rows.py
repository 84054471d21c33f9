"""Rows in the form that Gaussian components read: complete rows and rows with missing entries.

Complete rows go through the forms of `emlearn.distributions.gaussian.forms` as they are. Rows
with missing entries are sorted by what they lack. Those that lack few entries go through the
compiled kernels in the precision form; the others, and all without compiled kernels, through
`emlearn.distributions.gaussian.incomplete.conditioning`. A row without any observed entry
contains no information and is in neither part.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.blocks import RowBlock
from emlearn.distributions.gaussian.forms import compiled_pays, moment_features
from emlearn.distributions.gaussian.incomplete.batched import Blocks
from emlearn.distributions.gaussian.incomplete.patterns import (
    PatternTable,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.incomplete.patterns import RowBlock as PatternBlock
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.structures import CovarianceStructure
from emlearn.engine.workspace import Workspace
from emlearn.kernels import compiled

Array = NDArray[Any]
Index = NDArray[np.intp]

_LOG_2PI = float(np.log(2.0 * np.pi))
# Largest scaled copy of the data, and of their features, that is kept besides the data.
_RESIDENT_BYTES = 64 * 2**20
_FEATURE_BYTES = 8 * 2**20
# Blocks are as long as the cache allows: threads meet at the interpreter's lock between
# the operations on a block, so that these should take long.
_BLOCK_NUMBERS = 2**20
_BLOCK_ROWS = (1024, 16384)
_BLOCK_NANOSECONDS = 3e5
_COMPILED_NANOSECONDS = 2e5
_COMPILED_BLOCKS = 32
# The observed form ends with products of matrices for each block; so many rows for each
# feature cost much more.
_OBSERVED_FORM_ROWS = 16


class MissingRows(NamedTuple):
    """Rows with missing entries for the compiled kernels.

    Attributes
    ----------
    at : ndarray of shape (n_rows,)
        Their positions in the block.
    rows : ndarray of shape (n_rows, n_features)
        The rows in the units of the data, sorted by pattern, in float64.
    patterns : Blocks
        Missing columns of each pattern, and its rows.
    level : ndarray of shape (n_rows,)
        What the missing columns add to the log-density of any component beside complete
        ones: powers of 2 pi, and the scales of the columns.
    """

    at: Index
    rows: Array
    patterns: Blocks
    level: Array


@dataclass(frozen=True)
class GaussianRows:
    """Encoded rows.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
        The rows in the units of the data, NaN where missing.
    scaling : ColumnScaling
        The coordinates of the arithmetic.
    complete : RowBlock or None
        The complete rows.
    complete_at : ndarray, slice or None
        Their positions; None if all rows are complete.
    missing : MissingRows or None
        Rows with missing entries for the compiled kernels.
    patterns : tuple of RowBlock
        The other rows with missing entries, grouped by pattern; their `order` is their
        positions.
    empty_at : ndarray or None
        Positions of the rows with nothing observed.
    """

    X: Array
    scaling: ColumnScaling
    complete: RowBlock | None
    complete_at: Index | slice | None
    missing: MissingRows | None = None
    patterns: tuple[PatternBlock, ...] = ()
    empty_at: Index | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.X)

    def complete_part(self, values: Array) -> Array:
        """Values (..., n_rows) of the complete rows, contiguous."""
        if self.complete_at is None:
            return values
        return np.ascontiguousarray(values[..., self.complete_at])


def find_missing(X: Array) -> NDArray[np.bool_] | None:
    """Mask of the missing entries; None if there are none."""
    # A sum is a single pass, and NaN if any entry is.
    with np.errstate(over="ignore", invalid="ignore"):
        may_have = np.isnan(X.sum())
    if not may_have:
        return None
    absent = np.isnan(X)
    return absent if absent.any() else None


def encode(
    X: Array, scaling: ColumnScaling, structure: CovarianceStructure, workspace: Workspace
) -> GaussianRows:
    """Sort rows into complete ones, and groups of those with missing entries."""
    absent = find_missing(X)
    if absent is None:
        return GaussianRows(X, scaling, RowBlock(X, scaling, None, workspace), None)
    table = find_patterns(absent)
    n_missing = table.mask.sum(axis=1)
    n_features = X.shape[1]
    is_complete = ~absent.any(axis=1)
    complete_at = _as_slice(np.flatnonzero(is_complete))
    complete = None
    if is_complete.any():
        complete = RowBlock(X[complete_at], scaling, None, workspace)
    few = n_features if structure.is_diagonal else n_features // 2
    few = few if compiled is not None else 0
    first, empty = np.searchsorted(n_missing, [1, n_features])
    split = min(max(first, int(np.searchsorted(n_missing, few + 1))), empty)
    rest = sorted_rows(X, scaling, table.part(split, empty))
    patterns = tuple(block for chunk in rest for block in row_blocks(chunk, scaling))
    missing = _missing_rows(X, table.part(first, split), scaling)
    empty_at = table.part(empty, len(n_missing)).order
    return GaussianRows(
        X, scaling, complete, complete_at, missing, patterns, empty_at if empty_at.size else None
    )


def _as_slice(positions: Index) -> Index | slice:
    """A slice, which makes a view and no copy, where positions are neighbors."""
    if positions.size and positions[-1] - positions[0] + 1 == positions.size:
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def _missing_rows(X: Array, table: PatternTable, scaling: ColumnScaling) -> MissingRows | None:
    if not table.order.size:
        return None
    starts = np.concatenate(([0], np.cumsum(table.mask.sum(axis=1)))).astype(np.int64)
    columns = np.nonzero(table.mask)[1].astype(np.uint16)
    patterns = Blocks(columns, starts, table.edges.astype(np.int64))
    level = table.mask @ (0.5 * _LOG_2PI + np.log(scaling.scale))
    rows = np.ascontiguousarray(X[table.order], np.float64)
    return MissingRows(table.order, rows, patterns, np.repeat(level, np.diff(table.edges)))


def order_of_rows(X: Array) -> Index | None:
    """Complete rows first, then by number of missing entries and by pattern."""
    absent = find_missing(X)
    if absent is None:
        return None
    complete = np.flatnonzero(~absent.any(axis=1))
    return np.concatenate([complete, find_patterns(absent).incomplete().order])


def cut(
    X: Array,
    scaling: ColumnScaling,
    weight: Array | None,
    slices: Sequence[slice],
    structure: CovarianceStructure,
    n_components: int,
) -> list[GaussianRows]:
    """Blocks of rows; of small data, what an E-step derives from complete rows is kept."""
    n_rows, n_features = X.shape
    workspace = Workspace()
    plain = compiled_pays(structure, n_features) and structure.n_moments(n_features) > 0
    width, by_moments = _width(structure, n_components, n_features)
    resident = X.nbytes <= _RESIDENT_BYTES and not plain
    features = width * n_rows * X.itemsize <= _FEATURE_BYTES
    blocks = []
    for part in slices:
        block = encode(X[part], scaling, structure, workspace)
        if block.complete is not None:
            own = None if weight is None else block.complete_part(weight[part])
            complete = replace(block.complete, weight=own)
            if resident:
                complete = _keep(complete, structure, by_moments and features)
            if by_moments and structure.n_moments(n_features) == 0:
                complete = replace(complete, scatter=_scatter(complete))
            block = replace(block, complete=complete)
        blocks.append(block)
    return blocks


def _keep(block: RowBlock, structure: CovarianceStructure, features: bool) -> RowBlock:
    """A block that keeps its rows in scaled coordinates, and their features."""
    x = np.empty((1 + block.rows.shape[1], block.n_rows), block.dtype)
    block = replace(block, resident=block.augment(x))
    if not features:
        return block
    return replace(block, features=moment_features(block, structure).copy())


def _scatter(block: RowBlock) -> Array:
    """Weighted sum of x x' in scaled coordinates."""
    z = block.scaled().astype(np.float64, copy=False)
    scatter: Array = (z if block.weight is None else z * block.weight) @ z.T
    return scatter


def slices_of_rows(X: Array, structure: CovarianceStructure, n_components: int) -> list[slice]:
    """Where to cut the rows: a function of the shape of the problem and what is missing alone."""
    n_rows, n_features = X.shape
    if compiled_pays(structure, n_features) and structure.n_moments(n_features) > 0:
        # Measured. Threads meet at no lock here, but a block needs memory of its own.
        row = 2.2 + 0.25 * n_features + 0.044 * structure.n_moments(n_features)
        most = min(_COMPILED_BLOCKS, int(n_rows * n_components * row / _COMPILED_NANOSECONDS))
        n_blocks = min(max(-(-n_rows // _BLOCK_ROWS[1]), most, 1), n_rows)
    else:
        width, _ = _width(structure, n_components, n_features)
        fewest, most = _BLOCK_ROWS
        rows = min(max(_BLOCK_NUMBERS // width, fewest), most)
        # Measured: about 12 ns for an exponential and 0.3 ns for a feature.
        nanoseconds = n_rows * n_components * (12.0 + 0.3 * width)
        n_blocks = max(-(-n_rows // rows), min(8, int(nanoseconds / _BLOCK_NANOSECONDS)), 1)
    if not structure.is_diagonal and _lacks_much(X):
        n_blocks = min(n_blocks, max(n_rows // (_OBSERVED_FORM_ROWS * n_features), 1))
    edges = [int(edge) for edge in np.linspace(0, n_rows, n_blocks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _lacks_much(X: Array) -> bool:
    """Whether there are rows that lack more than half, for the observed form."""
    absent = find_missing(X)
    if absent is None:
        return False
    n_missing = absent.sum(axis=1)
    return bool(((n_missing > X.shape[1] // 2) & (n_missing < X.shape[1])).any())


def _width(structure: CovarianceStructure, n_components: int, n_features: int) -> tuple[int, bool]:
    """Numbers per row that a form works on, and whether it is the moment form."""
    if structure.prefers_whitening(n_components, n_features):
        return 5 * n_features, False
    return 1 + n_features + structure.n_moments(n_features), True
