"""Restarts: which run is first, when a later one is merged, and how threads are shared out."""

import threading

import numpy as np
import pytest

from emlearn.engine import DegenerateModelError, Iteration, RemainingGain, SearchPlan, restarts
from emlearn.engine.restarts import SameOptimum, search

KNOWN = -100.0
WEIGHT = 1000.0  # so that a remaining gain of 0.1 is little


def line(remaining, end=KNOWN):
    """An iteration with a remaining gain, on its way to `end`."""
    return Iteration(end - remaining, 0.1, 0.9, remaining, 5, "em")


def answers(iterations, known=KNOWN):
    same = SameOptimum(known, WEIGHT)
    return [same(iteration) for iteration in iterations], same


def test_three_agreements_in_a_row_are_the_same_optimum():
    found, same = answers([line(0.1), line(0.09), line(0.08)])
    assert found == [False, False, True]
    assert same.reached


def test_a_disagreement_starts_the_count_again():
    found, _ = answers([line(0.1), line(0.09), line(0.08, end=-99.0), line(0.07), line(0.06)])
    assert not any(found)


@pytest.mark.parametrize(("remaining", "counts"), [(0.099, True), (0.101, False), (np.inf, False)])
def test_estimates_count_where_little_remains(remaining, counts):
    found, _ = answers([line(remaining)] * 3)
    assert found[-1] == counts


@pytest.mark.parametrize(("error", "agrees"), [(0.09, True), (-0.09, True), (0.11, False)])
def test_agreement_is_to_a_tenth_of_what_remains(error, agrees):
    found, _ = answers([line(0.05, KNOWN + 0.05 * error)] * 3)
    assert found[-1] == agrees


def test_without_a_known_optimum_nothing_is_the_same():
    found, same = answers([line(0.05)] * 5, known=None)
    assert not any(found)
    assert not same.reached


def settings(n, **more):
    seeds = np.random.SeedSequence(0).spawn(n)
    return {"seeds": seeds, "convergence": RemainingGain(1e-6), "max_iter": 30, **more}


def test_the_run_from_the_best_start_is_finished_first(london):
    firsts = []

    class Observer:
        def begin(self):
            pass

        def __call__(self, n_iter, iteration):
            if n_iter == 0:
                firsts.append(iteration.objective)

        def end(self, result):
            pass

    plan = SearchPlan(n_starts=1, start_steps=2, n_perturbations=0)
    search(london.model, london.data, plan=plan, observers=[Observer()] * 6, **settings(6))
    assert len(firsts) == 6
    assert firsts[0] == max(firsts)
    assert firsts[0] > firsts[1]


def test_e_steps_of_a_search_that_failed_are_counted(london, tamper):
    def m_step(m_step, statistics, params):
        raise DegenerateModelError("no M-step")

    plan = SearchPlan(n_starts=3, start_steps=2, n_perturbations=0)
    model = tamper(london.model, m_step=m_step)
    found = search(model, london.data, plan=plan, **settings(2))
    assert [(r.status, r.n_e_steps, r.n_short_runs) for r in found.restarts] == [
        ("failed", 3, 3)
    ] * 2


def test_starts_run_side_by_side_where_data_have_several_blocks(london, tamper):
    """Each waits for the other, which needs both at the same time."""
    barrier = threading.Barrier(2, timeout=20.0)

    def initialize(initialize, data, rng):
        barrier.wait()
        return initialize(data, rng)

    model = tamper(london.model, initialize=initialize)
    data = london.Model(block_rows=3).prepare(london.X, london.days)
    assert len(data) > 1
    found = search(model, data, n_jobs=2, **settings(2))
    assert {restart.status for restart in found.restarts} <= {"converged", "max_iter"}


def test_starts_on_data_of_one_block_run_in_one_thread(london, tamper):
    threads = []

    def initialize(initialize, data, rng):
        threads.append(threading.current_thread())
        return initialize(data, rng)

    model = tamper(london.model, initialize=initialize)
    data = london.Model(block_rows=100).prepare(london.X, london.days)
    search(model, data, n_jobs=2, **settings(4))
    assert threads == [threading.current_thread()] * 4


@pytest.mark.parametrize(
    ("n_jobs", "n_starts", "each"), [(1, 3, 8), (2, 3, 4), (4, 2, 4), (3, 3, 2)]
)
def test_threads_are_shared_out_among_the_runs(london, monkeypatch, n_jobs, n_starts, each):
    used = []
    run_em = restarts.run_em

    def spy(*args, mapper, **kwargs):
        used.append(mapper.n_threads)
        return run_em(*args, mapper=mapper, **kwargs)

    monkeypatch.setattr(restarts, "run_em", spy)
    monkeypatch.setattr(restarts, "available_threads", lambda: 8)
    data = london.Model(block_rows=3).prepare(london.X, london.days)
    search(london.model, data, n_jobs=n_jobs, **settings(n_starts))
    assert used == [each] * n_starts
