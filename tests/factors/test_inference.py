"""Standard errors of loadings."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning

from emlearn import FactorAnalysisEM
from emlearn.factors._inference import factor_problem
from emlearn.inference import bootstrap


def simple(n, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    loadings = np.kron(np.eye(2), rng.uniform(0.6, 0.9, 4))
    factors = rng.normal(size=(n, 2)) @ np.linalg.cholesky([[1, 0.3], [0.3, 1]]).T
    X = factors @ loadings + 0.6 * rng.normal(size=(n, 8))
    X[rng.random(X.shape) < missing] = np.nan
    return X


def test_one_factor_against_second_derivatives_of_the_likelihood():
    X = simple(300)[:, :4]
    fit = FactorAnalysisEM(1, tol=1e-12).fit(X)
    found = fit.inference(X)

    def loss(vector):
        covariance = np.outer(vector[4:8], vector[4:8]) + np.diag(vector[8:])
        return -multivariate_normal(vector[:4], covariance).logpdf(X).sum()

    at = np.concatenate([fit.mean_, fit.components_[0], fit.noise_variance_])
    h = 1e-4
    hessian = np.empty((12, 12))
    for i in range(12):
        for j in range(12):
            a, b = np.eye(12)[i] * h, np.eye(12)[j] * h
            hessian[i, j] = (
                loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)
            ) / (4 * h * h)
    errors = np.sqrt(np.diagonal(np.linalg.inv(hessian)))
    assert_allclose(found.standard_error, errors, rtol=1e-3)
    assert_allclose(found.estimate, at)
    assert found.names[4:6] == ("components[0, 0]", "components[0, 1]")


@pytest.mark.parametrize("noise", ["diag", "isotropic"])
def test_score_is_the_gradient(noise):
    X = simple(60, missing=0.2)
    fit = FactorAnalysisEM(2, noise=noise, rotation="oblimin").fit(X)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 60)
    model, data, params, *_ = factor_problem(X, weight, fit._known(), fit)
    around = model.space(params).coordinates(model.public(params))
    point = 0.1 * np.random.default_rng(1).normal(size=around.n_free)

    def value(vector):
        own, weights = model.log_likelihoods(data, model.from_public(around.move(vector), params))
        return weights @ own

    precomputed = model.precompute(model.from_public(around.move(point), params))
    parts = [model.e_step(block, precomputed) for block in model.blocks(data)]
    assert_allclose(sum(part[1] for part in parts), value(point))
    statistics = type(parts[0][0])(*(sum(s) for s in zip(*(p[0] for p in parts), strict=True)))
    score = model.score(statistics, precomputed.params)
    gradient = around.pull(score, point)
    assert_allclose(gradient, approx_fprime(point, value, 1e-6), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rotation", [None, "varimax", "promax", "oblimin"])
def test_against_the_bootstrap(rotation):
    X = simple(500)
    fit = FactorAnalysisEM(2, rotation=rotation, tol=1e-10).fit(X)
    found = fit.inference(X).standard_errors["components"]
    spread = bootstrap(fit, X, n_resamples=120, random_state=0).standard_errors["components"]
    assert 0.85 < np.mean(spread / found) < 1.15


def test_coverage_of_rotated_loadings():
    """Intervals at 95 % hold the loadings of a large sample about as often."""
    truth = FactorAnalysisEM(2, rotation="oblimin").fit(simple(200_000, seed=99))
    rng = np.random.default_rng(0)
    truth.random_state = np.random.RandomState(0)
    inside = []
    for _ in range(25):
        X = truth.sample(300)
        fit = FactorAnalysisEM(2, rotation="oblimin", tol=1e-9).fit(X)
        fit._rotate_to(truth)
        found = fit.inference(X)
        interval = found.confidence_interval(0.95)
        named = [i for i, name in enumerate(found.names) if name.startswith("components")]
        true = truth.components_.ravel()
        inside.append((interval[named, 0] < true) & (true < interval[named, 1]))
    assert 0.9 < np.mean(inside) < 0.99
    assert rng is not None


def test_units_kinds_and_functions():
    X = simple(200, missing=0.1)
    fit = FactorAnalysisEM(2, rotation="oblimin", tol=1e-11).fit(X)
    found = fit.inference(X)
    moved = (
        FactorAnalysisEM(2, rotation="oblimin", tol=1e-11).fit(1000 * X + 5).inference(1000 * X + 5)
    )
    for name, power in (("mean", 1), ("components", 1), ("noise_variance", 2)):
        ratio = moved.standard_errors[name] / found.standard_errors[name]
        assert_allclose(ratio, 1000.0**power, rtol=1e-2)
    for kind in ("empirical", "sandwich"):
        other = fit.inference(X, information=kind).standard_errors["components"]
        assert 0.7 < np.mean(other / found.standard_errors["components"]) < 1.4
    assert set(found.estimates) == {"mean", "components", "noise_variance", "factor_correlation"}
    assert_allclose(found.estimates["components"], fit.components_, atol=1e-8)
    assert "factor_correlation[0, 1]" in found.names
    common = found.function(lambda p: (p["components"] ** 2).sum(), "size")
    assert_allclose(common.estimate, (fit.components_**2).sum(), rtol=1e-7)
    assert common.standard_error[0] > 0
    test = found.wald_test("factor_correlation[0, 1]")
    assert test.pvalue < 0.01


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_isotropic_noise_and_heywood_cases():
    X = simple(200)
    fit = FactorAnalysisEM(2, noise="isotropic", tol=1e-12).fit(X)
    found = fit.inference(X)
    sigma2 = fit.noise_variance_[0]
    # A variance estimated from n (d - k) values.
    expected = sigma2 * np.sqrt(2.0 / (200 * 6))
    assert_allclose(found.standard_errors["noise_variance"], expected, rtol=0.05)
    assert sum(name.startswith("noise") for name in found.names) == 1
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    X[:, 1:3] += X[:, [0]]
    fit = FactorAnalysisEM(2, min_uniqueness=0.005, tol=1e-10).fit(X)
    found = fit.inference(X)
    at_bound = fit.uniquenesses_ < 0.00501
    assert at_bound.any()
    assert (np.isnan(found.standard_errors["noise_variance"]) == at_bound).all()
    assert "at a bound" in str(found)


def test_what_is_not_identified_has_its_published_name(scores):
    X = scores[:, :2]
    with pytest.warns(ConvergenceWarning, match=r"along which components\[0, 0\]"):
        found = FactorAnalysisEM(1).fit(X).inference(X)
    for name in ("components", "noise_variance"):
        assert np.isnan(found.standard_errors[name]).all()
    assert np.isfinite(found.standard_errors["mean"]).all()
    assert found.remarks == ("", "", *4 * ("not identified",))
