"""The E-step over the blocks of the data, and the sum: in threads, or wherever the blocks are.

The sum is a tree of fixed shape: neighbors are added from left to right, `FAN_IN` at a time, and
so are their sums. Its shape depends only on the number of blocks. So the result has the same bits
for any number of threads, processes or machines, if they run the same kernels.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from emlearn.data.blocks.reading import read_ahead
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.threads import available_threads, limit_openmp_of_thread

#: Number of neighbors that are added from left to right.
FAN_IN = 32

# Items that wait for a free thread.
_WAITING = 2


def add_statistics(left: Any, right: Any, plus: Callable[[Any, Any], Any] = operator.add) -> Any:
    """Sum of two statistics: arrays or numbers, or tuples or dicts of them.

    With ``plus=operator.iadd`` the sum overwrites the arrays of `left`.
    """
    if isinstance(left, tuple):
        # Mostly arrays, for which no call is needed.
        parts = [
            plus(a, b) if isinstance(a, np.ndarray) else add_statistics(a, b, plus)
            for a, b in zip(left, right, strict=True)
        ]
        return type(left)(*parts) if hasattr(left, "_fields") else tuple(parts)
    if isinstance(left, dict):
        return {key: add_statistics(value, right[key], plus) for key, value in left.items()}
    return plus(left, right)


def scale_statistics(statistics: Any, factor: float) -> Any:
    """Statistics times a number; see `add_statistics`."""
    if isinstance(statistics, tuple):
        parts = [scale_statistics(part, factor) for part in statistics]
        return type(statistics)(*parts) if hasattr(statistics, "_fields") else tuple(parts)
    if isinstance(statistics, dict):
        return {key: scale_statistics(value, factor) for key, value in statistics.items()}
    return statistics * factor


class _Sum:
    """A sum of statistics from left to right; None counts as nothing."""

    def __init__(self) -> None:
        self.total: Any = None
        self.n = 0
        self._is_own = False

    def add(self, part: Any) -> None:
        """Add the next part."""
        self.n += 1
        if self.total is None:
            self.total = part
        elif part is not None:
            # The first sum is a new array, to which later terms can be added in place.
            plus = operator.iadd if self._is_own else operator.add
            self.total, self._is_own = add_statistics(self.total, part, plus), True


def sum_neighbors(parts: Iterable[Any]) -> Any:
    """Sum of statistics from left to right. None is the sum of nothing, and counts as nothing."""
    total = _Sum()
    for part in parts:
        total.add(part)
    return total.total


class TreeSum:
    """Sum of statistics that come one after the other, as a tree of fixed shape.

    Only the sums of unfinished branches are kept.
    """

    def __init__(self) -> None:
        self._levels: list[_Sum] = []

    def add(self, part: Any, level: int = 0) -> None:
        """Add the next part."""
        if level == len(self._levels):
            self._levels.append(_Sum())
        self._levels[level].add(part)
        if self._levels[level].n == FAN_IN:
            self._move_up(level)

    def total(self) -> Any:
        """The sum of all parts; None if there were none."""
        level = 0
        while any(above.n for above in self._levels[level + 1 :]):
            if self._levels[level].n:
                self._move_up(level)
            level += 1
        return self._levels[level].total if self._levels else None

    def _move_up(self, level: int) -> None:
        done, self._levels[level] = self._levels[level], _Sum()
        self.add(done.total, level + 1)


class Mapper(Protocol):
    """Evaluates a function at items, such as blocks: in threads, processes or on a cluster.

    A mapper decides where the work is done, not how results are added, so the sum has the same
    bits for all mappers.
    """

    def over(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any]
    ) -> AbstractContextManager[Callable[[Any], Sequence[Any]]]:
        """Bring the items to the workers, once for each run.

        Parameters
        ----------
        function : callable
            Called as ``function(item, shared)``. It can be pickled if the model can.
        items : sequence
            Blocks.

        Returns
        -------
        context : context manager
            Its value is called as ``each(shared)``, and returns
            ``[function(item, shared) for item in items]``, in this order.
        """
        ...

    def summing(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        prepare: Callable[[Any], Any] | None = None,
    ) -> AbstractContextManager[Callable[[Any], Any]]:
        """As `over`, for results that are added; `sum_neighbors` and `TreeSum` say how.

        Optional: a mapper without it sends all results to this process, which adds them.

        Parameters
        ----------
        function : callable
            As for `over`. It returns statistics; see `add_statistics`.
        items : sequence
            Blocks.
        prepare : callable, default=None
            Called as ``prepare(item)``. A mapper with memory for it may call `function` with the
            result in place of the item.

        Returns
        -------
        context : context manager
            Its value is called once for each E-step, as ``total(shared)``, and returns the sum.
        """
        ...


@dataclass(frozen=True)
class Threads:
    """Mapper that works in threads of this process; with one thread, in the caller's.

    Items with a method ``fetch`` are read by one more thread, a little ahead of the others.

    Parameters
    ----------
    n_threads : int, default=1
        Number of threads; at most one for each item is started.
    """

    n_threads: int = 1

    @contextmanager
    def over(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any]
    ) -> Iterator[Callable[[Any], Sequence[Any]]]:
        """See `Mapper.over`."""
        with self._results(function, items) as results:
            yield lambda shared: list(results(shared))

    @contextmanager
    def summing(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        prepare: Callable[[Any], Any] | None = None,
    ) -> Iterator[Callable[[Any], Any]]:
        """See `Mapper.summing`."""

        def total(shared: Any) -> Any:
            tree = TreeSum()
            for part in results(shared):
                tree.add(part)
            return tree.total()

        with self._results(function, items) as results:
            yield total

    @contextmanager
    def _results(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any]
    ) -> Iterator[Callable[[Any], Iterator[Any]]]:
        """The results in order. Only a few items that have been read wait to be worked on."""
        n_threads = min(self.n_threads, len(items))
        fetches = bool(items) and hasattr(items[0], "fetch")

        def read() -> Iterator[Any]:
            return read_ahead(item.fetch for item in items) if fetches else iter(items)

        if n_threads < 2:
            yield lambda shared: (function(item, shared) for item in read())
            return
        pool = ThreadPoolExecutor(n_threads, initializer=limit_openmp_of_thread)

        def results(shared: Any) -> Iterator[Any]:
            waiting: deque[Any] = deque()
            for item in read():
                waiting.append(pool.submit(function, item, shared))
                if len(waiting) >= n_threads + _WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        try:
            yield results
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


ONE_THREAD = Threads()

_chosen: ContextVar[Mapper | None] = ContextVar("mapper", default=None)


@contextmanager
def use_mapper(mapper: Mapper) -> Iterator[None]:
    """Context in which fits work on their blocks with a mapper of the user's choice.

    Parameters
    ----------
    mapper : Mapper
        For example `Processes`. The results have the same bits as with threads.

    Yields
    ------
    None

    Examples
    --------
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.datasets import load_old_faithful
    >>> from emlearn.engine import Threads, use_mapper
    >>> with use_mapper(Threads(2)):
    ...     mixture = GaussianMixtureEM(2).fit(load_old_faithful().data)
    """
    token = _chosen.set(mapper)
    try:
        yield
    finally:
        _chosen.reset(token)


def current_mapper(n_runs: int = 1) -> Mapper:
    """The mapper of `use_mapper`; otherwise all threads that BLAS may use, for so many runs."""
    return _chosen.get() or Threads(max(1, available_threads() // max(1, n_runs)))


class BlockMapper:
    """The E-step over all blocks; a context manager, as mappers may own workers.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    mapper : Mapper, default=Threads(1)
        Where the blocks are worked on, unless the model knows where they are.
    """

    def __init__(
        self, model: LatentVariableModel[Any, Any, Any], data: Any, mapper: Mapper = ONE_THREAD
    ):
        self._model = model
        mapper = model.mapper(data) or mapper
        summing = getattr(mapper, "summing", partial(_sum_of_each, mapper))
        self._context = summing(partial(_e_step, model), model.blocks(data), model.open)

    def __call__(self, params: Any) -> tuple[Any, float]:
        """Statistics and log-likelihood of all blocks at `params`."""
        statistics, log_likelihood = self._total(self._model.precompute(params))
        return statistics, float(log_likelihood)

    def __enter__(self) -> BlockMapper:
        self._total = self._context.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, error, traceback)


@contextmanager
def _sum_of_each(
    mapper: Mapper, function: Callable[[Any, Any], Any], items: Sequence[Any], prepare: Any
) -> Iterator[Callable[[Any], Any]]:
    """`Mapper.summing` of a mapper that has only `over`."""
    with mapper.over(function, items) as each:

        def total(shared: Any) -> Any:
            tree = TreeSum()
            for part in each(shared):
                tree.add(part)
            return tree.total()

        yield total


def _e_step(
    model: LatentVariableModel[Any, Any, Any], block: Any, precomputed: Any
) -> tuple[Any, float]:
    return model.e_step(block, precomputed)
