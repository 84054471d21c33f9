"""The search for a start on objectives that are written down beforehand."""

from dataclasses import dataclass

import numpy as np
import pytest

from emlearn.engine import (
    GainBelow,
    LatentVariableModel,
    RemainingGain,
    SearchPlan,
    Status,
    explore,
    find_plan,
)

NEVER = GainBelow(-1.0)


@dataclass(frozen=True, eq=False)
class Scripted(LatentVariableModel):
    """Runs with given objectives; the last of them repeats. Perturbations are runs too."""

    starts: tuple
    perturbations: tuple = ()

    def prepare(self, X, sample_weight=None):
        return {"starts": iter(self.starts), "perturbations": iter(self.perturbations)}

    def initialize(self, data, rng):
        return next(data["starts"]), 0

    def perturb(self, data, params, rng):
        run = next(data["perturbations"], None)
        return None if run is None else (run, 0)

    def blocks(self, data):
        return (None,)

    def e_step(self, block, params):
        run, step = params
        return step, float(run[min(step, len(run) - 1)])

    def m_step(self, statistics, params):
        return params[0], params[1] + 1


def explored(starts, perturbations=(), convergence=NEVER, **plan):
    plan = {"n_starts": len(starts), "n_perturbations": len(perturbations), "patience": 99, **plan}
    model = Scripted(tuple(map(tuple, starts)), tuple(map(tuple, perturbations)))
    rng = np.random.default_rng(0)
    return explore(model, model.prepare(None), SearchPlan(**plan), rng, convergence=convergence)


RISING = np.arange(100.0)


@pytest.mark.parametrize("n_steps", [1, 5, 10])
def test_a_short_run_has_as_many_steps_as_the_plan_says(n_steps):
    found = explored([RISING], start_steps=n_steps)
    assert found.best.n_iter == n_steps
    assert found.best.status is Status.MAX_ITER
    assert found.n_e_steps == 1 + n_steps
    found = explored([RISING], [RISING + 1.0], start_steps=1, perturbation_steps=n_steps)
    assert found.n_e_steps == 2 + 1 + n_steps


# After two steps the last gain is 1 and eight steps remain: 13.5 + 8 is the most to be expected.
@pytest.mark.parametrize(("best", "n_iter"), [(21.4, 10), (21.5, 2), (30.0, 2)])
def test_a_run_ends_when_its_last_gain_in_all_remaining_steps_is_not_enough(best, n_iter):
    run = [10.0, 12.5, 13.5, *(13.5 + 1.001 * np.arange(1.0, 20.0))]
    found = explored([[best], run], start_steps=10)
    assert found.n_e_steps == 2 + 1 + n_iter  # a run that gains nothing has two E-steps


def test_a_run_whose_gains_grow_goes_on():
    run = [0.0, 0.1, 0.3, 0.7, 1.5, 3.1, 200.0]
    found = explored([[100.0], run], start_steps=10)
    assert found.best.objective == 200.0
    assert found.n_e_steps == 2 + 8


def test_a_run_that_wins_only_by_a_tie_is_not_the_best():
    found = explored([[1.0], [1.0]], start_steps=2)
    assert found.best.params[0] == (1.0,)
    assert found.n_runs == 2


def test_success_starts_the_patience_again():
    """Two failures, a success, and then as many failures as the patience is."""
    perturbations = [[0.0], [0.0], [2.0], [0.0], [0.0], [0.0], [3.0]]
    found = explored([[1.0]], perturbations, patience=3)
    assert found.best.objective == 2.0
    assert found.n_runs == 1 + 6


def test_the_budget_ends_the_starts_too():
    found = explored([RISING] * 10, start_steps=4, budget=5)
    assert (found.n_runs, found.n_e_steps) == (1, 5)
    found = explored([RISING] * 10, start_steps=4, budget=6)
    assert found.n_runs == 2


def test_a_short_run_can_converge():
    found = explored([[0.0, 1.0, 1.0]], convergence=RemainingGain(1e-3), start_steps=10)
    assert found.best.converged
    assert found.n_e_steps == 3


@pytest.mark.parametrize(
    ("budget", "n_starts"), [(1, 1), (80, 2), (400, 10), (1600, 40), (100_000, 40)]
)
def test_a_quarter_of_a_budget_is_for_starts(budget, n_starts):
    plan = find_plan(budget)
    assert plan.n_starts == n_starts
    assert plan.n_starts * plan.start_steps <= max(plan.start_steps, budget / 4)
    assert plan.budget == plan.n_perturbations == plan.patience == budget
