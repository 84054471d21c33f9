"""Blocks of anything that can be sliced like an array."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Size of a block, and its smallest number of rows.
_BLOCK_BYTES = 4 * 2**20
_LEAST_ROWS = 4096


class ArrayBlocks:
    """Blocks of an array that is sliced by rows: of numpy, h5py or zarr, perhaps on disk.

    When it is pickled, as for other processes, an array that is mapped from a file, or that h5py
    reads, becomes the name of the file.

    Parameters
    ----------
    array : array-like of shape (n_rows, n_features)
        The array. It has a shape and a dtype, and can be sliced.
    block_rows : int, default=None
        Number of rows of a block. None makes blocks of about 4 MB of at least 4096 rows, and of
        whole chunks of arrays that are stored in chunks: small enough for the memory, large enough
        to keep a processor busy. It depends on the array alone.
    columns : sequence of int, default=None
        Positions of the columns to read. None means all.

    Attributes
    ----------
    n_rows, n_features : int
        Number of rows, and of columns that are read.
    lengths : list of int
        Number of rows of each block.

    Raises
    ------
    ValueError
        If the array is not two-dimensional, `block_rows` is not at least 1, or there is no such
        column.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.data.blocks import ArrayBlocks
    >>> blocks = ArrayBlocks(np.arange(20.0).reshape(10, 2), block_rows=4)
    >>> len(blocks), blocks.lengths
    (3, [4, 4, 2])
    >>> blocks[2]
    array([[16., 17.],
           [18., 19.]])
    """

    def __init__(
        self,
        array: Any,
        *,
        block_rows: int | None = None,
        columns: Sequence[int] | NDArray[np.intp] | None = None,
    ):
        shape = tuple(getattr(array, "shape", ()))
        if len(shape) != 2:
            raise ValueError(
                f"Expected 2D array, got {type(array).__name__} of shape {shape}. Reshape it: "
                "array.reshape(-1, 1) if it is a single column."
            )
        if np.dtype(array.dtype).names is not None:
            raise ValueError(
                "The array has records. Pass numpy.lib.recfunctions.structured_to_unstructured of "
                "it."
            )
        if block_rows is not None and block_rows < 1:
            raise ValueError(f"block_rows={block_rows!r} must be at least 1.")
        self._array = _Array(array)
        self.n_rows = int(shape[0])
        self.columns = None if columns is None else _positions(columns, int(shape[1]))
        self.n_features = int(shape[1]) if self.columns is None else len(self.columns)
        self.block_rows = int(block_rows or _rows_of_block(array))

    def __len__(self) -> int:
        """Number of blocks."""
        return -(-self.n_rows // self.block_rows)

    def __getitem__(self, index: int) -> Any:
        """Rows of a block."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} blocks; there is no block {index}.")
        start = index * self.block_rows
        block = self._array.rows(start, min(start + self.block_rows, self.n_rows))
        return block if self.columns is None else block[:, self.columns]

    @property
    def lengths(self) -> list[int]:
        """Number of rows of each block."""
        whole, rest = divmod(self.n_rows, self.block_rows)
        return [self.block_rows] * whole + [rest] * (rest > 0)

    def __repr__(self) -> str:
        """Shape of the rows and number of blocks."""
        return f"ArrayBlocks of shape ({self.n_rows}, {self.n_features}) in {len(self)} blocks"


def _positions(columns: Any, n_columns: int) -> NDArray[np.intp]:
    chosen = np.asarray(columns)
    if chosen.dtype == bool and chosen.shape == (n_columns,):
        return np.flatnonzero(chosen)
    valid = chosen.ndim == 1 and chosen.dtype.kind in "iu" and chosen.size > 0
    if not valid or chosen.min() < -n_columns or chosen.max() >= n_columns:
        raise ValueError(
            f"columns={columns!r} must be positions of the {n_columns} columns, or a boolean mask."
        )
    return chosen.astype(np.intp) % n_columns


def _rows_of_block(array: Any) -> int:
    n_rows, n_columns = array.shape
    size = max(n_columns * np.dtype(array.dtype).itemsize, 1)
    rows = max(_BLOCK_BYTES // size, _LEAST_ROWS)
    chunks = getattr(array, "chunks", None)
    if isinstance(chunks, tuple) and len(chunks) == 2 and isinstance(chunks[0], int):
        # Whole chunks, so that none is decompressed twice.
        rows = max(rows // chunks[0], 1) * chunks[0]
    return int(min(max(rows, 1), max(n_rows, 1)))


class _Array:
    """An array that other processes can open again."""

    def __init__(self, array: Any):
        self._array = array
        # h5py does not work in several threads at the same time, whatever the file.
        self._lock = _H5PY if type(array).__module__.startswith("h5py") else None

    def rows(self, start: int, stop: int) -> Any:
        """Some of the rows."""
        if self._lock is None:
            return self._array[start:stop]
        with self._lock:
            return self._array[start:stop]

    def __reduce__(self) -> Any:
        array = self._array
        if type(array).__module__.startswith("h5py"):
            return _open_h5py, (array.file.filename, array.name)
        mapped = _mapping_of(array)
        if mapped is None:
            return _Array, (array,)
        memmap, offset = mapped
        place = (memmap.filename, array.dtype, memmap.offset + offset, array.shape, array.strides)
        return _open_mapped, place


_H5PY = threading.Lock()


def _mapping_of(array: Any) -> tuple[Any, int] | None:
    """The memmap that an array is, or is a view of, and the byte in it where the array begins."""
    owner = array
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap) and not isinstance(owner.base, np.memmap):
            begin = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
            return (owner, begin) if owner.filename is not None else None
        owner = owner.base
    return None


def _open_h5py(filename: str, name: str) -> _Array:
    import h5py

    return _Array(h5py.File(filename, "r")[name])


def _open_mapped(
    filename: str, dtype: Any, offset: int, shape: tuple[int, int], strides: tuple[int, int]
) -> _Array:
    begin = offset + sum(min((n - 1) * step, 0) for n, step in zip(shape, strides, strict=True))
    if begin != offset or not all(shape):
        raise ValueError(
            "An array that is mapped from a file and reversed cannot be opened in other processes. "
            "Reverse the blocks instead, or copy the array."
        )
    extent = dtype.itemsize + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    raw = np.memmap(filename, np.uint8, "r", offset, (extent,))
    return _Array(np.ndarray(shape, dtype, raw, 0, strides))
