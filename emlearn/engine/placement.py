"""Where blocks of rows are."""

from __future__ import annotations

from emlearn.data.blocks import RowBlocks
from emlearn.data.blocks.spark import SparkBlocks
from emlearn.engine.blocks import Mapper


def placement_of(blocks: RowBlocks) -> Mapper | None:
    """The mapper of blocks that are on a cluster; None for blocks that this process can read."""
    if isinstance(blocks, SparkBlocks):
        from emlearn.engine.spark import SparkMapper

        return SparkMapper(blocks.partitions)
    client = getattr(blocks, "client", None)
    if client is None:
        return None
    from emlearn.engine.dask import DaskMapper

    return DaskMapper(client)
