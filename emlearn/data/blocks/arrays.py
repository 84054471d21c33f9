"""Blocks of anything that can be sliced like an array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from emlearn.data.blocks.sizes import (
    bytes_of_row,
    read_block_rows,
    require_block,
    rows_of_block,
)
from emlearn.data.blocks.stored import Hdf5Array, module_of, reference_to

# A stored number of a sparse array and its column.
_SPARSE_BYTES = 12


class ArrayBlocks:
    """Blocks of an array that is sliced by rows: of numpy, h5py or zarr, perhaps on disk.

    An array that is on disk is pickled as a reference to its file, so that processes on the same
    machine, or with the same file system, can read it: arrays of numpy that are mapped from a file
    and slices of these, and datasets of h5py. Arrays of zarr pickle in this way themselves. An
    array in memory is pickled whole.

    Parameters
    ----------
    array : array-like of shape (n_rows, n_features)
        What has ``shape``, ``dtype`` and slices of rows: an array of numpy, also one that is
        mapped from a file (`numpy.memmap`, ``numpy.load(path, mmap_mode="r")``), a dataset of
        h5py, an array of zarr, or a sparse array in CSR format.
    block_rows : int, default=None
        Number of rows of a block. None makes blocks of about 4 MB, counting 8 bytes for each
        number, but with at least 4096 rows if these are no more than 64 MB. If h5py or zarr store
        rows in chunks, it is a multiple of these, so that no chunk is read twice. So it depends on
        the shape and the chunks only.
    columns : sequence of int, slice or mask, default=None
        Positions of the columns to read. None means all.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    n_features : int
        Number of columns that are read.
    block_rows : int
        Number of rows of each block but the last.
    dtype : dtype
        Type of the numbers, as they are stored.

    Raises
    ------
    TypeError
        If the array has no shape, no dtype, or no slices of rows.
    ValueError
        If the array does not have two dimensions, or it is complex or structured; if block_rows
        is less than 1, or there is no such column.

    See Also
    --------
    emlearn.data.blocks.open_rows : Blocks of a file.
    emlearn.data.blocks.ParquetBlocks : Blocks of Parquet files.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.data.blocks import ArrayBlocks
    >>> from emlearn.datasets import load_old_faithful
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rows.npy"
    ...     np.save(path, load_old_faithful().data)
    ...     blocks = ArrayBlocks(np.load(path, mmap_mode="r"), block_rows=100)
    ...     mixture = GaussianMixtureEM(2, random_state=0).fit(blocks)
    ...     blocks
    ArrayBlocks(n_rows=272, n_features=2, n_blocks=3)
    >>> mixture.weights_.round(2)
    array([0.36, 0.64])
    """

    def __init__(
        self,
        array: Any,
        *,
        block_rows: int | None = None,
        columns: Sequence[int] | slice | NDArray[Any] | None = None,
    ):
        _require_array(array)
        self.n_rows, width = map(int, array.shape)
        self.dtype = np.dtype(array.dtype)
        self._span, self._within, self.n_features = _read_positions(columns, width)
        own = read_block_rows(block_rows)
        self.block_rows = own or rows_of_block(_row_bytes(array, self.n_features), _chunk(array))
        self._array = array
        self._reference = reference_to(array)
        self._process = os.getpid()

    @property
    def array(self) -> Any:
        """The array. A dataset of h5py is opened again in each process."""
        forked = isinstance(self._reference, Hdf5Array) and self._process != os.getpid()
        if self._array is None or forked:
            assert self._reference is not None
            self._array, self._process = self._reference.open(), os.getpid()
        return self._array

    def __len__(self) -> int:
        """Number of blocks."""
        return -(-self.n_rows // self.block_rows)

    def __getitem__(self, index: int) -> Any:
        """Rows of a block; of an array in memory or a mapped one, a view if all columns are read.

        Parameters
        ----------
        index : int
            Which block.
        """
        start = require_block(index, len(self)) * self.block_rows
        rows = slice(start, start + self.block_rows)
        if self._span is None:
            return self.array[rows]
        block = self.array[rows, self._span]
        return block if self._within is None else block[:, self._within]

    @property
    def lengths(self) -> list[int]:
        """Number of rows of each block."""
        whole, rest = divmod(self.n_rows, self.block_rows)
        return [self.block_rows] * whole + [rest] * (rest > 0)

    def __repr__(self) -> str:
        """The size."""
        size = f"n_rows={self.n_rows}, n_features={self.n_features}, n_blocks={len(self)}"
        return f"{type(self).__name__}({size})"

    def __getstate__(self) -> dict[str, Any]:
        """The state, with a reference in place of an array on disk."""
        state = vars(self).copy()
        if self._reference is not None:
            # Written rows may still be in the memory of this process.
            if isinstance(self._reference, Hdf5Array) and self.array.file.mode != "r":
                raise ValueError(
                    f"{self._reference.filename} is open for writing, so other processes cannot "
                    'read it. Close it, and open it again with h5py.File(path, "r").'
                )
            state["_array"] = None
        elif module_of(self._array) == "h5py":
            raise ValueError(
                "The dataset of h5py is in a file in memory, so other processes cannot read it. "
                "Pass array[:] if its rows fit in memory, or write it to a file on disk."
            )
        return state


def _require_array(array: Any) -> None:
    """Raise an error that says what to do if an array cannot be sliced into blocks of numbers."""
    name = type(array).__name__
    if hasattr(array, "columns") or not hasattr(array, "shape"):
        raise TypeError(
            f"Blocks are slices of an array of numpy, h5py or zarr, got {name}. Estimators take "
            "tables and lists as they are; open_rows reads files."
        )
    if sparse.issparse(array) and getattr(array, "format", None) != "csr":
        raise TypeError(f"A sparse array needs fast slices of rows, got {name}. Pass X.tocsr().")
    if not (hasattr(array, "dtype") and hasattr(array, "__getitem__")):
        raise TypeError(f"An array needs dtype and slices of rows, but {name} has not both.")
    dtype = np.dtype(array.dtype)
    if dtype.names is not None:
        raise ValueError(
            f"The array is structured, with the fields {', '.join(dtype.names)}. Put them in "
            "columns: numpy.lib.recfunctions.structured_to_unstructured(X)."
        )
    if dtype.kind == "c":
        raise ValueError(
            "Complex data not supported: X has complex numbers. Put their real and imaginary parts "
            "in columns of their own."
        )
    if len(array.shape) != 2:
        how = "X.reshape(-1, 1) if it is a single column, otherwise X.reshape(len(X), -1)"
        if module_of(array) in ("h5py", "zarr"):
            how = "write it with two dimensions"
        raise ValueError(
            f"Expected 2D array, got {len(array.shape)}D array of shape {tuple(array.shape)} "
            f"instead. Reshape your data: {how}."
        )


def _read_positions(columns: Any, width: int) -> tuple[slice | None, Any, int]:
    """Columns between which are all chosen, positions of the chosen ones in these, their number.

    None stands for all.
    """
    if columns is None:
        return None, None, width
    chosen = np.arange(width)[columns] if isinstance(columns, slice) else np.asarray(columns)
    if chosen.dtype == bool and chosen.shape == (width,):
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise ValueError(
            f"columns must be positions of columns, such as [0, 2], a slice, or a mask of {width} "
            f"booleans, and choose at least one column, got {columns!r}."
        )
    outside = chosen[(chosen < -width) | (chosen >= width)]
    if len(outside):
        raise ValueError(f"columns has {outside[0]}, but the array has {width} columns.")
    positions = chosen.astype(np.intp) % width
    first, last = int(positions.min()), int(positions.max())
    within = positions - first
    is_span = np.array_equal(within, np.arange(last - first + 1))
    return slice(first, last + 1), None if is_span else within, len(positions)


def _row_bytes(array: Any, n_features: int) -> float:
    """Size of a row in memory, on average."""
    if sparse.isspmatrix_csr(array) or isinstance(array, sparse.csr_array):
        return float(_SPARSE_BYTES * array.nnz / max(array.shape[0], 1))
    return bytes_of_row(n_features)


def _chunk(array: Any) -> int:
    """Number of rows that are stored together."""
    chunks = getattr(array, "chunks", None)
    return max(int(chunks[0]), 1) if chunks else 1
