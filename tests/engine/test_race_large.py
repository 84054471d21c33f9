"""Races of Gaussian mixtures: steps that are saved, threads, parts of large data."""

from importlib import import_module

import numpy as np
import pytest

from emlearn.distributions import Gaussian
from emlearn.engine import (
    DegenerateModelError,
    RacePlan,
    RemainingGain,
    Status,
    Threads,
    find_accelerator,
    race,
    run_em,
)
from emlearn.engine.convergence import StatisticalGain
from emlearn.engine.race import Heat
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.candidates import MixedStarts

TIGHT = RemainingGain(1e-10)


def go(model, data, plan=None, seed=0, **settings):
    settings = {"convergence": TIGHT, "max_iter": 2000, "mapper": Threads(1), **settings}
    return race(model, data, plan or RacePlan(), np.random.default_rng(seed), **settings)


def gaussian(n=600, d=3, K=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 2.0 * rng.normal(size=(K, d))[rng.integers(K, size=n)]
    model = LabelModel(MixtureLaw(K), Gaussian("full", reg_covar=0.0), MixedStarts())
    return model, model.prepare(Observations(X)), X


def _lines(found):
    return [(line.objective, line.e_steps, line.step_norm) for line in found.best.history]


def assert_same(one, other):
    assert one.restarts == other.restarts
    assert one.best_index == other.best_index
    np.testing.assert_array_equal(_lines(one), _lines(other))
    assert one.best.params.law.weights.tobytes() == other.best.params.law.weights.tobytes()
    for name in ("mean", "covariance"):
        a, b = (getattr(found.best.params.components, name) for found in (one, other))
        assert a.tobytes() == b.tobytes()


# ---- parallelism and large data ---------------------------------------------------------


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("n_init", [1, 4])
def test_same_bits_with_threads(n_threads, n_init):
    model, data, _ = gaussian(n=9000, d=4)
    plan = RacePlan().times(n_init)
    settings = {"accelerator": find_accelerator("auto"), "convergence": StatisticalGain()}
    one = go(model, data, plan, **settings)
    many = go(model, data, plan, mapper=Threads(n_threads), **settings)
    assert_same(one, many)


def spy_on_parts(monkeypatch):
    """Rows of the data that runs of a race are on, in their order."""
    seen = []

    def spy(model, data, params, **settings):
        if settings.get("resume") is None:
            seen.append(data)
        return run_em(model, data, params, **settings)

    # The package has a function of the module's name.
    monkeypatch.setattr(import_module("emlearn.engine.race"), "run_em", spy)
    return seen


def test_heats_are_on_nested_parts(monkeypatch):
    model, data, _ = gaussian(n=5000, d=2, K=3)
    seen = spy_on_parts(monkeypatch)
    plan = RacePlan(heats=(Heat(1, 300, 4, 5), Heat(1, 1000, 4, 2)), n_candidates=5, n_large=9)
    found = go(model, data, plan)
    parts = list({id(part): part for part in seen}.values())
    assert [part.n_rows for part in parts] == [300, 1000, 5000]
    sets = [{tuple(row) for row in np.asarray(part.X)} for part in parts]
    assert sets[0] < sets[1] < sets[2]
    runs = [sum(one is part for one in seen) for part in parts]
    assert runs[0] <= 9
    assert runs[1] <= 5
    assert runs[2] == len(found.restarts) <= 2
    assert found.best.converged


def test_more_effort_repeats_the_rounds_with_other_parts(monkeypatch):
    model, data, _ = gaussian(n=5000, d=2, K=3)
    seen = spy_on_parts(monkeypatch)
    heats = (Heat(1, 300, 4, 3),)
    found = go(model, data, RacePlan(heats=heats, n_candidates=5, n_large=9, n_repeats=3))
    parts = [part for part in {id(part): part for part in seen}.values() if part is not data]
    assert [part.n_rows for part in parts] == [300] * 3
    assert len({np.asarray(part.X).tobytes() for part in parts}) == 3
    # All runs on all data come after one another, the best of each repeat.
    assert 3 < len(found.restarts) <= 9


def test_heats_that_are_not_small_beside_the_data_are_left_out(monkeypatch):
    model, data, _ = gaussian(n=5000, d=2, K=3)
    seen = spy_on_parts(monkeypatch)
    go(model, data, RacePlan(heats=(Heat(1, 300, 4, 5), Heat(1, 2600, 4, 2))))
    assert sorted({part.n_rows for part in seen}) == [300, 5000]


def test_large_data_take_the_most_promising_kinds_twice(monkeypatch):
    model, data, _ = gaussian(n=5000, d=2, K=3)
    asked = []
    labels_of = MixedStarts._labels

    def spy(self, i, *args):
        asked.append(i)
        return labels_of(self, i, *args)

    monkeypatch.setattr(MixedStarts, "_labels", spy)
    go(model, data, RacePlan(n_candidates=10, n_large=14, heats=(Heat(1, 300, 4, 5),)))
    again = asked[10:]
    assert asked[:10] == list(range(10))
    assert len(again) >= 4
    assert again == list(range(len(again)))


def test_a_single_start_of_large_data_is_not_asked_for_twice(monkeypatch):
    model, data, _ = gaussian(n=5000, d=2, K=1)
    seen = spy_on_parts(monkeypatch)
    found = go(model, data, RacePlan(heats=(Heat(1, 300, 4, 5),)))
    assert [part.n_rows for part in seen] == [300, 5000]
    assert len(found.restarts) == 1


def test_large_data_have_the_same_bits_with_threads():
    model, data, _ = gaussian(n=30_000, d=2, K=5, seed=2)
    one, two = (
        go(model, data, convergence=StatisticalGain()),
        go(model, data, convergence=StatisticalGain(), mapper=Threads(2)),
    )
    assert_same(one, two)
    assert len(one.restarts) <= 6


def test_large_data_with_weights_labels_and_holes():
    """All starts in the heats know the labels, and none fails for an entry that is missing."""
    rng = np.random.default_rng(1)
    z = rng.integers(3, size=12_000)
    X = rng.normal(size=(12_000, 2)) + np.array([[0.0, 0], [6, 0], [0, 6]])[z]
    X[rng.random(X.shape) < 0.1] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    model = LabelModel(MixtureLaw(3), Gaussian("full", reg_covar=0.0), MixedStarts())
    data = model.prepare(Observations(X), rng.integers(1, 3, size=len(X)).astype(float))
    plan = RacePlan(heats=(Heat(5, 500, 5, 4),))
    found = go(model, data, plan, convergence=StatisticalGain())
    assert found.best.converged
    means = found.best.params.column_spec.scaling.to_units(found.best.params.components.mean)
    order = np.lexsort(np.round(means).T)
    np.testing.assert_allclose(means[order], [[0, 0], [6, 0], [0, 6]], atol=0.15)


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_heat_in_which_all_fail(everywhere):
    """The part says nothing about the whole then."""

    class Failing(LabelModel):
        def m_step(self, statistics, params):
            if everywhere or statistics.law.sum() < 1000:
                raise DegenerateModelError("an unlucky step")
            return super().m_step(statistics, params)

    model, data, _ = gaussian(n=5000, d=2, K=3)
    model = Failing(model.law, model.family, model.initializer)
    found = go(model, data, RacePlan(heats=(Heat(1, 300, 4, 5),)))
    assert len(found.restarts) <= 5
    if everywhere:
        assert found.best.status is Status.FAILED
        assert found.best.message == "an unlucky step"
    else:
        assert found.best.converged


def test_starts_that_cannot_win_are_stopped():
    """They get fewer steps than they could; none of them would have won."""
    model, data, _ = gaussian()
    settings = {"convergence": TIGHT, "max_iter": 2000}
    found = go(model, data, RacePlan(n_reserves=0))
    offered = list(model.candidates(data, np.random.default_rng(0), 10))
    stopped = [r for r in found.restarts if r.status == "outrun" and 3 < r.n_iter < 32]
    assert stopped
    best = max(
        run_em(model, data, start, max_iter=32, convergence=TIGHT).objective for start in offered
    )
    chosen = run_em(
        model, data, offered[found.restarts[found.best_index].seed[0]], max_iter=32,
        convergence=TIGHT,
    )  # fmt: skip
    assert chosen.objective == best
    for restart in stopped:
        run = run_em(model, data, offered[restart.seed[0]], **settings | {"max_iter": 32})
        assert restart.objective < run.objective < best
