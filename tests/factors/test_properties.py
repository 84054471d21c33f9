"""What holds for every factor analysis: weights, order, units, conformance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import FactorAnalysisEM
from emlearn.distributions.gaussian.incomplete import FactorAnalysis
from emlearn.distributions.gaussian.incomplete.factor_moments import MomentFactorAnalysis
from emlearn.testing import check_latent_variable_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    "model",
    [
        FactorAnalysis(2),
        FactorAnalysis(2, isotropic=True),
        MomentFactorAnalysis(2),
        MomentFactorAnalysis(2, isotropic=True),
    ],
    ids=["rows", "rows, isotropic", "moments", "moments, isotropic"],
)
def test_contract(model, make):
    X = make(150, 7, 2, missing=0.15, seed=4)
    check_latent_variable_model(model, X[~np.isnan(X).all(axis=1)])


@pytest.mark.parametrize(("n", "d"), [(20, 30), (150, 7)], ids=["rows", "compressed"])
@pytest.mark.parametrize("isotropic", [False, True])
def test_contract_for_complete_rows(n, d, isotropic, make):
    model = FactorAnalysis(2, isotropic=isotropic)
    check_latent_variable_model(model, make(n, d, 2, seed=4), max_iter=20_000)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.2]),
    noise=st.sampled_from(["diag", "isotropic"]),
)
def test_weights_are_copies_and_rows_have_no_order(seed, missing, noise):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 1)) @ rng.uniform(0.5, 1.5, (1, 5)) + rng.normal(size=(40, 5))
    X[rng.random(X.shape) < missing] = np.nan
    weight = rng.integers(0, 3, len(X))
    settings = {"noise": noise, "tol": 1e-12, "min_uniqueness": 1e-3, "max_iter": 20_000}
    weighted = FactorAnalysisEM(1, **settings).fit(X, sample_weight=weight)
    copies = FactorAnalysisEM(1, **settings).fit(np.repeat(X, weight, axis=0))
    assert_allclose(weighted.log_likelihood_, copies.log_likelihood_, rtol=1e-9)
    assert_allclose(weighted.components_, copies.components_, atol=1e-4)
    order = rng.permutation(len(X))
    turned = FactorAnalysisEM(1, **settings).fit(X[order], sample_weight=weight[order])
    assert_allclose(turned.log_likelihood_, weighted.log_likelihood_, rtol=1e-9)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.15]),
    rotation=st.sampled_from([None, "varimax", "promax", "oblimin"]),
)
def test_units_change_nothing(seed, missing, rotation):
    rng = np.random.default_rng(seed)
    loadings = np.kron(np.eye(2), rng.uniform(0.6, 0.9, 5))
    X = rng.normal(size=(120, 2)) @ loadings + 0.6 * rng.normal(size=(120, 10))
    X[rng.random(X.shape) < missing] = np.nan
    unit, shift = 10.0 ** rng.integers(-6, 6, 10), rng.normal(size=10) * 100
    fit = FactorAnalysisEM(2, rotation=rotation, tol=1e-12).fit(X)
    moved = FactorAnalysisEM(2, rotation=rotation, tol=1e-12).fit((X + shift) * unit)
    assert_allclose(moved.components_ / unit, fit.components_, atol=1e-4)
    assert_allclose(moved.uniquenesses_, fit.uniquenesses_, atol=1e-4)
    assert_allclose(moved.transform((X + shift) * unit), fit.transform(X), atol=1e-3)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("noise", ["diag", "isotropic"])
def test_published_parameters_have_the_likelihood(missing, noise, make):
    X = make(100, 6, 2, missing, seed=8)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 100)
    fit = FactorAnalysisEM(2, noise=noise, rotation="promax").fit(X, sample_weight=weight)
    assert_allclose(fit.score(X, sample_weight=weight) * weight.sum(), fit.log_likelihood_)
    assert (np.diff(fit.history_["objective"]) >= -1e-9).all()
    d, k = 6, 2
    n_parameters = d + d * k - 1 + (d if noise == "diag" else 1)
    assert_allclose(fit.aic(X, weight), -2 * fit.log_likelihood_ + 2 * n_parameters)
    expected = -2 * fit.log_likelihood_ + np.log(weight.sum()) * n_parameters
    assert_allclose(fit.bic(X, weight), expected)
    assert_allclose(fit.get_precision() @ fit.get_covariance(), np.eye(6), atol=1e-9)


def test_second_fit_and_number_of_threads(make, monkeypatch):
    X, other = make(300, 6, 2, 0.2, seed=1), make(90, 6, 2, 0.1, seed=2)
    first = FactorAnalysisEM(2).fit(X)
    again = FactorAnalysisEM(2).fit(other).fit(X)
    assert_array_equal(first.components_, again.components_)


def test_draws_have_the_fitted_distribution(scores):
    fit = FactorAnalysisEM(3, rotation="oblimin", random_state=0).fit(scores)
    X = fit.sample(200_000)
    assert_allclose(np.cov(X.T), fit.get_covariance(), atol=0.02)
    assert_allclose(X.mean(axis=0), fit.mean_, atol=0.02)
    assert_array_equal(X, fit.sample(200_000))
    Z = fit.transform(scores)
    assert_allclose(fit.inverse_transform(Z), Z @ fit.components_ + fit.mean_)


@pytest.mark.parametrize("rotation", [None, "oblimin"])
def test_known_parameters_are_the_fit(rotation, scores):
    fit = FactorAnalysisEM(2, rotation=rotation).fit(scores)
    known = FactorAnalysisEM.from_parameters(
        fit.mean_, fit.components_, fit.noise_variance_, fit.factor_correlation_
    )
    assert_allclose(known.score_samples(scores), fit.score_samples(scores))
    assert_allclose(known.transform(scores), fit.transform(scores))
    assert_allclose(known.uniquenesses_, fit.uniquenesses_)
