"""Blocks that are partitions on the executors of a Spark cluster.

Plain stages, without barriers: Spark tries a task again that was lost with its executor, on
another one, which reads the partition again. An E-step changes nothing, so it does not matter how
often it is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from emlearn.engine.block_table import BlockRef
from emlearn.engine.blocks import FAN_IN, sum_neighbors
from emlearn.engine.threads import blas_limited


class _Failure(NamedTuple):
    """An error in place of a result, so that the driver can raise it as it is."""

    error: Exception


@dataclass(frozen=True)
class SparkMapper:
    """Mapper that works on a Spark cluster, where the partitions are.

    Statistics are added on the executors, `FAN_IN` at a time, until the driver can receive those
    that are left. The result has the same bits as with any other mapper if the executors run the
    same kernels, and the same whatever the number of executors, also if some of them die.

    Parameters
    ----------
    partitions : pyspark.RDD
        One table of rows in each partition; see `SparkBlocks.partitions`.
    """

    partitions: Any

    @contextmanager
    def over(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any]
    ) -> Iterator[Callable[[Any], Sequence[Any]]]:
        """See `Mapper.over`."""
        placed = self._placed(items)

        def each(shared: Any) -> list[Any]:
            with self._results(function, placed, shared) as results:
                return _collect(results)

        yield each

    @contextmanager
    def summing(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        prepare: Callable[[Any], Any] | None = None,
    ) -> Iterator[Callable[[Any], Any]]:
        """See `Mapper.summing`. What `prepare` makes of the items is kept on the executors."""
        from pyspark import StorageLevel

        placed = self._placed(items)
        if prepare is not None:
            placed = placed.mapPartitions(partial(_each, prepare))
        placed.persist(StorageLevel.MEMORY_AND_DISK)

        def total(shared: Any) -> Any:
            with self._results(function, placed, shared) as parts:
                n_parts = len(items)
                while n_parts > FAN_IN:
                    n_parts = -(-n_parts // FAN_IN)
                    parts = parts.map(_in_group).partitionBy(n_parts, int).mapPartitions(_sum_group)
                return sum_neighbors(_collect(parts))

        try:
            yield total
        finally:
            placed.unpersist()

    @contextmanager
    def _results(
        self, function: Callable[[Any, Any], Any], placed: Any, shared: Any
    ) -> Iterator[Any]:
        """An RDD of positions and results, as long as the executors have what is shared."""
        sent = self.partitions.context.broadcast(_dumps(shared))
        try:
            yield placed.mapPartitions(partial(_each, function, sent=sent))
        finally:
            sent.destroy()

    def _placed(self, items: Sequence[Any]) -> Any:
        """An RDD of positions and items, where their rows are."""
        context = self.partitions.context
        if not any(isinstance(item, BlockRef) for item in items):
            packed = [(position, _dumps(item)) for position, item in enumerate(items)]
            return context.parallelize(packed, max(1, len(packed)))
        slots: list[list[Any]] = [[] for _ in range(self.partitions.getNumPartitions())]
        for position, item in enumerate(items):
            slots[item.index].append((position, replace(item, source=None, raw=None)))
        sent = [_dumps(slot) for slot in slots]
        return self.partitions.zip(context.parallelize(sent, len(slots))).flatMap(_refer)


def _dumps(value: Any) -> bytes:
    # As plain pickle cannot send classes of a notebook.
    from pyspark.serializers import CloudPickleSerializer

    return bytes(CloudPickleSerializer().dumps(value))


def _loads(message: bytes) -> Any:
    from pyspark.serializers import CloudPickleSerializer

    return CloudPickleSerializer().loads(message)


def _refer(pair: tuple[Any, bytes]) -> Iterator[tuple[int, bytes]]:
    """The items of a partition with its rows."""
    for position, item in _loads(pair[1]):
        yield position, _dumps(replace(item, raw=pair[0]))


def _each(
    function: Callable[..., Any], pairs: Iterator[tuple[int, bytes]], sent: Any = None
) -> Iterator[tuple[int, bytes]]:
    arguments = () if sent is None else (_loads(sent.value),)
    for position, message in pairs:
        found = _loads(message)
        if not isinstance(found, _Failure):
            try:
                with blas_limited():
                    found = function(found, *arguments)
            except Exception as error:
                found = _Failure(error)
        yield position, _dumps(found)


def _in_group(pair: tuple[int, bytes]) -> tuple[int, tuple[int, bytes]]:
    return pair[0] // FAN_IN, pair


def _sum_group(pairs: Iterator[tuple[int, tuple[int, bytes]]]) -> Iterator[tuple[int, bytes]]:
    """The sum of a group; after a shuffle its parts come in any order."""
    groups, parts = zip(*pairs, strict=True)
    values = [_loads(message) for _, message in sorted(parts)]
    failed = [value for value in values if isinstance(value, _Failure)]
    yield groups[0], _dumps(failed[0] if failed else sum_neighbors(values))


def _collect(pairs: Any) -> list[Any]:
    """The results in the order of the items."""
    found = [_loads(message) for _, message in sorted(pairs.collect())]
    for result in found:
        if isinstance(result, _Failure):
            raise result.error
    return found
