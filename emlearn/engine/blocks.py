"""The E-step over the blocks of the data, in one or several threads, and the sum.

The order of summation depends only on the number of blocks. The blocks are divided into
at most `_N_GROUPS` groups of neighbors. Each group is summed from left to right, and then
the sums of the groups. So the result has the same bits for any number of threads.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Any

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


class BlockMapper:
    """The E-step over all blocks: a context manager that owns the threads.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    n_threads : int, default=1
        Threads over groups of blocks; at most one per group is started.
    """

    def __init__(self, model: LatentVariableModel[Any, Any, Any], data: Any, n_threads: int = 1):
        self.model = model
        self.groups = _group(model.blocks(data))
        n_threads = min(n_threads, len(self.groups))
        self._pool = (
            ThreadPoolExecutor(n_threads, initializer=limit_openmp_of_thread)
            if n_threads > 1
            else None
        )

    def __call__(self, params: Any) -> tuple[Any, float]:
        """Statistics and log-likelihood of all blocks at `params`."""
        working = self.model.precompute(params)
        run = map if self._pool is None else self._pool.map
        sums = list(run(self._sum_group, self.groups, [working] * len(self.groups)))
        return _total(sums)

    def _sum_group(self, group: Sequence[Any], working: Any) -> tuple[Any, float]:
        return _total(self.model.e_step(block, working) for block in group)

    def __enter__(self) -> BlockMapper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


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
