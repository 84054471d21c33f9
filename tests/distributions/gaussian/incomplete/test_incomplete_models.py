"""The incomplete-data models against the textbook formulas and direct maximisation."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from emlearn.distributions import Gaussian
from emlearn.distributions._gaussian import GaussianParams
from emlearn.distributions.gaussian import forms, rows, steps
from emlearn.distributions.gaussian import scaling as columns
from emlearn.distributions.gaussian.incomplete import (
    ConditionalFactors,
    ConditionalGaussians,
    FactorAnalysis,
    batched,
    conditioning,
    find_patterns,
    patterns,
)
from emlearn.distributions.gaussian.incomplete.batched import Blocks, invert, solve_blocks
from emlearn.distributions.gaussian.incomplete.monotone import monotone_estimate
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import summarize_columns
from emlearn.distributions.gaussian.single import MeanCovariance, OneGaussian
from emlearn.engine import DegenerateModelError, RemainingGain, Threads, run_em, search
from emlearn.engine.blocks import BlockMapper
from emlearn.latent import LabelModel, LabelParams, MixtureLaw, MixtureParams, Observations
from emlearn.latent.starts import POINT_STARTS

SEED = [np.random.SeedSequence(0)]


LEVELS = ["base", "v3", "v4"]


@pytest.fixture(params=["numpy", *LEVELS])
def all_kernels(request, monkeypatch):
    """Run a test with the kernels of each instruction set that there is, and without."""
    kernels = None
    if request.param != "numpy":
        base = pytest.importorskip("emlearn.kernels._base")
        if LEVELS.index(request.param) > LEVELS.index(base.level()):
            pytest.skip("the processor lacks the instructions")
        kernels = pytest.importorskip(f"emlearn.kernels._{request.param}")
    for module in (batched, columns, conditioning, forms, rows, steps):
        monkeypatch.setattr(module, "compiled", kernels)


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
    family = Gaussian(alpha=0.0)
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


def holes(n, d, rate, seed=0, rank=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, rank or d)) @ rng.normal(size=(rank or d, d))
    X += 0.5 * rng.normal(size=(n, d)) + 10.0 * np.arange(d)
    X[rng.random((n, d)) < rate] = np.nan
    return X


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
def test_e_and_m_step_agree_with_row_by_row_formulas(n_components, d, rate):
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
def test_covariances_are_symmetric_to_the_last_bit(rate):
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


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_optimum_cannot_be_improved_by_direct_maximisation(strength):
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
def test_factor_analysis_equals_the_full_model_at_its_covariance(strength):
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


@pytest.mark.parametrize("kind", ["mixture", "factors"])
def test_draws_have_the_conditional_moments(kind):
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


@pytest.mark.parametrize("model", [OneGaussian(), FactorAnalysis(3)])
def test_same_bits_for_any_number_of_threads_and_vector_round_trip(model):
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


def test_vector_that_is_no_parameter_is_refused():
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


@pytest.mark.parametrize("n_components", [1, 2])
def test_cuts_through_patterns_change_nothing(n_components, monkeypatch):
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


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("solve", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_blocks_are_solved(solve, weighted):
    rng = np.random.default_rng(0)
    d = 110
    A = rng.normal(size=(d, 2 * d))
    matrix = A @ A.T / d
    # Orders with and without neighbours.
    orders = np.array([0, 1, 1, 2, 2, 2, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 17, 17, 40, 100, 7, 7])
    columns = [np.sort(rng.permutation(d)[:order]) for order in orders]
    sizes = rng.integers(1, 4, size=orders.size)
    edges = np.concatenate(([2], 2 + np.cumsum(sizes)))
    starts = np.concatenate(([0], np.cumsum(orders)))
    blocks = Blocks(np.concatenate(columns).astype(np.uint16), starts, edges)
    vectors = rng.normal(size=(edges[-1] + 3, d))
    weights = rng.normal(size=orders.size)
    out, expected = (np.full(vectors.shape, 7.0) for _ in range(2))
    target, expected_target = (np.eye(d) for _ in range(2))
    log_det = solve_blocks(
        matrix,
        blocks,
        vectors if solve else None,
        out if solve else None,
        factor=-2.0,
        weights=weights if weighted else None,
        target=target if weighted else None,
    )
    for p, c in enumerate(columns):
        inverse = np.linalg.inv(matrix[np.ix_(c, c)])
        rows = np.arange(edges[p], edges[p + 1])
        if solve:
            expected[np.ix_(rows, c)] = -2.0 * vectors[np.ix_(rows, c)] @ inverse
        if weighted:
            expected_target[np.ix_(c, c)] += weights[p] * inverse
        assert_allclose(log_det[p], np.linalg.slogdet(matrix[np.ix_(c, c)])[1], atol=1e-11)
    assert_allclose(out, expected, rtol=1e-9, atol=1e-11)
    assert_allclose(target, expected_target, rtol=1e-9, atol=1e-11)


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("target", [None, np.zeros((3, 3))])
def test_a_singular_block_is_refused(target):
    matrix = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    blocks = Blocks(np.array([2, 0, 1], np.uint16), np.array([0, 1, 3]), np.array([0, 1, 2]))
    weights = None if target is None else np.ones(2)
    with pytest.raises(DegenerateModelError, match="singular"):
        solve_blocks(matrix, blocks, weights=weights, target=target)


def test_the_kernel_refuses_what_would_leave_its_arrays():
    kernels = batched.compiled
    if kernels is None:
        pytest.skip("the kernels are not built")
    matrix, rows, log_det = np.eye(3), np.zeros((2, 3)), np.zeros(1)

    def solve(
        columns=(0, 1), starts=(0, 2), edges=(0, 2), matrix=matrix, out=rows, log_det=log_det
    ):
        columns, starts, edges = np.array(columns, np.uint16), np.array(starts), np.array(edges)
        kernels.solve_blocks(matrix, columns, starts, edges, rows, out, 1.0, None, None, log_det)

    solve()
    for wrong in (
        {"columns": (0, 3)},
        {"starts": (0, 3)},
        {"starts": (-1, 2)},
        {"starts": (2, 0)},
        {"edges": (0, 3)},
        {"edges": (-1, 1)},
        {"edges": (1, 0)},
    ):
        with pytest.raises(ValueError, match="do not fit"):
            solve(**wrong)
    for wrong in (
        {"matrix": np.zeros((3, 2))},
        {"matrix": np.zeros((3, 3), np.float32)},
        {"out": np.zeros((1, 3))},
        {"out": None},
        {"log_det": np.zeros(2)},
    ):
        with pytest.raises(TypeError):
            solve(**wrong)
    table, order, columns = np.zeros((4, 2)), np.array([3, 4]), np.ones(2)
    with pytest.raises(IndexError, match="row number"):
        kernels.standardize(table, order, columns, columns, None, np.zeros((2, 2)))
    with pytest.raises(IndexError, match="row number"):
        kernels.fill_missing(
            np.zeros((2, 2)), -order, np.ones((2, 2), bool), columns, columns, table
        )


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [True, False])
def test_scaling(dtype, weighted):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(700, 5)) * 3.0 + 100.0).astype(dtype)
    missing = rng.random(X.shape) < 0.3
    X[missing] = np.nan
    weight = rng.integers(0, 3, size=700).astype(float) if weighted else None
    w = np.ones((700, 1)) if weight is None else weight[:, None]
    summary = summarize_columns(X, weight)
    scaling = summary.scaling
    seen = ~missing * w
    assert_allclose(summary.weight, seen.sum(axis=0))
    center = np.nansum(X * w, axis=0, dtype=np.float64) / seen.sum(axis=0)
    # The center is a number of the precision of the data.
    assert_allclose(scaling.center, center.astype(dtype), rtol=1e-12)
    deviation = np.sqrt(np.nansum((X - center) ** 2 * w, axis=0) / seen.sum(axis=0))
    assert (np.abs(np.log2(scaling.scale / deviation)) <= 0.5 + 1e-9).all()
    order, share = rng.permutation(700)[:300], rng.uniform(size=300)
    Z = scaling.standardize(X, order, share)
    expected = np.where(missing, 0.0, (X - scaling.center) / scaling.scale)[order]
    assert_allclose(Z, expected * share[:, None], rtol=1e-13, atol=1e-14)
    assert_allclose(scaling.standardize(X)[order], expected, rtol=1e-13, atol=1e-14)
    out, values = X.copy(), rng.normal(size=(300, 5))
    scaling.restore_missing(values, order, missing[order], out)
    wanted = X.copy()
    wanted[order] = np.where(missing[order], values * scaling.scale + scaling.center, X[order])
    assert_allclose(out, wanted, rtol=1e-6 if dtype == np.float32 else 1e-14)
    assert_array_equal(out[~missing], X[~missing])


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


@pytest.mark.parametrize("order", [0, 1, 3, 10, 11, 17, 40, 70])
def test_batched_inverse(order):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(7, order, order + 3))
    A = A @ A.transpose(0, 2, 1) + 0.1 * np.eye(order)
    inverse, log_det = invert(A.transpose(1, 2, 0).copy())
    assert_allclose(inverse.transpose(2, 0, 1), np.linalg.inv(A), rtol=1e-7, atol=1e-9)
    assert_allclose(log_det, np.linalg.slogdet(A)[1], rtol=1e-9, atol=1e-12)
    if order:
        A[3] *= -1.0
        with pytest.raises(DegenerateModelError):
            invert(np.ascontiguousarray(A.transpose(1, 2, 0)))


def test_patterns_are_found_also_for_many_columns():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 150)) < 0.5
    kind = rng.integers(5, size=40)
    table = find_patterns(masks[kind])
    assert table.mask.shape == (5, 150)
    for i, mask in enumerate(table.mask):
        members = table.order[table.edges[i] : table.edges[i + 1]]
        assert_array_equal(masks[kind][members], np.broadcast_to(mask, (members.size, 150)))
    assert sorted(table.order) == list(range(40))


def test_complete_and_empty_rows_are_left_out():
    missing = np.array([[0, 0], [1, 1], [0, 1], [0, 0], [1, 0]], dtype=bool)
    table = find_patterns(missing)
    assert sorted(table.incomplete().order) == [1, 2, 4]
    assert sorted(table.observed().order) == [0, 2, 3, 4]
    assert sorted(table.observed().incomplete().order) == [2, 4]
    assert find_patterns(missing[:0]).observed().incomplete().order.size == 0


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_units_of_columns(offset, scale):
    x = np.random.default_rng(0).normal(size=1000)
    X = np.column_stack((scale * (x + offset), x))
    X[:10, 0] = np.nan
    summary = summarize_columns(X)
    assert_allclose(summary.scaling.center[0], np.nanmean(x[10:] + offset) * scale, rtol=1e-14)
    assert 0.5 < summary.scaling.scale[0] / scale < 2.0
    assert np.log2(summary.scaling.scale[0]) % 1.0 == 0.0
