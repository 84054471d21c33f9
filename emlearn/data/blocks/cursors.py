"""Large pieces of files, read block by block."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, NamedTuple

# Pieces that are being read, and blocks of each that were read before they were asked for.
_OPEN = 2
_WAITING = 4


class Stretch(NamedTuple):
    """Pieces of a file that follow each other, which are small; or one, which is large.

    Attributes
    ----------
    file : int
        Which file.
    pieces : range
        Which pieces.
    n_rows : int
        Their number of rows.
    block_rows : int
        Number of rows of each block but the last.
    """

    file: int
    pieces: range
    n_rows: int
    block_rows: int

    @property
    def lengths(self) -> list[int]:
        """Number of rows of each block."""
        whole, rest = divmod(self.n_rows, self.block_rows)
        return [self.block_rows] * whole + [rest] * (rest > 0)


def stretches_of(file: int, lengths: list[int], block_rows: int, at_most: bool) -> list[Stretch]:
    """Stretches of a file whose blocks have about so many rows, or at most so many.

    Small pieces are put together, and large ones are cut evenly.
    """
    found, start, n_rows = [], 0, 0
    for piece, length in enumerate(lengths):
        if n_rows and n_rows + length > block_rows:
            found.append(Stretch(file, range(start, piece), n_rows, n_rows))
            start, n_rows = piece, 0
        n_rows += length
        if n_rows >= block_rows:
            n_blocks = -(-n_rows // block_rows) if at_most else max(round(n_rows / block_rows), 1)
            found.append(Stretch(file, range(start, piece + 1), n_rows, -(-n_rows // n_blocks)))
            start, n_rows = piece + 1, 0
    if n_rows:
        found.append(Stretch(file, range(start, len(lengths)), n_rows, n_rows))
    return found


class Cursor:
    """Blocks of a stretch, from the first on.

    Parameters
    ----------
    batches : iterator of pyarrow.RecordBatch
        The rows.
    block_rows : int
        Number of rows of a block.
    """

    def __init__(self, batches: Iterator[Any], block_rows: int):
        self._batches, self._block_rows = batches, block_rows
        self._left: list[Any] = []
        self._next = 0
        self._waiting: dict[int, list[Any]] = {}

    def has(self, block: int) -> bool:
        """Whether a block was not read and forgotten."""
        return block >= self._next or block in self._waiting

    def take(self, block: int) -> list[Any]:
        """The record batches of a block, which can be taken once."""
        while self._next <= block:
            self._waiting[self._next] = self._read()
            self._next += 1
        own = self._waiting.pop(block)
        while len(self._waiting) > _WAITING:
            del self._waiting[min(self._waiting)]
        return own

    def _read(self) -> list[Any]:
        batches, n_rows = [], 0
        while n_rows < self._block_rows:
            batch = self._left.pop() if self._left else next(self._batches, None)
            if batch is None:
                break
            needed = self._block_rows - n_rows
            if batch.num_rows > needed:
                self._left.append(batch.slice(needed))
                batch = batch.slice(0, needed)
            batches.append(batch)
            n_rows += batch.num_rows
        return batches


class Cursors:
    """Cursors of the stretches that are being read, by any thread.

    Blocks of a large row group have to be read in order, as Parquet has no way into the middle. So
    a cursor stays where it is, and the next block, which mostly is asked for next, costs no more
    than its own rows.

    Parameters
    ----------
    start : callable
        Called with the number of a stretch, returns a `Cursor` of it.
    """

    def __init__(self, start: Callable[[int], Cursor]):
        self._start = start
        self._open: OrderedDict[int, Cursor] = OrderedDict()
        self._lock = Lock()

    def take(self, stretch: int, block: int, n_blocks: int) -> list[Any]:
        """The record batches of a block of a stretch."""
        if n_blocks == 1:
            return self._start(stretch).take(block)
        with self._lock:
            cursor = self._open.pop(stretch, None)
            if cursor is None or not cursor.has(block):
                cursor = self._start(stretch)
            batches = cursor.take(block)
            if any(cursor.has(own) for own in range(n_blocks)):
                self._open[stretch] = cursor
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
            return batches
