"""Restarts: each run is finished, and how threads are shared out."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest

from emlearn.engine import (
    DegenerateModelError,
    LatentVariableModel,
    RemainingGain,
    SearchPlan,
    restarts,
)
from emlearn.engine import blocks as engine_blocks
from emlearn.engine.restarts import search


def settings(n, **more):
    seeds = np.random.SeedSequence(0).spawn(n)
    return {"seeds": seeds, "convergence": RemainingGain(1e-6), "max_iter": 30, **more}


@dataclass(frozen=True)
class TwinOptima(LatentVariableModel):
    """Two optima with nearly the same objective. A step halves what is left to gain."""

    higher_by: float = 1e-3

    def prepare(self, X, sample_weight=None):
        return "all"

    def total_weight(self, data):
        return 1000.0

    def initialize(self, data, rng):
        # The first start leads to the lower optimum, and is higher itself.
        return ("lower", 0.9) if rng.bit_generator.seed_seq.spawn_key == (0,) else ("higher", 1.0)

    def e_step(self, block, params):
        optimum, gap = params
        return (optimum, gap / 2.0), (self.higher_by if optimum == "higher" else 0.0) - gap

    def m_step(self, statistics, params):
        return statistics


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_run_near_the_optimum_of_another_is_finished(n_jobs):
    """All of its gains are those of a run to the other optimum, up to a little at the end."""
    plan = SearchPlan(n_starts=1, start_steps=2, n_perturbations=0)
    precise = {**settings(3), "convergence": RemainingGain(1e-9)}
    found = search(TwinOptima(), "all", plan=plan, n_jobs=n_jobs, **precise)
    assert found.best.objective == pytest.approx(1e-3, abs=1e-5)
    assert [restart.status for restart in found.restarts] == ["converged"] * 3
    assert found.best_index == 1


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
    monkeypatch.setattr(engine_blocks, "available_threads", lambda: 8)
    data = london.Model(block_rows=3).prepare(london.X, london.days)
    search(london.model, data, n_jobs=n_jobs, **settings(n_starts))
    assert used == [each] * n_starts
