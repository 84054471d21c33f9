"""The search for the global optimum: short runs, perturbations, presets, parallelism."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from joblib import parallel_config

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.engine import (
    PLANS,
    DegenerateModelError,
    LatentVariableModel,
    RemainingGain,
    SearchPlan,
    Status,
    explore,
    find_plan,
    search,
)

CONVERGENCE = RemainingGain(1e-9)


@dataclass(frozen=True)
class Hills(LatentVariableModel):
    """Hills at whole numbers, the higher the nearer to `top`; a step goes halfway uphill."""

    top: int = 7
    offers_perturbations: bool = True
    offers_subset: bool = False
    fails: bool = False

    def prepare(self, X, sample_weight=None):
        return "all"

    def initialize(self, data, rng):
        if self.fails:
            raise DegenerateModelError("no start")
        return rng.uniform(-0.4, 0.4)

    def e_step(self, block, params):
        hill = round(params)
        height = -abs(hill - self.top) - (params - hill) ** 2
        return hill + 0.5 * (params - hill), height if block == "all" else height - 100.0

    def m_step(self, statistics, params):
        return statistics

    def perturb(self, data, params, rng):
        return params + rng.choice([-1.0, 1.0]) if self.offers_perturbations else None

    def subset(self, data, rng):
        return "part" if self.offers_subset else None


def explored(model, plan, seed=0):
    rng = np.random.default_rng(seed)
    return explore(model, model.prepare(None), plan, rng, convergence=CONVERGENCE)


def searched(model, plan, n_seeds=1):
    return search(
        model,
        model.prepare(None),
        seeds=np.random.SeedSequence(0).spawn(n_seeds),
        convergence=CONVERGENCE,
        max_iter=100,
        plan=plan,
    )


def test_perturbations_climb_to_the_highest_hill():
    found = searched(Hills(), SearchPlan())
    assert found.best.params == pytest.approx(7.0, abs=1e-3)
    assert found.best.status is Status.CONVERGED


def test_without_perturbations_the_hill_of_the_start_is_the_best_there_is():
    found = searched(Hills(offers_perturbations=False), SearchPlan())
    assert found.best.params == pytest.approx(0.0, abs=1e-3)
    assert found.restarts[0].n_short_runs == SearchPlan().n_starts


def test_the_better_start_is_kept():
    plan = SearchPlan(n_starts=30, start_steps=1, n_perturbations=0)
    one = explored(Hills(), SearchPlan(n_starts=1, start_steps=1, n_perturbations=0))
    assert explored(Hills(), plan).best.objective > one.best.objective


def test_patience():
    plan = SearchPlan(n_starts=1, n_perturbations=1000, patience=15)
    found = explored(Hills(top=0), plan)
    assert found.n_runs == 1 + plan.patience


def test_runs_without_hope_are_stopped_early():
    """Runs to hills already found, or lower ones, end after a few of their steps."""
    plan = SearchPlan(n_starts=1, n_perturbations=20, perturbation_steps=50, patience=20)
    found = explored(Hills(top=0), plan)
    first = explored(Hills(top=0), SearchPlan(n_starts=1, n_perturbations=0))
    assert (found.n_e_steps - first.n_e_steps) / 20 <= 4


@pytest.mark.parametrize("budget", [1, 30, 200])
def test_budget(budget):
    plan = find_plan(budget)
    found = explored(Hills(top=10**6), plan)
    # The run that exceeds the budget is finished.
    assert budget <= found.n_e_steps <= budget + 1 + plan.perturbation_steps


def test_subset_is_for_the_search_only():
    found = searched(Hills(offers_subset=True), SearchPlan())
    assert found.best.objective > -1.0
    assert explored(Hills(offers_subset=True), SearchPlan()).best.objective < -99.0


def test_e_steps_of_the_search_are_counted():
    plan = SearchPlan()
    restart = searched(Hills(), plan).restarts[0]
    rng = np.random.default_rng(np.random.SeedSequence(0).spawn(1)[0])
    short = explore(Hills(), "all", plan, rng, convergence=CONVERGENCE)
    assert restart.n_e_steps > short.n_e_steps > 20
    assert restart.n_short_runs == short.n_runs


def test_failure_of_all_starts_is_reported():
    found = searched(Hills(fails=True), SearchPlan(n_starts=3), n_seeds=2)
    assert found.best.status is Status.FAILED
    assert [(r.status, r.message, r.objective) for r in found.restarts] == [
        ("failed", "no start", -math.inf)
    ] * 2


def test_plans():
    assert find_plan("fast") is PLANS["fast"]
    mine = SearchPlan(n_starts=2)
    assert find_plan(mine) is mine
    assert find_plan(500).budget == 500
    for wrong in ("slow", 0, -3):
        with pytest.raises(ValueError, match=r"fast.*thorough"):
            find_plan(wrong)


# ---- the Gaussian mixture -----------------------------------------------------------------


def test_one_search_finds_the_published_optima_of_old_faithful(reference):
    X = load_old_faithful().data
    table = reference("old_faithful")["gaussian_mixture"]
    table = [case for case in table if "log_likelihood" in case and case["n_components"] > 1]
    assert len(table) == 2
    for published in table:
        n_components, covariance_type = published["n_components"], published["covariance_type"]
        mixture = GaussianMixtureEM(
            n_components,
            covariance_type=covariance_type,
            init_params="search",
            reg_covar=0.0,
            random_state=0,
        ).fit(X)
        assert mixture.log_likelihood_ >= published["log_likelihood"] - 1e-3


def test_search_beats_one_start():
    X = load_old_faithful().data
    one, found = (
        GaussianMixtureEM(4, init_params=start, random_state=0).fit(X)
        for start in ("kmeans", "search")
    )
    assert found.log_likelihood_ >= one.log_likelihood_ - 1e-3
    assert found.restarts_[0].n_short_runs > 1
    assert one.restarts_[0].n_short_runs == 0


def test_other_starts_and_given_means_are_not_searched():
    X = load_old_faithful().data
    for settings in ({"init_params": "k-means++"}, {"means_init": X[:2]}, {"n_components": 1}):
        settings = {"n_components": 2, "init_params": "search", "random_state": 0, **settings}
        assert GaussianMixtureEM(**settings).fit(X).restarts_[0].n_short_runs == 0


def overlapping(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 2)) + 1.5 * rng.integers(0, 3, (n, 1))


def everything(mixture):
    return [
        mixture.weights_,
        mixture.means_,
        mixture.covariances_,
        [r.objective for r in mixture.restarts_],
        [r.n_e_steps for r in mixture.restarts_],
    ]


def test_same_bits_for_any_parallelism():
    X = overlapping()
    mixture = GaussianMixtureEM(3, n_init=3, init_params="search", search="fast", random_state=0)
    alone = everything(mixture.set_params(n_jobs=1).fit(X))
    found = {"n_jobs=2": everything(mixture.set_params(n_jobs=2).fit(X))}
    for backend in ("threading", "loky"):
        with parallel_config(backend=backend, n_jobs=2):
            found[backend] = everything(mixture.set_params(n_jobs=None).fit(X))
    for name, values in found.items():
        for value, expected in zip(values, alone, strict=True):
            np.testing.assert_array_equal(value, expected, err_msg=name)


def test_large_data_are_explored_in_part():
    X = overlapping(12_000)
    mixture = GaussianMixtureEM(3, init_params="search", search="fast", random_state=0).fit(X)
    truth = GaussianMixtureEM(
        3,
        weights_init=np.full(3, 1 / 3),
        means_init=np.repeat([[0.0], [1.5], [3.0]], 2, axis=1),
        precisions_init=np.array([np.eye(2)] * 3),
    ).fit(X)
    assert mixture.log_likelihood_ > truth.log_likelihood_ - 5.0


@pytest.mark.parametrize("search", ["slow", 0, 2.5])
def test_invalid_search(search):
    with pytest.raises(ValueError, match="search"):
        GaussianMixtureEM(2, init_params="search", search=search).fit(overlapping(20))
