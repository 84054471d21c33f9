"""Rows that are read block by block, from files or anything else that does not fit in memory."""

from emlearn.data.blocks.arrays import ArrayBlocks
from emlearn.data.blocks.contract import RowBlocks, is_row_blocks
from emlearn.data.blocks.finding import find_blocks
from emlearn.data.blocks.opening import open_rows
from emlearn.data.blocks.reading import map_blocks
from emlearn.data.blocks.tabular import ArrowBlocks, ParquetBlocks

__all__ = [
    "ArrayBlocks",
    "ArrowBlocks",
    "ParquetBlocks",
    "RowBlocks",
    "find_blocks",
    "is_row_blocks",
    "map_blocks",
    "open_rows",
]
