"""How many threads the engine may use, and keeping BLAS from adding its own.

Threads work on blocks of data, so each of their matrix products runs single-threaded.
That is the faster division of labour, and the results do not depend on the number of
threads of the BLAS library.

The limit of a BLAS library belongs to the process, that of OpenMP to the calling thread.
So the first to ask for it and the last to leave set the former, and everyone the latter.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> Any:
    # Looking for the loaded libraries takes milliseconds, longer than a small fit.
    return ThreadpoolController()


@cache
def _openmp() -> Any:
    return _controller().select(user_api="openmp")


class _BlasLimit:
    """A process-wide limit of one thread, shared by those who are inside it.

    The limits of the libraries are global, so two threads that each set and restored
    them would undo each other's. The first to enter sets the limit, the last restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._limiter: Any = None
        self._allowed = 1

    def enter(self, allowed: int) -> None:
        with self._lock:
            if self._holders == 0:
                _release_control()
                self._allowed = allowed
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._holders += 1

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                _release_control()
                self._limiter.restore_original_limits()
                self._limiter = None
                _release_control()

    def allowed(self) -> int:
        with self._lock:
            return self._allowed if self._holders else _blas_threads(_controller())


_limit = _BlasLimit()


@contextmanager
def blas_limited() -> Iterator[None]:
    """BLAS and OpenMP libraries run single-threaded inside; may be nested and shared.

    The limit of OpenMP is that of the calling thread: see `limit_openmp_of_thread`.
    """
    allowed = available_threads()
    with _openmp().limit(limits=1):
        _limit.enter(allowed)
        try:
            yield
        finally:
            _limit.leave()


def limit_openmp_of_thread() -> None:
    """Run OpenMP single-threaded in this thread for good: an initializer for thread pools."""
    _openmp().limit(limits=1)


def available_threads() -> int:
    """Threads that BLAS was allowed before the engine limited it.

    Thus `OMP_NUM_THREADS`, `threadpoolctl.threadpool_limits`, the CPU affinity and the
    limits that joblib sets in its worker processes are all respected.
    """
    return _limit.allowed()


def _release_control() -> None:
    # From 3.8 threadpoolctl lets only one thread at a time, the first, limit OpenBLAS and
    # ignores the others. Our last thread to leave is not always the first to have entered.
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


def _blas_threads(controller: Any) -> int:
    # Where the BLAS is not known to threadpoolctl, as Accelerate, OpenMP's number will do.
    for api in ("blas", "openmp"):
        libraries = [lib for lib in controller.lib_controllers if lib.user_api == api]
        if libraries:
            return max(library.get_num_threads() for library in libraries)
    return 1
