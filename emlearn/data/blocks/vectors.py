"""The first rows of blocks, and vectors with an entry for each row of all blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from emlearn.data.blocks.contract import RowBlocks


def first_rows(blocks: RowBlocks) -> Any:
    """Two rows that show the columns of blocks; the first row twice if it is alone in its block.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    header = getattr(blocks, "header", None)
    if header is not None:
        return header()
    for index in range(len(blocks)):
        block = blocks[index]
        n_rows = int(block.shape[0]) if hasattr(block, "shape") else len(block)
        if n_rows:
            return _rows(block, [0, min(1, n_rows - 1)])
    raise ValueError(
        f"Found array with 0 sample(s) (shape=(0, {blocks.n_features})) while a minimum of 1 is "
        "required: X has no rows."
    )


def _rows(block: Any, positions: list[int]) -> Any:
    for taken in ("iloc", "take"):
        if hasattr(block, taken) and not isinstance(block, np.ndarray):
            own = getattr(block, taken)
            return own[positions] if taken == "iloc" else own(positions)
    return np.asarray(block)[positions] if isinstance(block, list) else block[positions]


def vector_of_blocks(vector: Any, n_rows: int) -> Any:
    """A vector that is read by slices, such as weights; a number is the weight of all rows."""
    if vector is None or _is_stored(vector):
        return vector
    array = np.asanyarray(vector)
    return np.broadcast_to(array, n_rows) if array.ndim == 0 else array


def _is_stored(vector: Any) -> bool:
    module = type(vector).__module__.partition(".")[0]
    return module in ("h5py", "zarr", "dask", "dask_expr")
