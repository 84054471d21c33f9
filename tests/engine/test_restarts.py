"""Several starts: the best is kept, failures are isolated, parallelism changes nothing."""

import sys

import joblib
import numpy as np
import pytest

from emlearn.engine import DegenerateModelError, RemainingGain, Status, run_em, search

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


def test_callback_is_called_for_each_start(london):
    starts = []
    find(london, n=3, callback=lambda n_iter, iteration: starts.append(1) if n_iter == 0 else None)
    assert len(starts) == 3
