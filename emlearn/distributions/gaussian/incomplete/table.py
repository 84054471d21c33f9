"""Rows of one Gaussian that are read block by block: compressed by pattern, or streamed.

Of the rows of a pattern, a single Gaussian needs the weight, mean and scatter only. So if there are
few patterns, one pass over the table leaves a few rows in memory that have the same moments, and EM
never reads the table again. If almost every row has its own pattern, each E-step reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.available import available_moments
from emlearn.distributions.gaussian.incomplete.compressing import compress_patterns, largest_pattern
from emlearn.distributions.gaussian.incomplete.factor_rows import (
    LARGEST_SQUARE,
    CompleteBlock,
    FactorData,
)
from emlearn.distributions.gaussian.incomplete.factors import FactorAnalysis
from emlearn.distributions.gaussian.incomplete.patterns import (
    SortedRows,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.single import CompressedData
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.engine.blockwise import read_blockwise

Array = NDArray[np.float64]

_LOG_2PI = float(np.log(2.0 * np.pi))
# Numbers of compressed rows that are kept in memory.
_KEPT_NUMBERS = 1 << 23
# Rows that wait until rows of the same pattern are joined.
_LOOSE_ROWS = 1 << 16


@dataclass(frozen=True)
class PatternRows:
    """Rows that have the moments of the rows of a table, pattern by pattern; they can be added.

    Attributes
    ----------
    pieces : tuple of SortedRows
        The rows; several pieces can have the same pattern.
    n_joined : int, default=0
        Number of rows after patterns were joined last.
    """

    pieces: tuple[SortedRows, ...]
    n_joined: int = 0

    @classmethod
    def of_part(cls, scaling: ColumnScaling, part: RowPart) -> PatternRows:
        """The rows of a part with something observed."""
        X, weight = part.used[:2]
        patterns = find_patterns(np.isnan(X)).observed()
        found = sorted_rows(X, scaling, patterns, weight)
        return cls(tuple(compress_patterns(chunk) for chunk in found))

    def __add__(self, other: PatternRows) -> PatternRows:
        n_joined = max(self.n_joined, other.n_joined)
        both = PatternRows(self.pieces + other.pieces, n_joined)
        n_rows = sum(len(piece.rows) for piece in both.pieces)
        return both if n_rows < 2 * n_joined + _LOOSE_ROWS else both.joined()

    def joined(self) -> PatternRows:
        """The same rows in one piece, in which each pattern occurs once."""
        if not self.pieces:
            return self
        piece = compress_patterns(_join(self.pieces))
        return PatternRows((piece,), len(piece.rows))


def _join(pieces: Sequence[SortedRows]) -> SortedRows:
    """All rows, sorted by number of missing entries and by pattern."""
    masks = np.concatenate([piece.mask for piece in pieces])
    sizes = np.concatenate([np.diff(piece.edges) for piece in pieces])
    patterns, own = np.unique(masks, axis=0, return_inverse=True)
    place = np.empty(len(patterns), np.intp)
    order_of_patterns = np.argsort(patterns.sum(axis=1), kind="stable")
    place[order_of_patterns] = np.arange(len(patterns))
    pattern = np.repeat(place[own.ravel()], sizes)
    order = np.argsort(pattern, kind="stable")
    rows = np.concatenate([piece.rows for piece in pieces])[order]
    sqrt_weight = np.concatenate([piece.sqrt_weight for piece in pieces])[order]
    edges = np.concatenate(([0], np.cumsum(np.bincount(pattern, minlength=len(patterns)))))
    nowhere = np.zeros(len(rows), np.intp)
    return SortedRows(rows, sqrt_weight, nowhere, edges, patterns[order_of_patterns])


def can_compress(table: BlockTable) -> bool:
    """Whether few enough rows have the same moments, judged by the sample.

    The chance that a row of the rest has a pattern that the sample lacks is about the fraction of
    the rows in the sample whose patterns occur once (I. J. Good, 1953, Biometrika 40, 237-264).
    """
    missing = np.isnan(table.sample.X)
    sizes = np.diff(find_patterns(missing).edges)
    n_rows, n_columns = missing.shape
    new = 0.0 if table.sample_is_all else table.n_used * float((sizes == 1).sum()) / max(n_rows, 1)
    largest = largest_pattern(n_columns)
    expected = new + np.minimum(sizes * (table.n_used / max(n_rows, 1)), largest).sum()
    return bool(expected * n_columns <= _KEPT_NUMBERS)


def compress_complete_table(table: BlockTable, scaling: ColumnScaling) -> FactorData | None:
    """Complete rows with the moments of the table, for a factor analysis of many columns.

    None if a row has a missing entry, or the rows would not become fewer.
    """
    if np.isnan(table.sample.X).any() or not table.n_features < min(table.n_used, LARGEST_SQUARE):
        return None
    found = table.total(partial(PatternRows.of_part, scaling)).joined()
    ((rows, sqrt_weight, _, _, mask),) = found.pieces
    if mask.any():
        return None
    constant = scaling.log_jacobian - 0.5 * _LOG_2PI * table.n_features
    weight = float(sqrt_weight @ sqrt_weight)
    block = CompleteBlock(rows, sqrt_weight, weight, weight * constant)
    return FactorData(scaling, (block,), weight)


def compress_table(table: BlockTable, scaling: ColumnScaling) -> CompressedData:
    """Rows with the moments of the table, found in one pass.

    The rows of the table that `CompressedData` has besides are those of the sample.
    """
    found = table.total(partial(PatternRows.of_part, scaling)).joined()
    blocks = tuple(block for piece in found.pieces for block in row_blocks(piece, scaling))
    weight = float(sum(block.counts.sum() for block in blocks))
    available = available_moments(blocks, table.n_features)
    return CompressedData(scaling, available, blocks, weight, *table.sample[:2])


def prepare_table(model: Any, table: BlockTable, scaling: ColumnScaling) -> tuple[Any, Any]:
    """A model of compressed rows and its data, which are in memory if they are few enough.

    Parameters
    ----------
    model : OneGaussian, MomentFactorAnalysis or FactorAnalysis
        The model. Of the last, rows are compressed only if they are complete.
    table : BlockTable
        The rows.
    scaling : ColumnScaling
        Units of the arithmetic.

    Returns
    -------
    model : LatentVariableModel
        The model.
    data : CompressedData, FactorData or BlockwiseData
        Its data.
    """
    if isinstance(model, FactorAnalysis):
        data = compress_complete_table(table, scaling)
        if data is not None:
            return model, data
    elif can_compress(table):
        return model, compress_table(table, scaling)
    return read_blockwise(model, table, learned=scaling)


def pair_weights(table: BlockTable) -> Array:
    """Sum of the weights of the rows in which both columns of a pair are observed."""
    found: Array = table.total(_pair_weights_of_part)
    return found


def _pair_weights_of_part(part: RowPart) -> Array:
    X, weight = part.used[:2]
    seen = (~np.isnan(X)).astype(np.float64)
    weighted = seen if weight is None else seen * weight[:, None]
    found: Array = weighted.T @ seen
    return found
