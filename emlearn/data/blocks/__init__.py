"""Rows that are read block by block, from files or anything else that does not fit in memory."""

from emlearn.data.blocks.contract import RowBlocks, is_row_blocks

__all__ = ["RowBlocks", "is_row_blocks"]
