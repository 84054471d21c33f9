"""How many rows a block has."""

from __future__ import annotations

# Estimators work on numbers of 8 bytes. The size does not depend on how they are stored, so that
# the same rows have the same blocks in every file.
_NUMBER = 8
_BLOCK_BYTES = 4 * 2**20
_LEAST_ROWS = 4096
_MOST_BYTES = 64 * 2**20


def rows_of_block(row_bytes: float, multiple_of: int = 1) -> int:
    """Number of rows of a block of about 4 MB.

    Blocks of wide rows are larger, up to 64 MB, so that they have at least 4096 rows.

    Parameters
    ----------
    row_bytes : float
        Size of a row in memory.
    multiple_of : int, default=1
        Number of rows that are stored together. A block has a multiple of it.

    Returns
    -------
    n_rows : int
        At least 1.
    """
    row_bytes = max(row_bytes, 1.0)
    most = int(_MOST_BYTES / row_bytes)
    n_rows = max(int(_BLOCK_BYTES / row_bytes), min(_LEAST_ROWS, most), 1)
    return max(n_rows // multiple_of, 1) * multiple_of


def bytes_of_row(n_features: int) -> int:
    """Size of a row in memory, as estimators read it."""
    return _NUMBER * n_features


def read_block_rows(block_rows: int | None) -> int | None:
    """Check a number of rows of a block that a user chose; None if there is none."""
    if block_rows is None:
        return None
    if isinstance(block_rows, bool) or not hasattr(block_rows, "__index__"):
        raise TypeError(f"block_rows must be an integer or None, got {block_rows!r}.")
    if block_rows < 1:
        raise ValueError(f"block_rows must be at least 1, got {block_rows!r}.")
    return block_rows.__index__()


def require_block(index: int, n_blocks: int) -> int:
    """Raise IndexError if there is no such block."""
    position = index.__index__()
    if not 0 <= position < n_blocks:
        raise IndexError(f"There are {n_blocks} blocks; there is no block {position}.")
    return position
