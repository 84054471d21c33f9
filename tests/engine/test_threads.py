"""The limit of one thread for BLAS and OpenMP, and what it leaves to the engine."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
import sklearn.cluster  # noqa: F401  (loads an OpenMP library)
from threadpoolctl import ThreadpoolController, threadpool_limits

from emlearn.engine import BlockMapper, LatentVariableModel, Threads, threads
from emlearn.engine.threads import available_threads, blas_limited, limit_openmp_of_thread

CONTROLLER = ThreadpoolController()
TIMEOUT = 20.0


def limits(api):
    """Numbers of threads, as the calling thread sees them."""
    return [
        library.get_num_threads()
        for library in CONTROLLER.lib_controllers
        if library.user_api == api
    ]


def in_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(TIMEOUT)


@pytest.fixture(autouse=True)
def two_threads():
    """Two threads, so that a limit of one shows; and nothing may be left behind."""
    with threadpool_limits(2):
        before = limits("blas"), limits("openmp")
        if set(before[0]) != {2}:
            pytest.skip("BLAS cannot be given two threads here")
        yield
        assert (limits("blas"), limits("openmp")) == before


def assert_limited():
    assert set(limits("blas")) == {1}
    assert set(limits("openmp")) <= {1}


def test_limits_and_restores():
    with blas_limited():
        assert_limited()
    assert set(limits("blas")) == {2}


def test_restores_after_an_error():
    with pytest.raises(ZeroDivisionError), blas_limited():
        raise ZeroDivisionError
    assert set(limits("blas")) == {2}


def test_nests():
    with blas_limited():
        with blas_limited():
            assert_limited()
        assert_limited()


def test_limits_in_the_threads_inside():
    with blas_limited():

        def inside():
            with blas_limited():
                assert_limited()

        in_thread(inside)
        assert_limited()


def overlapping(leave_first):
    """Two threads that are inside at the same time; what they see after leaving."""
    both_inside, first_left = threading.Barrier(2), threading.Event()
    seen = {}

    def work(name):
        before = limits("openmp")
        with blas_limited():
            both_inside.wait(TIMEOUT)
            if name != leave_first:
                assert first_left.wait(TIMEOUT)
                assert_limited()
        if name == leave_first:
            first_left.set()
        seen[name] = limits("openmp") == before

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, name) for name in ("a", "b")]:
            future.result(TIMEOUT)
    return seen


@pytest.mark.parametrize("leave_first", ["a", "b"])
def test_the_last_to_leave_restores(leave_first):
    assert overlapping(leave_first) == {"a": True, "b": True}
    assert set(limits("blas")) == {2}


def test_the_thread_that_entered_first_may_leave_first():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with blas_limited():
            entered.set()
            assert leave.wait(TIMEOUT)

    with ThreadPoolExecutor(1) as pool:
        with blas_limited():
            future = pool.submit(other)
            assert entered.wait(TIMEOUT)
        assert set(limits("blas")) == {1}
        leave.set()
        future.result(TIMEOUT)
    assert set(limits("blas")) == {2}


def test_many_threads_at_once():
    def work(_):
        for _ in range(30):
            with blas_limited():
                assert_limited()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert set(limits("blas")) == {2}


def test_users_can_set_limits_afterwards():
    with blas_limited():
        pass
    with threadpool_limits(1):
        assert_limited()

    def in_a_thread():
        with blas_limited():
            pass

    in_thread(in_a_thread)
    with threadpool_limits(1):
        assert_limited()


def test_available_threads_before_and_inside():
    assert available_threads() == 2
    with blas_limited():
        assert available_threads() == 2
        with blas_limited():
            assert available_threads() == 2
        assert in_thread(available_threads) == 2
    assert available_threads() == 2


def test_available_threads_respects_the_users_limits():
    with threadpool_limits(1):
        assert available_threads() == 1
        with blas_limited():
            assert available_threads() == 1
    assert available_threads() == 2


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [
        ([("blas", 3), ("blas", 4), ("openmp", 8)], 4),
        ([("openmp", 8)], 8),
        ([], 1),
    ],
)
def test_available_threads_where_no_blas_is_known(monkeypatch, libraries, expected):
    controller = SimpleNamespace(
        lib_controllers=[
            SimpleNamespace(user_api=api, get_num_threads=lambda n=n: n) for api, n in libraries
        ]
    )
    monkeypatch.setattr(threads, "_controller", lambda: controller)
    assert available_threads() == expected


def test_openmp_of_a_pool_is_limited():
    with ThreadPoolExecutor(1, initializer=limit_openmp_of_thread) as pool:
        assert set(pool.submit(limits, "openmp").result(TIMEOUT)) <= {1}


def test_openmp_is_limited_in_the_threads_of_a_mapper():
    class Asking(LatentVariableModel):
        def prepare(self, X, sample_weight=None):
            return X

        def blocks(self, data):
            return data

        def initialize(self, data, rng):
            return 0

        def e_step(self, block, params):
            return max(limits("openmp"), default=1), 0.0

        def m_step(self, statistics, params):
            return params

    with blas_limited(), BlockMapper(Asking(), range(6), Threads(2)) as expect:
        assert expect(None) == (6, 0.0)


def _report(queue):
    queue.put(limits("blas"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_fork_beside_a_fit_is_not_limited():
    """Of a thread that fits, the child of another thread keeps nothing."""
    before = limits("blas")
    entered, done = threading.Event(), threading.Event()

    def hold():
        with blas_limited():
            entered.set()
            done.wait(TIMEOUT)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(TIMEOUT)
    context = get_context("fork")
    queue = context.SimpleQueue()
    try:
        child = context.Process(target=_report, args=(queue,))
        child.start()
        found = queue.get()
        child.join(TIMEOUT)
    finally:
        done.set()
        holder.join()
    assert found == before
    assert limits("blas") == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_fork_within_a_fit_stays_limited():
    context = get_context("fork")
    queue = context.SimpleQueue()
    with blas_limited():
        child = context.Process(target=_report, args=(queue,))
        child.start()
        found = queue.get()
        child.join(TIMEOUT)
    assert set(found) == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_fork_while_another_thread_has_the_lock():
    """The lock would never be released in the child."""
    entered, done = threading.Event(), threading.Event()

    def hold():
        with threads._limit._lock:
            entered.set()
            done.wait(TIMEOUT)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(TIMEOUT)
    child = get_context("fork").Process(target=available_threads)
    try:
        child.start()
        child.join(5.0)
        ended = child.exitcode
    finally:
        done.set()
        holder.join()
        child.kill()
        child.join()
    assert ended == 0
