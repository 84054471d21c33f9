"""The race of starts: what it runs, drops and finishes."""

import itertools
import threading

import numpy as np
import pytest

from emlearn.engine import (
    DegenerateModelError,
    Penalty,
    RacePlan,
    RemainingGain,
    Status,
    StopSignal,
    Threads,
    race,
    run_em,
)
from emlearn.engine.race_plan import ManyStarts

TIGHT = RemainingGain(1e-10)


def go(model, data, plan=None, seed=0, **settings):
    settings = {"convergence": TIGHT, "max_iter": 2000, "mapper": Threads(1), **settings}
    return race(model, data, plan or RacePlan(), np.random.default_rng(seed), **settings)


def offering(*starts):
    """A `candidates` that offers these."""

    def candidates(candidates, data, rng, n):
        yield from itertools.islice(starts, n)

    return candidates


def starts_of(london, *pairs):
    return [
        london.Params(np.array([share, 1.0 - share]), np.array(rates, float))
        for share, *rates in pairs
    ]


@pytest.fixture
def pool(london):
    return starts_of(
        london, (0.5, 1.0, 3.0), (0.9, 2.0, 2.5), (0.3, 0.1, 5.0), (0.6, 2.0, 2.2), (0.5, 4.0, 1.0)
    )


# ---- who wins ---------------------------------------------------------------------------


def test_the_end_is_the_best_optimum_of_all_starts(london, tamper, pool):
    model = tamper(london.model, candidates=offering(*pool))
    found = go(model, london.data)
    ends = [
        run_em(model, london.data, start, convergence=TIGHT, max_iter=5000).objective
        for start in pool
    ]
    assert found.best.converged
    assert found.best.objective == pytest.approx(max(ends), abs=1e-5)
    assert found.best.objective == pytest.approx(london.published["log_likelihood"], abs=0.01)


def test_records(london, tamper, pool):
    found = go(tamper(london.model, candidates=offering(*pool)), london.data)
    assert [restart.seed for restart in found.restarts] == [(i,) for i in range(5)]
    statuses = [restart.status for restart in found.restarts]
    assert statuses[found.best_index] == "converged"
    assert {s for i, s in enumerate(statuses) if i != found.best_index} == {"outrun"}
    best = found.restarts[found.best_index]
    assert best.objective == found.best.objective
    assert best.n_iter == found.best.n_iter
    assert all(restart.n_iter <= 32 for restart in found.restarts if restart is not best)
    # Those at its parameters, from which the fit is judged.
    (block,) = london.model.blocks(london.data)
    again, _ = london.model.e_step(block, found.best.params)
    np.testing.assert_allclose(found.best.statistics.counts, again.counts, rtol=1e-12)


def test_copies_are_dropped_and_the_one_that_is_left_is_finished_at_once(london, tamper):
    (start,) = starts_of(london, (0.5, 1.0, 3.0))
    found = go(tamper(london.model, candidates=offering(start, start, start)), london.data)
    assert [restart.n_iter for restart in found.restarts[1:]] == [3, 3]
    assert found.best_index == 0
    alone = run_em(london.model, london.data, start, convergence=TIGHT, max_iter=2000)
    assert found.best.objective == alone.objective
    assert found.best.n_iter == alone.n_iter


def test_one_with_too_few_observations_is_not_gone_on_with(london, tamper, pool):
    def penalty(ranking_penalty, statistics, params):
        return Penalty(starved=int(params.rates[0] > params.rates[1]))

    model = tamper(london.model, candidates=offering(pool[0], pool[4]), ranking_penalty=penalty)
    assert go(model, london.data).restarts[1].n_iter == 3


def test_starved_starts_lose_whatever_their_objective(london, tamper, pool):
    """Components are numbered; the better start counts as starved in each of its steps."""

    def penalty(ranking_penalty, statistics, params):
        return Penalty(starved=int(params.rates[0] < params.rates[1]))

    offered = (pool[0], pool[4])
    model = tamper(london.model, candidates=offering(*offered), ranking_penalty=penalty)
    found = go(model, london.data, RacePlan(n_reserves=0))
    assert found.best_index == 1


def test_optimism_is_taken_off(london, tamper, pool):
    def penalty(ranking_penalty, statistics, params):
        return Penalty(optimism=1e4 * (params.rates[0] < params.rates[1]))

    model = tamper(london.model, candidates=offering(pool[0], pool[4]), ranking_penalty=penalty)
    assert go(model, london.data).best_index == 1


def test_a_reserve_overtakes_a_winner_that_disappoints(london, tamper, pool):
    """The winner's run turns out to be starved once it goes on."""

    def penalty(ranking_penalty, statistics, params):
        lower_first = params.rates[0] < params.rates[1]
        late = penalty.finishing and lower_first
        return Penalty(starved=int(late))

    penalty.finishing = False

    class Turning:
        def begin(self):
            pass

        def __call__(self, n_iter, iteration):
            penalty.finishing = True
            return False

        def end(self, result):
            self.result = result

    model = tamper(london.model, candidates=offering(pool[0], pool[4]), ranking_penalty=penalty)
    turning = Turning()
    found = go(model, london.data, observer=turning)
    assert found.best_index == 1
    assert found.best.converged
    assert found.restarts[0].status == "converged"  # it was run to its end first
    assert turning.result.objective == found.best.objective
    penalty.finishing = False
    found = go(model, london.data, RacePlan(n_reserves=0), observer=Turning())
    assert found.best_index == 0


# ---- failures ---------------------------------------------------------------------------


def test_a_start_that_fails_leaves_the_race(london, tamper, pool):
    def m_step(m_step, statistics, params):
        if params.rates[0] > params.rates[1]:
            raise DegenerateModelError("an unlucky step")
        return m_step(statistics, params)

    found = go(
        tamper(london.model, candidates=offering(pool[4], pool[0]), m_step=m_step), london.data
    )
    assert found.best.converged
    assert [restart.status for restart in found.restarts] == ["failed", "converged"]
    assert found.restarts[0].message == "an unlucky step"
    assert found.best_index == 1


@pytest.mark.parametrize("method", ["m_step", "e_step"])
def test_all_starts_fail(london, tamper, pool, method):
    def fail(method, *args):
        raise DegenerateModelError("an unlucky step")

    found = go(tamper(london.model, candidates=offering(*pool), **{method: fail}), london.data)
    assert found.best.status is Status.FAILED
    assert found.best.message == "an unlucky step"
    assert [restart.status for restart in found.restarts] == ["failed"] * len(pool)


def test_no_start_is_found(london, tamper):
    def initialize(initialize, data, rng):
        raise DegenerateModelError("there is nowhere to start")

    found = go(tamper(london.model, initialize=initialize), london.data)
    assert found.best.status is Status.FAILED
    assert found.best.message == "there is nowhere to start"
    assert found.best.params is None
    found = go(tamper(london.model, candidates=offering()), london.data)
    assert found.best.message == "no start was found"


def test_the_winner_fails_at_the_end_and_a_reserve_is_finished(london, tamper, pool):
    calls = {"finishing": False}

    class Marking:
        def begin(self):
            pass

        def __call__(self, n_iter, iteration):
            calls["finishing"] = True

        def end(self, result):
            pass

    def m_step(m_step, statistics, params):
        if calls["finishing"] and params.rates[0] < params.rates[1]:
            raise DegenerateModelError("a late failure")
        return m_step(statistics, params)

    model = tamper(london.model, candidates=offering(pool[0], pool[4]), m_step=m_step)
    found = go(model, london.data, observer=Marking())
    assert found.best.converged
    assert found.best.params.rates[0] > found.best.params.rates[1]


# ---- moves ------------------------------------------------------------------------------


def test_moves_are_kept_where_they_are_better(london, tamper, pool):
    worse, better = starts_of(london, (0.5, 2.15, 2.16), (0.36, 1.26, 2.66))
    asked = []

    def perturb(perturb, data, params, rng):
        asked.append(params)
        return better

    model = tamper(london.model, candidates=offering(worse, pool[3]), perturb=perturb)
    plan = RacePlan(steps=4, n_moves=3, n_reserves=0)
    found = go(model, london.data, plan)
    assert len(asked) == 3
    assert found.restarts[found.best_index].seed == (2,)
    # Those that were no better are not recorded.
    assert len(found.restarts) == 3


def test_moves_that_fail_or_are_not_offered(london, tamper, pool):
    def broken(perturb, data, params, rng):
        return london.Params(np.array([0.5, 0.5]), np.array([7.0, 7.0]))

    def e_step(e_step, block, params):
        if (params.rates == 7.0).all():
            raise DegenerateModelError("an unlucky move")
        return e_step(block, params)

    plan = RacePlan(n_moves=4)
    plain = go(tamper(london.model, candidates=offering(*pool)), london.data)
    for perturb in (broken, lambda perturb, data, params, rng: None):
        model = tamper(london.model, candidates=offering(*pool), perturb=perturb, e_step=e_step)
        found = go(model, london.data, plan)
        assert found.best.objective == plain.best.objective
        assert found.restarts == plain.restarts


def test_effort():
    assert RacePlan().times(1) == RacePlan()
    ten = RacePlan().times(10)
    assert ten.n_candidates >= 25
    assert ten.n_moves == 24
    assert ten.n_large == RacePlan().n_large
    # The first moves cost no starts, and later effort is shared by both.
    assert [RacePlan().times(n).n_candidates for n in (2, 3, 4, 10)] == [10, 10, 12, 28]
    # Rounds on parts are repeated.
    assert [RacePlan().times(n).n_repeats for n in (1, 2, 3, 5, 10)] == [1, 2, 2, 3, 6]


def test_effort_in_starts_alone():
    plan = ManyStarts(n_candidates=12, n_large=20, most_candidates=60)
    assert [plan.times(n).n_candidates for n in (1, 2, 5, 6)] == [12, 24, 60, 60]
    assert [plan.times(n).n_repeats for n in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert plan.times(9).n_moves == 0
    # More effort never means fewer starts.
    assert ManyStarts(n_candidates=80, most_candidates=60).times(3).n_candidates == 80


# ---- stopping ---------------------------------------------------------------------------


class Recorder:
    def __init__(self, stop_at=None, action=None):
        self.told, self.stop_at, self.action = [], stop_at, action

    def begin(self):
        self.told.append("begin")

    def __call__(self, n_iter, iteration):
        self.told.append(n_iter)
        if self.action is not None:
            self.action()
        return self.stop_at is not None and n_iter >= self.stop_at

    def end(self, result):
        self.told.append(result)


def test_the_observer_follows_the_last_run(london, tamper, pool):
    recorder = Recorder()
    found = go(tamper(london.model, candidates=offering(*pool)), london.data, observer=recorder)
    begin, *iterations, result = recorder.told
    assert begin == "begin"
    assert iterations == list(range(iterations[0], found.best.n_iter + 1))
    assert result.objective == found.best.objective


def test_an_observer_can_stop_the_race(london, tamper, pool):
    recorder = Recorder(stop_at=0)
    found = go(tamper(london.model, candidates=offering(*pool)), london.data, observer=recorder)
    assert found.best.status is Status.STOPPED
    assert found.best.params is not None
    assert len(recorder.told) == 3


@pytest.mark.parametrize("after", [0, 1, 7, 30])
def test_a_stop_signal_ends_the_race_with_something_to_use(london, tamper, pool, after):
    stop, calls = StopSignal(), []

    def m_step(m_step, statistics, params):
        calls.append(None)
        if len(calls) > after:
            stop.set()
        return m_step(statistics, params)

    model = tamper(london.model, candidates=offering(*pool), m_step=m_step)
    found = go(model, london.data, stop=stop)
    assert found.best.status.usable
    assert found.best.params is not None
    # The start under way makes its first steps, and each other one step.
    assert len(calls) <= after + 3 + len(pool)
    assert found.best.status is Status.STOPPED


@pytest.mark.parametrize("after", [0, 2, 20, 60])
def test_control_c(london, tamper, pool, after):
    calls = []

    def m_step(m_step, statistics, params):
        calls.append(None)
        if len(calls) > after:
            raise KeyboardInterrupt
        return m_step(statistics, params)

    model = tamper(london.model, candidates=offering(*pool), m_step=m_step)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        go(model, london.data, mapper=Threads(2))
    assert len(calls) == after + 1
    assert threading.active_count() == before
