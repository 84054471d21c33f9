"""The E-step over the blocks of the data, in one or several threads, and the sum.

The order of summation depends only on the number of blocks. The blocks are divided into
at most `_N_GROUPS` groups of neighbors. Each group is summed from left to right, and then
the sums of the groups. So the result has the same bits for any number of threads.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, repeat
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from emlearn.engine.model import LatentVariableModel
from emlearn.engine.threads import limit_openmp_of_thread

_N_GROUPS = 32


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


class Mapper(Protocol):
    """Evaluates a function at the groups of blocks: in threads, processes or on a cluster.

    A mapper decides where the work is done, not how it is divided: the groups and the order
    of the sums do not depend on it, so the result has the same bits for all mappers.
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
            Groups of blocks.

        Returns
        -------
        context : context manager
            Its value is called once for each E-step, as ``each(shared)``, and returns
            ``[function(item, shared) for item in items]``, in this order.
        """
        ...


@dataclass(frozen=True)
class Threads:
    """Mapper that works in threads of this process; with one thread, in the caller's.

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
        n_threads = min(self.n_threads, len(items))
        if n_threads < 2:
            yield lambda shared: [function(item, shared) for item in items]
            return
        pool = ThreadPoolExecutor(n_threads, initializer=limit_openmp_of_thread)
        try:
            yield lambda shared: list(pool.map(function, items, repeat(shared)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


ONE_THREAD = Threads()


class BlockMapper:
    """The E-step over all blocks; a context manager, as mappers may own workers.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    mapper : Mapper, default=Threads(1)
        Where the groups of blocks are worked on.
    """

    def __init__(
        self, model: LatentVariableModel[Any, Any, Any], data: Any, mapper: Mapper = ONE_THREAD
    ):
        self._model = model
        self._context = mapper.over(partial(_sum_group, model), _group(model.blocks(data)))

    def __call__(self, params: Any) -> tuple[Any, float]:
        """Statistics and log-likelihood of all blocks at `params`."""
        return _total(self._each(self._model.precompute(params)))

    def __enter__(self) -> BlockMapper:
        self._each = self._context.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, error, traceback)


def _sum_group(
    model: LatentVariableModel[Any, Any, Any], group: Sequence[Any], working: Any
) -> tuple[Any, float]:
    return _total(model.e_step(block, working) for block in group)


def _group(blocks: Sequence[Any]) -> list[Sequence[Any]]:
    n_groups = min(len(blocks), _N_GROUPS)
    edges = np.linspace(0, len(blocks), n_groups + 1).astype(int)
    return [blocks[start:stop] for start, stop in pairwise(edges)]


def _total(parts: Iterable[tuple[Any, float]]) -> tuple[Any, float]:
    total: Any = None
    log_likelihood = 0.0
    for count, (statistics, value) in enumerate(parts):
        # The first sum is a new array, to which later terms can be added in place.
        plus = operator.add if count == 1 else operator.iadd
        total = statistics if count == 0 else add_statistics(total, statistics, plus)
        log_likelihood += value
    return total, float(log_likelihood)
