"""Blocks that are worked on in other processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from emlearn.engine.blocks import TreeSum
from emlearn.engine.threads import blas_limited

# How often an E-step is tried whose processes died.
_TRIES = 3


@dataclass(frozen=True)
class Processes:
    """Mapper that works in processes of this machine, which joblib starts and keeps.

    Threads are faster where the kernels are compiled, as these do not hold the interpreter's lock.
    Processes help where they are not, and for models that are written in Python.

    Parameters
    ----------
    n_processes : int, default=2
        Number of processes; each uses one thread.

    Examples
    --------
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.datasets import load_old_faithful
    >>> from emlearn.engine import Processes, use_mapper
    >>> with use_mapper(Processes(2)):
    ...     mixture = GaussianMixtureEM(2, random_state=0).fit(load_old_faithful().data)
    >>> mixture.converged_
    True
    """

    n_processes: int = 2

    @contextmanager
    def over(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any]
    ) -> Iterator[Callable[[Any], Sequence[Any]]]:
        """See `Mapper.over`."""
        with self._each(function, items) as each:
            yield lambda shared: list(each(shared))

    @contextmanager
    def summing(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        prepare: Callable[[Any], Any] | None = None,
    ) -> Iterator[Callable[[Any], Any]]:
        """See `Mapper.summing`."""

        def total(shared: Any) -> Any:
            for left in reversed(range(_TRIES)):
                tree = TreeSum()
                try:
                    for part in each(shared):
                        tree.add(part)
                except TerminatedWorkerError as error:
                    if not left:
                        raise _died(error) from error
                except BrokenProcessPool as error:
                    raise RuntimeError(
                        "The other processes cannot unpickle what this fit needs, such as a class "
                        f"of a module that they cannot import. joblib says: {error}"
                    ) from error
                else:
                    break
            return tree.total()

        with self._each(function, items) as each:
            yield total

    @contextmanager
    def _each(
        self, function: Callable[[Any, Any], Any], items: Sequence[Any]
    ) -> Iterator[Callable[[Any], Any]]:
        n = min(self.n_processes, len(items))
        if n < 2:
            yield lambda shared: (function(item, shared) for item in items)
            return
        yield lambda shared: Parallel(n, backend="loky", return_as="generator")(
            delayed(_call)(function, item, shared) for item in items
        )


def _call(function: Callable[[Any, Any], Any], item: Any, shared: Any) -> Any:
    with blas_limited():
        return function(item, shared)


def _died(error: BaseException) -> RuntimeError:
    return RuntimeError(
        f"Processes died {_TRIES} times in the same E-step, most probably because the machine ran "
        f"out of memory. Use fewer processes, or smaller blocks. joblib says: {error}"
    )
