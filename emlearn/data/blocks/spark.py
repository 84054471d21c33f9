"""Data frames of Spark, whose partitions are blocks of rows."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from typing import Any


class SparkBlocks:
    """The partitions of a data frame of Spark.

    They are read once, and kept on the executors as long as this object exists: in memory, or on
    disk where it is too small. Partitions of an executor that dies are read again.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        The rows. All columns are features.

    Raises
    ------
    TypeError
        If the frame belongs to a session of Spark Connect, or to the pandas API on Spark.
    """

    def __init__(self, frame: Any):
        if not hasattr(frame, "mapInArrow") or ".connect." in type(frame).__module__:
            raise TypeError(
                f"X is a {type(frame).__name__} of {type(frame).__module__}. Pass a DataFrame of "
                "pyspark.sql: X.to_spark() makes one of a frame of the pandas API on Spark. A "
                "session of Spark Connect cannot keep rows on executors, so use a classic session."
            )
        self.frame = frame
        self.n_features = len(frame.columns)

    @cached_property
    def partitions(self) -> Any:
        """An RDD that has one DataFrame of pandas in each partition."""
        from pyspark import StorageLevel

        batches = self.frame.mapInArrow(_pack, "batch binary").rdd
        tables = batches.mapPartitions(partial(_table, self.frame.columns))
        tables.persist(StorageLevel.MEMORY_AND_DISK)
        weakref.finalize(self, _forget, tables).atexit = False
        return tables

    @cached_property
    def lengths(self) -> list[int]:
        """Number of rows of each partition."""
        return [int(n) for n in self.partitions.map(len).collect()]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(self.lengths)

    def __len__(self) -> int:
        """Number of partitions."""
        return int(self.partitions.getNumPartitions())

    def __getitem__(self, index: int) -> Any:
        """The rows of a partition, in this process."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} partitions; there is no partition {index}.")
        return self.partitions.context.runJob(self.partitions, list, [index])[0]


def _forget(tables: Any) -> None:
    # A session that was stopped in the meantime has forgotten them, and says so.
    with suppress(Exception):
        tables.unpersist()


def _pack(batches: Iterator[Any]) -> Iterator[Any]:
    """Batches of rows as rows of bytes, which Spark lets pass as they are."""
    import pyarrow as pa

    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.RecordBatch.from_pydict({"batch": [sink.getvalue().to_pybytes()]})


def _table(columns: list[str], rows: Iterator[Any]) -> Iterator[Any]:
    """The DataFrame of a partition, which may have no batches."""
    import pandas as pd
    import pyarrow as pa

    tables = [pa.ipc.open_stream(bytes(row.batch)).read_all() for row in rows]
    yield pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame(columns=columns)
