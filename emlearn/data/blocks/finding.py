"""Which inputs are read block by block."""

from __future__ import annotations

from typing import Any

from emlearn.data.blocks.contract import RowBlocks, is_row_blocks
from emlearn.data.blocks.mapped import is_mapped

#: Arrays that are mapped from files are read block by block if they are larger than this.
MAPPED_BYTES = 64 * 2**20

# Arrays of other libraries that read their rows from files, by the module of their type.
_STORED = ("h5py", "zarr")


def find_blocks(X: Any, *, always: bool = False) -> RowBlocks | None:
    """Blocks of rows, if X is to be read block by block; None if it is read as a whole.

    Parameters
    ----------
    X : object
        What a user passes in place of rows. These are read block by block: objects with the
        members of `RowBlocks`; arrays of h5py and zarr; arrays of numpy that are mapped from a
        file of more than 64 MB; datasets of pyarrow; arrays and data frames of Dask; data frames
        of Spark.
    always : bool, default=False
        Whether to make blocks of any array.

    Returns
    -------
    blocks : RowBlocks or None
        The blocks.
    """
    module = type(X).__module__.partition(".")[0]
    if module in ("dask", "dask_expr"):
        from emlearn.data.blocks.dask import DaskBlocks

        partitions: RowBlocks = DaskBlocks(X)
        return partitions
    if module == "pyspark":
        from emlearn.data.blocks.spark import SparkBlocks

        return SparkBlocks(X)
    if is_row_blocks(X):
        found: RowBlocks = X
        return found
    if module == "pyarrow" and type(X).__name__.endswith("Dataset"):
        from emlearn.data.blocks.tabular import ParquetBlocks

        files: RowBlocks = ParquetBlocks(X)
        return files
    stored = module in _STORED and hasattr(X, "shape")
    if stored or always or (is_mapped(X) and X.ndim == 2 and X.nbytes > MAPPED_BYTES):
        from emlearn.data.blocks.arrays import ArrayBlocks

        blocks: RowBlocks = ArrayBlocks(X)
        return blocks
    return None
