"""The number of threads the engine may use, and a limit on the threads of BLAS.

The engine's threads work on blocks of the data, and each matrix product runs in a single
thread. This is faster than threads inside each product, and the results do not depend on
the number of threads of the BLAS library.

The limit of a BLAS library applies to the whole process, the limit of OpenMP to the
calling thread. So the first caller to enter sets the BLAS limit and the last to leave
restores it, while every caller sets the OpenMP limit for itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> Any:
    # Finding the loaded libraries takes milliseconds, longer than a small fit.
    return ThreadpoolController()


@cache
def _openmp() -> Any:
    return _controller().select(user_api="openmp")


class _BlasLimit:
    """A limit of one BLAS thread for the whole process, shared by all who enter it.

    The limit is global, so two threads that both set and restored it would undo each
    other's setting. The first to enter sets it and the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._own = threading.local()
        self._limiter: Any = None
        self._allowed = 1

    def enter(self, allowed: int) -> None:
        with self._lock:
            if self._holders == 0:
                _release_control()
                self._allowed = allowed
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._holders += 1
        self._own.held = True

    def leave(self) -> None:
        self._own.held = False
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

    def after_fork(self) -> None:
        """In a child process: the threads of the parent that held the limit are not here."""
        self._lock = threading.Lock()
        self._holders = int(self.is_held())
        if self._limiter is not None and not self._holders:
            _release_control()
            self._limiter.restore_original_limits()
            self._limiter = None
            _release_control()

    def is_held(self) -> bool:
        """Whether the calling thread holds the limit."""
        return getattr(self._own, "held", False)


_limit = _BlasLimit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.after_fork)


@contextmanager
def blas_limited() -> Iterator[None]:
    """Context in which BLAS and OpenMP run in a single thread; may be nested and shared.

    The limit of OpenMP applies to the calling thread only: see `limit_openmp_of_thread`.
    """
    if _limit.is_held():
        yield
        return
    allowed = available_threads()
    with _openmp().limit(limits=1):
        _limit.enter(allowed)
        try:
            yield
        finally:
            _limit.leave()


def limit_openmp_of_thread() -> None:
    """Limit OpenMP to one thread in this thread, for good: an initializer of thread pools."""
    _openmp().limit(limits=1)


def available_threads() -> int:
    """Number of threads that BLAS could use before the engine limited it.

    So `OMP_NUM_THREADS`, `threadpoolctl.threadpool_limits`, the CPU affinity and the
    limits that joblib sets in its worker processes all apply.
    """
    return _limit.allowed()


def _release_control() -> None:
    # Since 3.8, threadpoolctl lets only the first thread limit OpenBLAS and ignores the
    # others. The last thread to leave here need not be the first that entered.
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


def _blas_threads(controller: Any) -> int:
    # threadpoolctl does not know every BLAS (Accelerate, for one); OpenMP then has to do.
    for api in ("blas", "openmp"):
        libraries = [lib for lib in controller.lib_controllers if lib.user_api == api]
        if libraries:
            return max(library.get_num_threads() for library in libraries)
    return 1
