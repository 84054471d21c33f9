"""Single steps of factor analysis: the M-steps, the profile likelihood and the compression."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime

from emlearn.distributions.gaussian.factor_profile import (
    direction,
    evaluate,
    loadings_at,
    slopes,
)
from emlearn.distributions.gaussian.incomplete import FactorAnalysis, FactorParams
from emlearn.distributions.gaussian.incomplete.factor_maximum import (
    best_of_starts,
    profile_maximum,
)
from emlearn.distributions.gaussian.incomplete.factor_moments import MomentFactorAnalysis
from emlearn.engine import BlockMapper


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(90, 6)) + 3.0


def step(model, data, params):
    with BlockMapper(model, data) as e_step:
        statistics, value = e_step(params)
        after = model.m_step(statistics, params)
        return after, value, e_step(after)[1]


@pytest.mark.parametrize("model", [FactorAnalysis(2), MomentFactorAnalysis(2)])
def test_one_step_finds_the_mean_of_complete_rows(model, rows):
    data = model.prepare(rows)
    start = model.initialize(data, np.random.default_rng(0))
    away = start._replace(mean=start.mean + np.linspace(-1, 1, 6))
    after, before, value = step(model, data, away)
    assert value > before
    assert_allclose(data.scaling.to_units(after.mean), rows.mean(axis=0), rtol=1e-12)


def test_one_step_of_moments_fits_the_covariance(rows):
    """As many factors as columns: the M-step is the covariance itself, whatever the start."""
    model = MomentFactorAnalysis(6, isotropic=True)
    data = model.prepare(rows)
    start = FactorParams(np.ones(6), np.eye(6), np.full(6, 2.0))
    mean, loadings, noise = step(model, data, start)[0]
    scale = data.scaling.scale
    covariance = (loadings @ loadings.T + np.diag(noise)) * np.outer(scale, scale)
    assert_allclose(covariance, np.cov(rows.T, bias=True), rtol=1e-9)
    assert_allclose(data.scaling.to_units(mean), rows.mean(axis=0))


def test_derivatives_of_the_profile(rows):
    S = np.corrcoef(rows.T)
    # Near the maximum, where second derivatives are positive.
    at = np.log(profile_maximum(S, 1, np.full(6, 1e-6))[1]) + np.linspace(-0.1, 0.1, 6)

    def loss(log_noise):
        return evaluate(S[None], log_noise[None], 1).value[0]

    def gradient(log_noise):
        return slopes(evaluate(S[None], log_noise[None], 1), 1)[0][0]

    point = evaluate(S[None], at[None], 1)
    assert_allclose(gradient(at), approx_fprime(at, loss, 1e-7), atol=1e-5)
    hessian = np.array([(gradient(at + h) - gradient(at - h)) / 2e-5 for h in 1e-5 * np.eye(6)])
    expected = -np.linalg.solve(hessian, gradient(at))
    assert np.linalg.eigvalsh(hessian)[0] > 0
    found = direction(*slopes(point, 1), np.ones((1, 6), bool))[0]
    expected *= min(1.0, 2.0 / np.abs(expected).max())
    assert_allclose(found, expected, rtol=1e-5)
    # The covariance at these loadings has the likelihood of the profile.
    loadings = loadings_at(at[None], point, 1)[0]
    covariance = loadings @ loadings.T + np.diag(np.exp(at))
    direct = np.linalg.slogdet(covariance)[1] + np.trace(np.linalg.solve(covariance, S))
    assert_allclose(point.value[0], direct)


def test_profile_converges_quadratically(rows):
    S = np.corrcoef(rows.T)
    smallest = np.full(6, 1e-6)
    exact = profile_maximum(S, 1, smallest)[1]
    assert_allclose(profile_maximum(S, 1, smallest, max_steps=6)[1], exact, rtol=1e-8)


@pytest.mark.parametrize("seed", range(12))
def test_no_start_at_random_finds_a_better_maximum(seed):
    """Too many factors for few columns: noise vanishes in one column or another."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(3, 8)) * rng.uniform(0.3, 1.0, (1, 8))
    X = rng.normal(size=(100, 3)) @ loadings + rng.normal(size=(100, 8))
    S, smallest = np.corrcoef(X.T), np.full(8, 1e-6)

    def loss(noise):
        return evaluate(S[None], np.log(noise)[None], 3).value[0]

    found = loss(best_of_starts(S, 3, smallest)[1])
    for _ in range(15):
        other = profile_maximum(S, 3, smallest, rng.uniform(0.02, 1.0, 8))[1]
        assert found <= loss(other) + 1e-7


@pytest.mark.parametrize("nearly", [0.0, 1e-5])
def test_compressed_rows_have_the_likelihood_of_the_rows(nearly, rows):
    """By Cholesky's factor, or by orthogonal factors where a column is nearly a sum of others."""
    if nearly:
        rng = np.random.default_rng(1)
        rows[:, 5] = rows[:, :3].sum(axis=1) + nearly * rng.normal(size=90)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 90)
    model = FactorAnalysis(2)
    data = model.prepare(rows, weight)
    assert len(data.blocks[0].rows) == 7
    rng = np.random.default_rng(2)
    params = FactorParams(rng.normal(size=6), rng.normal(size=(6, 2)), np.full(6, 1e-3))
    one = [model.prepare(row[None], None, data.scaling) for row in rows]
    values = [model.e_step(each.blocks[0], model.precompute(params))[1] for each in one]
    total = model.e_step(data.blocks[0], model.precompute(params))[1]
    assert_allclose(total, weight @ values, rtol=1e-11)
