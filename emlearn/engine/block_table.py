"""A table that is read block by block: what a model learns from it, and what an E-step reads.

Nothing here holds all rows. Each pass over the table is a sum over its blocks, made by a mapper.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data.blocks.mapped import loaded
from emlearn.data.weights import weight_of_rows
from emlearn.engine.blocks import Mapper, current_mapper

Array = NDArray[Any]

# What an estimator knows about the columns.
_OF_COLUMNS = ("n_features_in_", "feature_names_in_", "_schema")
_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


class RowPart(NamedTuple):
    """Rows that were read.

    Attributes
    ----------
    X : object
        The rows, as the reader returned them.
    weight : ndarray of shape (n_rows,) or None
        Their weights; None means 1 each.
    labels : ndarray of shape (n_rows,) or None
        Their labels, if there are labels.
    first : int or ndarray of shape (n_rows,)
        Position in the table of the first row, which the others follow; or those of all.
    """

    X: Any
    weight: Array | None = None
    labels: Array | None = None
    first: Any = 0

    @property
    def positions(self) -> Array:
        """Positions of the rows in the table."""
        if isinstance(self.first, np.ndarray):
            return self.first
        return np.arange(self.first, self.first + self.X.shape[0])

    def take(self, chosen: Any) -> RowPart:
        """Some of the rows."""
        weight, labels = (None if own is None else own[chosen] for own in self[1:3])
        return RowPart(self.X[chosen], weight, labels, self.positions[chosen])

    @property
    def used(self) -> RowPart:
        """The rows of positive weight."""
        if self.weight is None or self.weight.all():
            return self
        return self.take(self.weight > 0.0)


#: Reads a block: called as ``reader(block)``, it returns an array of checked rows.
Reader = Callable[[Any], Any]


@dataclass(frozen=True)
class TableReader:
    """Reads a block as an estimator reads a table; see `Reader`.

    Attributes
    ----------
    estimator : EMEstimator
        An estimator that has nothing but hyperparameters and what it knows about the columns.
    """

    estimator: Any

    @classmethod
    def of(cls, estimator: Any) -> TableReader:
        """The reader of an estimator that has read its first rows."""
        bare = copy(estimator)
        kept = {*estimator.get_params(deep=False), *_OF_COLUMNS}
        bare.__dict__ = {name: own for name, own in vars(estimator).items() if name in kept}
        return cls(bare)

    def __call__(self, block: Any) -> Any:
        """The rows of a block."""
        n_rows = block.shape[0] if hasattr(block, "shape") else len(block)
        if not n_rows:
            return np.empty((0, self.estimator.n_features_in_))
        return self.estimator._read_rows(block)

    def again(self, block: Any) -> Any:
        """The rows of a block that was checked before: an array of floats is taken as it is."""
        if type(block) is not np.ndarray or block.dtype not in _FLOATS or self._has_marker:
            return self(block)
        return block if block.flags.aligned else self(block)

    @property
    def _has_marker(self) -> bool:
        """Whether numbers can mark missing entries."""
        marker = getattr(self.estimator, "missing_values", np.nan)
        return not (isinstance(marker, float) and np.isnan(marker))


@dataclass(frozen=True, eq=False)
class ColumnsReader:
    """Reads some of the columns; see `Reader`.

    Attributes
    ----------
    reader : callable
        The reader of all columns.
    chosen : ndarray
        Positions of the columns.
    """

    reader: Reader
    chosen: Array

    def __call__(self, block: Any) -> Any:
        """Some columns of the rows of a block."""
        return self.reader(block)[:, self.chosen]

    def again(self, block: Any) -> Any:
        """The same, of a block that was checked before."""
        again = getattr(self.reader, "again", self.reader)
        return again(block)[:, self.chosen]


@dataclass(frozen=True)
class BlockRef:
    """Where a block is, and how it is read.

    Attributes
    ----------
    source : RowBlocks
        The blocks.
    index : int
        Which of them.
    first : int
        Position of its first row in the table.
    reader : callable
        See `Reader`.
    weight, labels : array-like or None
        Weights and labels of its rows.
    dtype : dtype or None
        Precision of the table, if the reader may return another.
    raw : object
        The block itself, once it is fetched.
    """

    source: Any
    index: int
    first: int
    reader: Reader
    weight: Any = None
    labels: Any = None
    dtype: Any = None
    raw: Any = None

    def fetch(self) -> BlockRef:
        """The same block, read into memory."""
        return replace(self, raw=loaded(self.source[self.index]), source=None)

    def open(self) -> RowPart:
        """The rows, checked.

        Raises
        ------
        ValueError
            If the block cannot be read. The message says which block it is.
        """
        raw = self.fetch().raw if self.raw is None else self.raw
        try:
            again = getattr(self.reader, "again", self.reader)
            # The precision of the table is known once all blocks were checked.
            X = self.reader(raw) if self.dtype is None else again(raw)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} ({self._place()})") from error
        if self.dtype is not None:
            X = X.astype(self.dtype, copy=False)
        if isinstance(X, np.ndarray):
            # One layout, so that rows of arrays and of DataFrames lead to the same bits.
            X = np.ascontiguousarray(X)
        weight = None
        if self.weight is not None:
            weight = weight_of_rows(self.weight, X.shape[0], self.first)
        return RowPart(X, weight, self.labels, self.first)

    def _place(self) -> str:
        return f"in block {self.index}, whose row 0 is row {self.first} of X"


@dataclass(frozen=True)
class BlockTable:
    """Rows that are read block by block, with their weights and labels.

    Attributes
    ----------
    refs : tuple of BlockRef
        The blocks that have rows.
    lengths : ndarray of shape (n_blocks,)
        Their numbers of rows.
    n_features : int
        Number of columns.
    dtype : dtype
        Precision of the rows.
    total_weight : float
        Sum of the weights.
    n_used : int
        Number of rows of positive weight.
    sample : RowPart
        Random rows of positive weight in the order of the table; all, if these are few.
    has_weight : bool
        Whether rows have weights.
    placement : Mapper or None
        Where the blocks are, if not in this process.
    """

    refs: tuple[BlockRef, ...]
    lengths: Array
    n_features: int
    dtype: Any
    total_weight: float
    n_used: int
    sample: RowPart
    has_weight: bool
    placement: Mapper | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return int(self.lengths.sum()), self.n_features

    @property
    def n_bytes(self) -> int:
        """Size of the rows in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    @cached_property
    def sample_is_all(self) -> bool:
        """Whether the sample has all rows of positive weight."""
        return bool(self.sample.X.shape[0] == self.n_used)

    def columns(self, chosen: Array) -> BlockTable:
        """The table with some of the columns."""
        if len(chosen) == self.n_features:
            return self
        refs = tuple(replace(ref, reader=ColumnsReader(ref.reader, chosen)) for ref in self.refs)
        sample = self.sample._replace(X=self.sample.X[:, chosen])
        return replace(self, refs=refs, sample=sample, n_features=len(chosen))

    def with_labels(self, labels: Array) -> BlockTable:
        """The table with labels of all rows, also of blocks without weight."""
        edges = np.cumsum([0, *self.lengths])
        refs = tuple(
            replace(ref, labels=labels[start : start + n])
            for ref, start, n in zip(self.refs, edges, self.lengths, strict=False)
        )
        sample = self.sample._replace(labels=labels[self.sample.positions])
        return replace(self, refs=refs, sample=sample)

    @property
    def mapper(self) -> Mapper:
        """Where passes over the table are made."""
        return self.placement or current_mapper()

    def total(self, function: Callable[[RowPart], Any]) -> Any:
        """Sum of ``function(part)`` over the blocks, in one pass."""
        with self.mapper.summing(partial(_apply, function), self.refs) as total:
            return total(None)

    def each(self, function: Callable[[RowPart], Any]) -> list[Any]:
        """Values of ``function(part)`` of all blocks, in one pass."""
        with self.mapper.over(partial(_apply, function), self.refs) as each:
            return list(each(None))


def _apply(function: Callable[[RowPart], Any], ref: BlockRef, _: Any) -> Any:
    return function(ref.open())
