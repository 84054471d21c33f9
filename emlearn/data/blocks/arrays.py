"""Blocks of anything that can be sliced like an array."""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCK_BYTES = 4 * 2**20
_LEAST_ROWS = 4096


class ArrayBlocks:
    """Blocks of an array that is sliced by rows: of numpy, h5py or zarr, perhaps on disk.

    Parameters
    ----------
    array : array-like of shape (n_rows, n_features)
        The array.
    block_rows : int, default=None
        Number of rows of a block. None makes blocks of about 4 MB.
    """

    def __init__(self, array: Any, *, block_rows: int | None = None):
        self.array = array
        self.n_rows, self.n_features = map(int, array.shape)
        width = max(self.n_features * np.dtype(array.dtype).itemsize, 1)
        self.block_rows = block_rows or max(_BLOCK_BYTES // width, _LEAST_ROWS)

    def __len__(self) -> int:
        """Number of blocks."""
        return -(-self.n_rows // self.block_rows)

    def __getitem__(self, index: int) -> Any:
        """Rows of a block."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} blocks; there is no block {index}.")
        start = index * self.block_rows
        return self.array[start : start + self.block_rows]

    @property
    def lengths(self) -> list[int]:
        """Number of rows of each block."""
        whole, rest = divmod(self.n_rows, self.block_rows)
        return [self.block_rows] * whole + [rest] * (rest > 0)
