"""Several starts: the best is kept, failures are isolated, parallelism changes nothing."""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import joblib
import numpy as np
import pytest

from emlearn.distributions import Gaussian
from emlearn.engine import (
    PLANS,
    DegenerateModelError,
    RemainingGain,
    Status,
    StopSignal,
    Threads,
    run_em,
    search,
)
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.starts import STARTS

LOOSE = RemainingGain(1e-5)


def seeds(n, entropy=0):
    return np.random.SeedSequence(entropy).spawn(n)


def find(london, model=None, n=5, **settings):
    settings = {"convergence": LOOSE, "max_iter": 25, "seeds": seeds(n), **settings}
    return search(model or london.model, london.data, **settings)


def failing(keys):
    """An `initialize` that fails for the streams of some keys."""

    def initialize(initialize, data, rng):
        if rng.bit_generator.seed_seq.spawn_key in keys:
            raise DegenerateModelError("an unlucky start")
        return initialize(data, rng)

    return initialize


def test_each_start_is_a_run_of_its_own_stream(london):
    found = find(london)
    for restart, seed in zip(found.restarts, seeds(5), strict=True):
        start = london.model.initialize(london.data, np.random.default_rng(seed))
        run = run_em(london.model, london.data, start, convergence=LOOSE, max_iter=25)
        assert restart.objective == run.objective
        assert restart.n_iter == run.n_iter
        assert restart.n_e_steps == run.n_e_steps
        assert restart.status == run.status.value
        assert restart.message == ""


def test_the_best_is_kept(london):
    found = find(london)
    objectives = [restart.objective for restart in found.restarts]
    assert len(set(objectives)) == 5
    assert found.best.objective == max(objectives) == objectives[found.best_index]


def test_the_earliest_of_equals_is_kept(london):
    seed = seeds(1)[0]
    assert find(london, seeds=[seed, seed, seed]).best_index == 0


def test_seeds_are_recorded(london):
    found = find(london, n=3)
    assert [restart.seed for restart in found.restarts] == [(0,), (1,), (2,)]


def test_a_start_does_not_depend_on_the_others(london):
    few, many = find(london, n=2), find(london, n=6)
    assert few.restarts == many.restarts[:2]


def test_another_entropy_gives_other_starts(london):
    here, there = find(london, n=2), find(london, seeds=seeds(2, entropy=1))
    assert {r.objective for r in here.restarts}.isdisjoint(r.objective for r in there.restarts)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failure_is_recorded_and_the_others_go_on(london, tamper, n_jobs):
    good = find(london)
    keys = {(good.best_index,), ((good.best_index + 1) % 5,)}
    found = find(london, tamper(london.model, initialize=failing(keys)), n_jobs=n_jobs)
    for before, restart in zip(good.restarts, found.restarts, strict=True):
        if restart.seed in keys:
            assert restart.status == "failed"
            assert restart.message == "an unlucky start"
            assert restart.objective == -np.inf
            assert restart.n_iter == restart.n_e_steps == 0
        else:
            assert restart == before
    assert found.best.objective == max(restart.objective for restart in found.restarts)
    assert found.restarts[found.best_index].seed not in keys


def test_a_run_that_fails_later_is_not_the_best(london, tamper):
    """Even if it had reached a higher objective than those that ended well."""
    good = find(london)
    winner = good.best_index

    def initialize(initialize, data, rng):
        params = initialize(data, rng)
        return params, rng.bit_generator.seed_seq.spawn_key == (winner,), 0

    def m_step(m_step, statistics, params):
        params, doomed, n = params
        if doomed and n == 20:
            raise DegenerateModelError("a late failure")
        return m_step(statistics, params), doomed, n + 1

    def untag(method, params):
        return method(params[0])

    model = tamper(
        london.model, initialize=initialize, m_step=m_step, precompute=untag, log_prior=untag,
        to_vector=untag,
    )  # fmt: skip
    found = find(london, model)
    late = found.restarts[winner]
    assert late.status == "failed"
    assert late.message == "a late failure"
    assert late.n_iter == 20
    assert late.objective > found.best.objective
    assert found.best_index != winner


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_all_failed(london, tamper, n_jobs):
    keys = {(i,) for i in range(5)}
    found = find(london, tamper(london.model, initialize=failing(keys)), n_jobs=n_jobs)
    assert found.best.status is Status.FAILED
    assert found.best.params is None
    assert found.best.message == "an unlucky start"
    assert {restart.status for restart in found.restarts} == {"failed"}
    assert found.best_index == 0


def test_no_seeds(london):
    with pytest.raises(ValueError, match="seed"):
        find(london, seeds=[])


def same(one, other):
    return (
        one.restarts == other.restarts
        and one.best_index == other.best_index
        and one.best.params.rates.tobytes() == other.best.params.rates.tobytes()
        and one.best.params.weights.tobytes() == other.best.params.weights.tobytes()
    )


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_same_bits_with_threads(london, n_jobs):
    assert same(find(london), find(london, n_jobs=n_jobs))


def test_same_bits_with_a_backend_chosen_by_the_user(london):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert same(find(london, n_jobs=1), find(london))


def test_same_bits_with_processes(london):
    # The processes cannot import a test module, so the model is sent by value.
    try:
        from joblib.externals import cloudpickle
    except ImportError:
        import cloudpickle
    module = sys.modules[london.Model.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        with joblib.parallel_config(backend="loky"):
            found = find(london, n_jobs=2)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    assert same(find(london), found)


class Recorder:
    """Observer that keeps what it is told; it may ask to stop."""

    def __init__(self, stop_at=None):
        self.told = []
        self.stop_at = stop_at

    def begin(self):
        self.told.append("begin")

    def __call__(self, n_iter, iteration):
        self.told.append(n_iter)
        return n_iter == self.stop_at

    def end(self, result):
        self.told.append(result)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_run_has_its_observer(london, n_jobs):
    observers = [Recorder() for _ in range(3)]
    found = find(london, n=3, observers=observers, n_jobs=n_jobs)
    for observer, restart in zip(observers, found.restarts, strict=True):
        begin, *iterations, result = observer.told
        assert begin == "begin"
        assert iterations == list(range(restart.n_iter + 1))
        assert result.objective == restart.objective


def test_an_observer_can_stop_the_search(london):
    observers = [Recorder(), Recorder(stop_at=3), Recorder()]
    found = find(london, n=3, observers=observers, convergence=RemainingGain(0.0), max_iter=6)
    assert [restart.status for restart in found.restarts][1:] == ["stopped", "stopped"]
    assert [restart.n_iter for restart in found.restarts][1:] == [3, 0]
    assert observers[2].told == []


@pytest.mark.parametrize("plan", [None, PLANS["fast"]])
def test_a_stop_signal_ends_all_runs(london, plan):
    stop = StopSignal()

    class Stopping(Recorder):
        def __call__(self, n_iter, iteration):
            if n_iter == 2:
                stop.set()

    found = find(london, n=3, observers=[Stopping() for _ in range(3)], stop=stop, plan=plan)
    assert found.best.status is Status.STOPPED
    assert found.best.n_iter == 2
    assert sorted(restart.n_iter for restart in found.restarts) == [0, 0, 2]
    assert {restart.status for restart in found.restarts} == {"stopped"}


def test_a_stop_signal_ends_the_exploration(london):
    stop = StopSignal()
    stop.set()
    found = find(london, plan=PLANS["thorough"], stop=stop)
    assert found.best.params is None
    assert all(restart.n_e_steps == 0 for restart in found.restarts)


def test_an_error_in_one_thread_ends_the_others(london):
    """As Ctrl-C does; nothing is under way when the error arrives."""
    stop, last = StopSignal(), []

    class Failing(Recorder):
        def __call__(self, n_iter, iteration):
            last.append(n_iter)
            if len(last) == 40:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), joblib.parallel_config(backend="threading"):
        find(
            london,
            n=4,
            n_jobs=2,
            stop=stop,
            observers=[Failing() for _ in range(4)],
            convergence=RemainingGain(0.0),
            max_iter=10**9,
        )
    assert stop()
    stop.wait()
    ended = len(last)
    time.sleep(0.05)
    assert len(last) == ended


class Processes:
    """A mapper of a user: each E-step in worker processes."""

    @contextmanager
    def over(self, function, items):
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:

            def each(shared):
                return [task.result() for task in [pool.submit(function, i, shared) for i in items]]

            yield each


def test_same_bits_for_another_mapper():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 1, (40000, 2)), rng.normal(2, 1, (40000, 2))]
    model = LabelModel(MixtureLaw(2), Gaussian("full"), STARTS["rows"])
    data = model.prepare(Observations(X))
    assert len(data.blocks) > 2
    ends = [
        search(model, data, seeds=seeds(2), convergence=LOOSE, max_iter=5, mapper=mapper).best
        for mapper in (None, Threads(2), Processes())
    ]
    for end in ends[1:]:
        assert end.objective == ends[0].objective
        np.testing.assert_array_equal(model.to_vector(end.params), model.to_vector(ends[0].params))
