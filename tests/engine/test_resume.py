"""Runs that go on from where another ended."""

import numpy as np
import pytest

from emlearn.distributions import Gaussian
from emlearn.engine import (
    Iteration,
    RemainingGain,
    Status,
    find_accelerator,
    run_em,
)
from emlearn.engine.convergence import StatisticalGain
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.candidates import MixedStarts


def gaussian(n=600, d=3, K=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 2.0 * rng.normal(size=(K, d))[rng.integers(K, size=n)]
    model = LabelModel(MixtureLaw(K), Gaussian("full", reg_covar=0.0), MixedStarts())
    return model, model.prepare(Observations(X)), X


# ---- going on ---------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(0,), (1,), (3,), (2, 5, 9), (40,)])
@pytest.mark.parametrize("measure_steps", [True, False])
def test_a_run_in_parts_is_one_long_run(london, cuts, measure_steps):
    settings = {"convergence": RemainingGain(1e-8), "measure_steps": measure_steps}
    whole = run_em(london.model, london.data, london.start, max_iter=3000, **settings)
    part = run_em(london.model, london.data, london.start, max_iter=cuts[0], **settings)
    for cut in (*cuts[1:], 3000):
        assert part.status is Status.MAX_ITER
        part = run_em(london.model, london.data, None, max_iter=cut, resume=part, **settings)
    assert part.status is whole.status is Status.CONVERGED
    assert part.n_e_steps == whole.n_e_steps
    assert part.params.rates.tobytes() == whole.params.rates.tobytes()
    assert part.params.weights.tobytes() == whole.params.weights.tobytes()
    np.testing.assert_array_equal(np.array(part.history), np.array(whole.history))


def test_a_long_run_is_made_of_its_gaussian_parts():
    model, data, _ = gaussian()
    start = model.initialize(data, np.random.default_rng(0))
    settings = {"convergence": StatisticalGain(), "measure_steps": False}
    whole = run_em(model, data, start, max_iter=500, **settings)
    part = run_em(model, data, start, max_iter=4, **settings)
    part = run_em(model, data, None, max_iter=500, resume=part, **settings)
    assert part.objective == whole.objective
    assert part.n_iter == whole.n_iter
    assert part.params.components.mean.tobytes() == whole.params.components.mean.tobytes()


@pytest.mark.parametrize("first", [1, 2, 7])
def test_previous_objectives_continue_the_test(london, first):
    """Runs of one step each converge where one long run does, to a step."""
    convergence = RemainingGain(1e-6)
    whole = run_em(london.model, london.data, london.start, convergence=convergence, max_iter=5000)
    lines, params, n_iter = (), london.start, 0
    for _ in range(5000):
        run = run_em(
            london.model, london.data, params, convergence=convergence, max_iter=first,
            previous=lines,
        )  # fmt: skip
        lines = (*lines[:-1], *run.history)
        params, n_iter = run.params, n_iter + run.n_iter
        if run.converged:
            break
    assert run.converged
    assert abs(n_iter - whole.n_iter) <= 1
    assert run.objective == pytest.approx(whole.objective, abs=1e-6)


def test_objectives_of_other_data_are_not_continued(london):
    """They would say that a run has converged that has not."""
    settings = {"convergence": RemainingGain(1e-6), "max_iter": 5}
    plain = run_em(london.model, london.data, london.start, **settings)
    lines = [Iteration(value, 0.0, 0.5, 0.0, i, "em") for i, value in enumerate((-5.0, -4.0, -4.0))]
    other = run_em(london.model, london.data, london.start, previous=lines, **settings)
    assert [a.remaining for a in plain.history] == [a.remaining for a in other.history]
    assert plain.status is other.status


def test_accelerated_steps_of_the_run_before_are_not_continued(london):
    """Their gains do not bound those of EM, so the test begins after the last of them."""
    settings = {"convergence": RemainingGain(0.0)}
    squarem = find_accelerator("squarem")
    first = run_em(
        london.model, london.data, london.start, max_iter=7, accelerator=squarem, **settings
    )
    steps = [line.step for line in first.history]
    last = max(i for i, step in enumerate(steps) if step == "accepted")
    second = run_em(
        london.model, london.data, first.params, max_iter=1, previous=first.history, **settings
    )
    lines = [*first.history[last:-1], *second.history]
    expected = RemainingGain(0.0).check(
        [line.objective for line in lines], london.model.total_weight(london.data)
    )
    assert second.history[-1].remaining == expected.remaining
    assert np.isnan(second.history[0].gain)
