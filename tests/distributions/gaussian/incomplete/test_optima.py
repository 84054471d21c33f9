"""Optima of the incomplete-data models, against direct maximization and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from emlearn.distributions.gaussian.incomplete import (
    ConditionalFactors,
    ConditionalGaussians,
    FactorAnalysis,
)
from emlearn.distributions.gaussian.incomplete.monotone import monotone_estimate
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.single import MeanCovariance, OneGaussian
from emlearn.engine import DegenerateModelError, RemainingGain, Threads, run_em, search

SEED = [np.random.SeedSequence(0)]


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_optimum_cannot_be_improved_by_direct_maximisation(strength, holes):
    X = holes(60, 3, 0.3)
    model = OneGaussian(CovariancePrior(strength, np.ones(3)))
    data = model.prepare(X)
    best = search(model, data, seeds=SEED, convergence=RemainingGain(1e-13), max_iter=2000).best

    def loss(vector):
        try:
            params = model.from_vector(vector, best.params)
            known = ConditionalGaussians.at(
                np.ones(1), *(part[None] for part in params), data.scaling
            )
            value = known.log_density(X).sum() + model.log_prior(params)
        except DegenerateModelError:
            return 1e10
        return -value

    result = minimize(loss, model.to_vector(best.params), method="BFGS")
    assert -result.fun - best.objective < 1e-6


@pytest.mark.parametrize(
    "prior", [CovariancePrior(), CovariancePrior(3.0, np.linspace(0.5, 2.0, 5))]
)
@pytest.mark.parametrize("first", [0, 2])
def test_nested_patterns_are_solved_in_closed_form(prior, first):
    rng = np.random.default_rng(first)
    X = rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5))
    stays = rng.integers(first + 1, 6, size=80)
    X[np.arange(5) >= stays[:, None]] = np.nan
    X = X[:, rng.permutation(5)]
    weight = rng.uniform(0.5, 2.0, size=80)
    model = OneGaussian(prior)
    data = model.prepare(X, weight)
    mean, covariance = monotone_estimate(data.blocks, prior)
    start = MeanCovariance(np.ones(5), 2.0 * np.eye(5))
    run = run_em(model, data, start, convergence=RemainingGain(0.0), max_iter=20_000)
    assert_allclose(mean, run.params.mean, rtol=1e-5, atol=1e-6)
    assert_allclose(covariance, run.params.covariance, rtol=1e-5, atol=1e-6)
    X[0, 0], X[0, 1:], X[1, 0], X[1, 1:] = np.nan, 1.0, 1.0, np.nan
    assert monotone_estimate(model.prepare(X, weight).blocks, prior) is None


@pytest.mark.parametrize("strength", [0.5, 5.0])
def test_factor_analysis_equals_the_full_model_at_its_covariance(strength, holes):
    X = holes(80, 9, 0.3, rank=2)
    model = FactorAnalysis(2, CovariancePrior(strength, np.ones(9)))
    data = model.prepare(X)
    best = search(model, data, seeds=SEED, convergence=RemainingGain(1e-12), max_iter=20_000).best
    assert best.converged
    scaling = data.scaling
    factors = ConditionalFactors.at(best.params, scaling)
    mean, loadings, noise = best.params
    covariance = loadings @ loadings.T + np.diag(noise)
    full = ConditionalGaussians.at(np.ones(1), mean[None], covariance[None], scaling)
    assert_allclose(factors.covariances, full.covariances, rtol=1e-12)
    assert_allclose(factors.means, full.means, rtol=1e-12)
    assert_allclose(factors.log_density(X), full.log_density(X), rtol=1e-10)
    for what in ("fill_means", "fill_deviations"):
        mine, theirs = X.copy(), X.copy()
        getattr(factors, what)(X, mine)
        getattr(full, what)(X, theirs)
        assert_allclose(mine, theirs, rtol=1e-9)

    def loss(vector):
        params = model.from_vector(vector, best.params)
        known = ConditionalFactors.at(params, scaling)
        return -known.log_density(X).sum() - model.log_prior(params)

    result = minimize(loss, model.to_vector(best.params), method="L-BFGS-B")
    assert -result.fun - best.objective < 1e-5


@pytest.mark.parametrize("model", [OneGaussian(), FactorAnalysis(3)])
def test_same_bits_for_any_number_of_threads_and_vector_round_trip(model, holes):
    X = holes(3000, 8, 0.2)
    model = replace(model, prior=CovariancePrior(1.0, np.ones(8)))
    data = model.prepare(X)
    start = model.initialize(data, np.random.default_rng(0))
    runs = [
        run_em(model, data, start, convergence=RemainingGain(0.0), max_iter=5, mapper=Threads(t))
        for t in (1, 2, 3)
    ]
    for run in runs[1:]:
        assert run.objective == runs[0].objective
        for a, b in zip(run.params, runs[0].params, strict=True):
            assert_array_equal(a, b)
    back = model.from_vector(model.to_vector(runs[0].params), runs[0].params)
    for a, b in zip(back, runs[0].params, strict=True):
        assert_allclose(a, b, rtol=1e-14)


def test_vector_that_is_no_parameter_is_refused(holes):
    model = OneGaussian()
    params = MeanCovariance(np.zeros(2), np.eye(2))
    vector = model.to_vector(params)
    vector[-1] = -1.0
    with pytest.raises(DegenerateModelError):
        model.from_vector(vector, params)
    factors = FactorAnalysis(1)
    start = factors.initialize(factors.prepare(holes(20, 3, 0.1)), np.random.default_rng(0))
    bad = factors.to_vector(start)
    bad[-1] = np.inf
    with pytest.raises(DegenerateModelError):
        factors.from_vector(bad, start)
