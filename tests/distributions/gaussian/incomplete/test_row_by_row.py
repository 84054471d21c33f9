"""One step, fills and draws of incomplete-data models against row-by-row formulas."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from emlearn.distributions import Gaussian
from emlearn.distributions._gaussian import GaussianParams
from emlearn.distributions.gaussian.incomplete import (
    ConditionalFactors,
    ConditionalGaussians,
    FactorAnalysis,
    patterns,
)
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import summarize_columns
from emlearn.distributions.gaussian.single import MeanCovariance, OneGaussian
from emlearn.engine.blocks import BlockMapper
from emlearn.latent import LabelModel, LabelParams, MixtureLaw, MixtureParams, Observations
from emlearn.latent.starts import POINT_STARTS


class Params(NamedTuple):
    """Parameters of K components, in the units of a scaling."""

    weights: Any
    means: Any
    covariances: Any


def em_step(X, weight, params):
    """Log-likelihood and parameters of one step, by the models."""
    if len(params.weights) == 1:
        model = OneGaussian()
        data = model.prepare(X, weight)
        start = MeanCovariance(params.means[0], params.covariances[0])
        with BlockMapper(model, data) as e_step:
            statistics, value = e_step(start)
        mean, covariance = model.m_step(statistics, start)
        return Params(np.ones(1), mean[None], covariance[None]), value
    family = Gaussian(reg_covar=0.0)
    model = LabelModel(MixtureLaw(len(params.weights)), family, POINT_STARTS["kmeans"])
    data = model.prepare(Observations(X), weight)
    factor = family.structure.factor(params.covariances, X.shape[1], 0.0)
    components = GaussianParams(params.means, params.covariances, factor)
    start = LabelParams(MixtureParams(params.weights), components, data.column_spec)
    with BlockMapper(model, data) as e_step:
        statistics, value = e_step(start)
    new = model.m_step(statistics, start)
    return Params(new.law.weights, new.components.mean, new.components.covariance), value


def as_mixture(params, scaling):
    """One Gaussian as a mixture of one."""
    return ConditionalGaussians.at(np.ones(1), *(part[None] for part in params), scaling)


def naive_map(X, weight, params, scaling):
    """One EM step, log-likelihood, conditional means and covariances, row by row."""
    K, d = params.means.shape
    count, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    total, filled, variances = 0.0, [], []
    for row, w in zip((X - scaling.center) / scaling.scale, weight, strict=True):
        o = ~np.isnan(row)
        m = ~o
        logs, means, covariances = np.zeros(K), [], []
        for k in range(K):
            mu, S = params.means[k], params.covariances[k]
            value, C = row.copy(), np.zeros((d, d))
            if o.any():
                normal = multivariate_normal(mu[o], S[np.ix_(o, o)])
                logs[k] = normal.logpdf(row[o]) - np.log(scaling.scale[o]).sum()
                B = S[np.ix_(m, o)] @ np.linalg.inv(S[np.ix_(o, o)])
                value[m] = mu[m] + B @ (row[o] - mu[o])
                C[np.ix_(m, m)] = S[np.ix_(m, m)] - B @ S[np.ix_(o, m)]
            else:
                value, C = mu.copy(), S.copy()
            means.append(value)
            covariances.append(C)
        logs += np.log(params.weights)
        density = np.logaddexp.reduce(logs)
        r = np.exp(logs - density)
        mean = r @ np.array(means)
        filled.append(mean)
        spread = [c.diagonal() + (v - mean) ** 2 for v, c in zip(means, covariances, strict=True)]
        variances.append(r @ np.array(spread))
        if o.any():
            total += w * density
            for k in range(K):
                count[k] += w * r[k]
                first[k] += w * r[k] * means[k]
                second[k] += w * r[k] * (np.outer(means[k], means[k]) + covariances[k])
    mu = first / count[:, None]
    cov = second / count[:, None, None] - mu[:, :, None] * mu[:, None, :]
    new = Params(count / count.sum(), mu, cov)
    return new, total, np.array(filled), np.sqrt(variances)


def random_params(K, d, seed=1):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(K, d, 3 * d))
    return Params(
        rng.dirichlet(np.full(K, 5.0)), rng.normal(size=(K, d)), A @ A.transpose(0, 2, 1) / d
    )


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize(("d", "rate"), [(2, 0.3), (5, 0.5), (13, 0.3), (26, 0.6)])
def test_e_and_m_step_agree_with_row_by_row_formulas(n_components, d, rate, holes):
    X = holes(120, d, rate)
    X[:60][:, : d // 2] = np.where(np.isnan(X[0, : d // 2]), np.nan, 1.0)
    X[:60] += 0.1 * np.random.default_rng(1).normal(size=(60, d))
    X[70] = np.nan
    weight = np.random.default_rng(2).integers(1, 4, 120).astype(float)
    scaling = summarize_columns(X, weight).scaling
    params = random_params(n_components, d)
    # Of rows with nothing observed a mixture counts the label.
    observed = ~np.isnan(X).all(axis=1)
    new, value = em_step(X[observed], weight[observed], params)
    expected, total, filled, deviation = naive_map(X, weight, params, scaling)
    assert_allclose(value, total, rtol=1e-11)
    for mine, theirs in zip(new, expected, strict=True):
        assert_allclose(mine, theirs, atol=1e-10)
    means, deviations = X.copy(), np.zeros_like(X)
    model = ConditionalGaussians.at(*params, scaling)
    model.fill_means(X, means)
    model.fill_deviations(X, deviations)
    missing = np.isnan(X)
    assert_allclose(means[missing], scaling.to_units(filled)[missing], rtol=1e-9, atol=1e-9)
    expected_deviation = np.where(missing, deviation * scaling.scale, 0.0)
    assert_allclose(deviations, expected_deviation, rtol=1e-8, atol=1e-9)
    assert_array_equal(means[~missing], X[~missing])
    density = model.log_density(X)
    assert abs(density[70]) < 1e-15
    assert_allclose(weight @ density, total, rtol=1e-11)


def test_every_pattern_of_four_columns():
    d = 4
    patterns = (np.arange(16)[:, None] >> np.arange(d)) & 1 == 1
    X = np.random.default_rng(0).normal(size=(16, d))
    X[patterns] = np.nan
    scaling = summarize_columns(X).scaling
    params = random_params(2, d)
    out = X.copy()
    ConditionalGaussians.at(*params, scaling).fill_means(X, out)
    filled = naive_map(X, np.ones(16), params, scaling)[2]
    assert_allclose(out, scaling.to_units(filled), rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_covariances_are_symmetric_to_the_last_bit(rate, holes):
    X = holes(200, 7, rate)
    X = X[~np.isnan(X).all(axis=1)]
    new, _ = em_step(X, None, random_params(1, 7))
    assert_array_equal(new.covariances[0], new.covariances[0].T)


@pytest.mark.parametrize("constant", [False, True])
def test_compressed_rows_and_rows_agree(constant, monkeypatch):
    rng = np.random.default_rng(0)
    masks = np.vstack((rng.random((4, 6)) < 0.4, np.zeros((1, 6), bool)))
    X = rng.normal(size=(6000, 6)) @ rng.normal(size=(6, 6))
    kind = rng.integers(5, size=6000)
    if constant:
        # A pattern whose rows are all the same has no scatter.
        X[kind == 2] = X[0]
    X[masks[kind]] = np.nan
    weight = rng.uniform(0.5, 2.0, size=6000)
    params = random_params(1, 6)
    model = OneGaussian()
    data = model.prepare(X, weight)
    assert sum(block.rows.shape[0] for block in data.blocks) <= 5 * 7
    reduced, value = em_step(X, weight, params)
    twice = Params(np.full(2, 0.5), *(np.repeat(p, 2, axis=0) for p in params[1:]))
    by_rows, other = em_step(X, weight, twice)
    monkeypatch.setattr(
        "emlearn.distributions.gaussian.single.compress_patterns", lambda rows: rows
    )
    for mine, theirs in zip(data.available, model.prepare(X, weight).available, strict=True):
        assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)
    assert_allclose(value, other, rtol=1e-12)
    assert_allclose(reduced.covariances[0], by_rows.covariances[0], rtol=1e-10)


@pytest.mark.parametrize("kind", ["mixture", "factors"])
def test_draws_have_the_conditional_moments(kind, holes):
    X = holes(12, 6, 0.4)
    scaling = summarize_columns(X).scaling
    if kind == "mixture":
        weights, means, covariances = random_params(2, 6)
        known = ConditionalGaussians.at(weights, means, covariances, scaling)
    else:
        model = FactorAnalysis(2, CovariancePrior(5.0, np.ones(6)))
        params = model.initialize(model.prepare(X), np.random.default_rng(3))
        known = ConditionalFactors.at(params, scaling)
    draws = np.tile(X, (1500, 1))
    known.fill_draws(draws.copy(), draws, np.random.default_rng(0))
    draws = draws.reshape(1500, *X.shape)
    mean, deviation = X.copy(), np.ones_like(X)
    known.fill_means(X, mean)
    known.fill_deviations(X, deviation)
    missing = np.isnan(X)
    z = ((np.mean(draws, axis=0) - mean) / deviation)[missing] * np.sqrt(1500)
    assert np.abs(z).max() < 4.5
    assert_allclose((np.std(draws, axis=0) / deviation)[missing], 1.0, atol=0.12)


@pytest.mark.parametrize("n_components", [1, 2])
def test_cuts_through_patterns_change_nothing(n_components, monkeypatch, holes):
    X = holes(300, 4, 0.4)
    params = random_params(n_components, 4)

    def run():
        data = OneGaussian().prepare(X)
        new, value = em_step(X, None, params)
        out = X.copy()
        ConditionalGaussians.at(*params, data.scaling).fill_means(X, out)
        return len(data.blocks), new, value, out

    n_blocks, new, value, out = run()
    monkeypatch.setattr(patterns, "_CHUNK_ENTRIES", 4 * 70)
    monkeypatch.setattr(patterns, "_BLOCK_ENTRIES", 4 * 13)
    more_blocks, other, other_value, other_out = run()
    assert n_blocks == 1
    assert more_blocks > 20
    assert_allclose(value, other_value, rtol=1e-13)
    for mine, theirs in zip(new, other, strict=True):
        assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)
    assert_allclose(out, other_out, rtol=1e-12)


def test_likelihood_keeps_its_digits_where_columns_nearly_depend_on_each_other():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    X = x + 1e-6 * rng.normal(size=(400, 4))
    X[rng.random(X.shape) < 0.3] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    model = OneGaussian()
    data = model.prepare(X)
    center, scale = data.scaling
    covariance = (np.ones((4, 4)) + 1e-12 * np.eye(4)) / np.outer(scale, scale)
    params = MeanCovariance(-center / scale, covariance)
    known = as_mixture(params, data.scaling)
    with BlockMapper(model, data) as e_step:
        value = e_step(params)[1]
    assert_allclose(value, known.log_density(X).sum(), rtol=1e-9)
