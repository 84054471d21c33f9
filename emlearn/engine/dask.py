"""Blocks that are partitions on the workers of a Dask cluster.

Plain tasks, without collectives: a worker that dies takes down nothing but its own tasks, which
the scheduler gives to another one, with the partitions they need. An E-step changes nothing, so it
does not matter how often it is tried.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle

from emlearn.engine.block_table import BlockRef
from emlearn.engine.blocks import FAN_IN, sum_neighbors
from emlearn.engine.threads import blas_limited

# How often the scheduler tries a task again that failed.
_RETRIES = 3


class _Sealed:
    """A value in which Dask does not look for tasks, and whose arrays stay aligned in memory.

    Dask cuts the arrays of other objects out of the messages it receives, wherever they begin. And
    a value that cannot be unpickled on a worker would be asked for again and again; here it is an
    error of the task that needs it.
    """

    def __init__(self, value: Any, message: bytes | None = None):
        self._value, self._message = value, message

    @property
    def value(self) -> Any:
        """The value, which is unpickled when it is first asked for."""
        message = self._message
        if message is not None:
            self._value = pickle.loads(message)
            self._message = None
        return self._value

    def __reduce__(self) -> Any:
        message = self._message
        return _received, (cloudpickle.dumps(self._value) if message is None else message,)


def _received(message: bytes) -> _Sealed:
    return _Sealed(None, message)


@dataclass(frozen=True)
class DaskMapper:
    """Mapper that works on a Dask cluster, where the partitions are.

    Statistics are added on the workers, `FAN_IN` at a time, so the client receives one sum. The
    result has the same bits as with any other mapper if the workers run the same kernels, and the
    same whatever the number of workers, also if some of them die.

    Parameters
    ----------
    client : distributed.Client
        The client of the cluster.
    """

    client: Any

    @contextmanager
    def over(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any]
    ) -> Iterator[Callable[[Any], Sequence[Any]]]:
        """See `Mapper.over`."""
        tasks = _Tasks(self.client, function, items, None)
        yield lambda shared: _gather(self.client, tasks.submit(shared))

    @contextmanager
    def summing(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        prepare: Callable[[Any], Any] | None = None,
    ) -> Iterator[Callable[[Any], Any]]:
        """See `Mapper.summing`. What `prepare` makes of the items is kept on the workers."""
        tasks = _Tasks(self.client, function, items, prepare)

        def total(shared: Any) -> Any:
            parts = tasks.submit(shared)
            while len(parts) > 1:
                groups = [parts[i : i + FAN_IN] for i in range(0, len(parts), FAN_IN)]
                parts = tasks.map(_sum, groups)
            return _gather(self.client, parts)[0] if parts else None

        yield total


class _Tasks:
    """A function and its items, on the cluster."""

    def __init__(
        self,
        client: Any,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        prepare: Callable[[Any], Any] | None,
    ):
        self._client = client
        self._function = self._constant(function)
        prepared = None if prepare is None else self._constant(prepare)
        sources = [self._source(item) for item in items]
        slim, raw, weights = zip(*sources, strict=True) if sources else ((), (), ())
        self._items = self.map(_refer, slim, raw, weights, [prepared] * len(items))

    def submit(self, shared: Any) -> list[Any]:
        """Futures of the results for all items."""
        argument, n = self._constant(shared), len(self._items)
        return self.map(_call, [self._function] * n, self._items, [argument] * n)

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """Futures of the values of a function; one message for all of them."""
        found: list[Any] = self._client.map(function, *arguments, pure=False, retries=_RETRIES)
        return found

    def _constant(self, value: Any) -> Any:
        # A task that returns its argument can be repeated, data that were scattered cannot.
        return self.map(_same, [_Sealed(value)])[0]

    def _source(self, item: Any) -> tuple[_Sealed, Any, Any]:
        """An item without its rows, and its rows and weights on the cluster."""
        if not isinstance(item, BlockRef):
            return _Sealed(item), None, None
        weight = item.weight
        if hasattr(weight, "dask"):
            weight = self._client.compute(weight)
        slim = replace(item, source=None, raw=None, weight=None)
        return _Sealed(slim), item.source.futures[item.index], weight


def _same(sealed: _Sealed) -> _Sealed:
    return sealed


def _refer(sealed: _Sealed, raw: Any, weight: Any, prepare: _Sealed | None) -> _Sealed:
    """The item with its rows, which are on this worker."""
    item = sealed.value
    if raw is not None:
        item = replace(item, raw=raw, weight=weight)
    if prepare is None:
        return _Sealed(item)
    with blas_limited():
        return _Sealed(prepare.value(item))


def _call(function: _Sealed, item: _Sealed, shared: _Sealed) -> _Sealed:
    with blas_limited():
        return _Sealed(function.value(item.value, shared.value))


def _sum(parts: Sequence[_Sealed]) -> _Sealed:
    return _Sealed(sum_neighbors(part.value for part in parts))


def _gather(client: Any, futures: Sequence[Any]) -> list[Any]:
    """Results of tasks, or an error that says what happened to the cluster."""
    from asyncio import CancelledError as AsyncCancelledError
    from concurrent.futures import CancelledError

    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        found = [sealed.value for sealed in client.gather(list(futures))]
    except ImportError as error:
        raise RuntimeError(
            "The workers of the Dask cluster cannot import what this fit needs. Install it on all "
            f"of them, or send a file with client.upload_file. Dask says: {error}"
        ) from error
    except KilledWorker as error:
        raise RuntimeError(
            "Workers of the Dask cluster died again and again while they worked on one task, most "
            "probably because they ran out of memory. Use smaller partitions (X.rechunk, "
            "ddf.repartition), fewer threads for each worker, or workers with more memory, and "
            f"call fit again. Dask says: {error}"
        ) from error
    except (CancelledError, AsyncCancelledError, CommClosedError, TimeoutError, OSError) as error:
        raise RuntimeError(
            "The Dask cluster lost what this fit had computed: the scheduler was closed or "
            "restarted, or the connection to it broke. Connect a new client, make or persist X "
            f"again, and call fit again. Dask says: {type(error).__name__}: {error}"
        ) from error
    return found
