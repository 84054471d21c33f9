"""Fits against published values, closed forms, scikit-learn and direct maximization."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis

from emlearn import FactorAnalysisEM

# R, datasets::ability.cov: covariances of six tests (112 persons), lower triangle.
ABILITY = [
    [24.641],
    [5.991, 6.700],
    [33.520, 18.137, 149.831],
    [6.023, 1.782, 19.424, 12.711],
    [20.755, 4.936, 31.430, 4.757, 52.604],
    [29.701, 7.204, 50.753, 9.075, 66.762, 135.292],
]


def rows_with(covariance, n, seed=0):
    """Rows with exactly this covariance (divisor n - 1) and mean 0."""
    d = len(covariance)
    Z = np.random.default_rng(seed).normal(size=(n, d))
    Z -= Z.mean(axis=0)
    Z = np.linalg.qr(Z)[0] * np.sqrt(n - 1)
    return Z @ np.linalg.cholesky(covariance).T


@pytest.fixture
def ability():
    covariance = np.zeros((6, 6))
    for i, row in enumerate(ABILITY):
        covariance[i, : i + 1] = covariance[: i + 1, i] = row
    return rows_with(covariance, 112)


def published(reference, name):
    (entry,) = (entry for entry in reference("factors")["entries"] if entry["name"] == name)
    return entry["values"]


@pytest.mark.parametrize("k", [1, 2])
def test_ability_tests_as_in_r(k, ability, reference):
    values = published(reference, f"factanal_ability_{k}")
    analysis = FactorAnalysisEM(k, tol=1e-12).fit(ability)
    # As exactly as R's optimizer stops.
    assert_allclose(analysis.uniquenesses_, list(values["uniquenesses"].values()), atol=5e-5)
    test = analysis.chi_square_test(ability)
    assert_allclose(test.statistic, values["stat"], rtol=1e-6)
    assert_allclose(test.criterion, values["criterion"], rtol=1e-6)
    assert test.criterion <= values["criterion"] + 1e-12
    assert test.df == values["dof"]


def test_holzinger_and_swineford_as_in_r(scores, reference):
    values = published(reference, "factanal_hs_2")
    analysis = FactorAnalysisEM(2, tol=1e-12).fit(scores)
    assert_allclose(analysis.uniquenesses_, list(values["uniquenesses"].values()), atol=2e-5)
    assert_allclose(analysis.chi_square_test(scores).statistic, values["stat"], rtol=1e-6)


def test_factor_scores_as_in_r(scores):
    """R 4.2.2: factanal(scores, 3, rotation="none", scores=...), which divides by n - 1."""
    root = np.sqrt(300 / 301)
    regression = FactorAnalysisEM(3).fit(scores).transform(scores)[:2] * root
    bartlett = FactorAnalysisEM(3, scores="bartlett").fit(scores).transform(scores)[:2] * root
    expected = [[-0.15453686, -0.37848773, -0.60542926], [-0.7497739, 1.35464285, 0.13076325]]
    assert_allclose(regression, expected, atol=3e-5)
    expected = [[-0.17206632, -0.51731081, -1.00152206], [-0.8348224, 1.85150359, 0.21631309]]
    assert_allclose(bartlett, expected, atol=3e-5)


@pytest.mark.parametrize(("n", "d", "k"), [(200, 8, 2), (500, 30, 4), (40, 60, 3)])
def test_likelihood_of_scikit_learn(n, d, k, make):
    X = make(n, d, k, seed=n)
    # Where noise vanishes, both only approach the supremum.
    theirs = FactorAnalysis(k, tol=1e-13, max_iter=20_000, svd_method="lapack").fit(X)
    ours = FactorAnalysisEM(k, tol=1e-13, min_uniqueness=1e-9, max_iter=20_000).fit(X)
    assert ours.uniquenesses_.min() > 1e-3
    assert abs(ours.score(X) - theirs.score(X)) < 1e-8
    assert_allclose(ours.get_covariance(), theirs.get_covariance(), rtol=1e-4, atol=1e-4)


def test_wide_rows_make_no_square_matrix(make):
    """More than 512 columns: products with the rows only."""
    X = make(120, 600, 3)
    theirs = FactorAnalysis(3, tol=1e-10, max_iter=5000, svd_method="lapack").fit(X)
    ours = FactorAnalysisEM(3, tol=1e-10, max_iter=5000).fit(X)
    assert ours.converged_
    assert abs(ours.score(X) - theirs.score(X)) < 1e-7 * 600


@pytest.mark.parametrize("noise", ["diag", "isotropic"])
def test_memory_of_wide_rows(noise, make):
    """Some copies of the rows, but no matrix of all pairs of columns (72 MB)."""
    X = make(40, 3000, 3)
    tracemalloc.start()
    try:
        FactorAnalysisEM(3, noise=noise, max_iter=3, tol=1.0).fit(X).transform(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * X.nbytes < 3000 * 3000 * 8 / 4


@pytest.mark.parametrize(("n", "d", "k"), [(150, 6, 2), (50, 600, 3), (60, 5, 5)])
def test_isotropic_noise_is_the_closed_form_of_ppca(n, d, k, make):
    X = make(n, d, min(k, 3))
    analysis = FactorAnalysisEM(k, noise="isotropic", tol=1e-13).fit(X)
    S = np.cov(X.T, bias=True)
    values, vectors = np.linalg.eigh(S)
    values, vectors = values[::-1], vectors[:, ::-1]
    if k < d:
        noise = values[k:].mean()
        expected = (vectors[:, :k] * (values[:k] - noise)) @ vectors[:, :k].T
        expected += noise * np.eye(d)
        assert_allclose(analysis.noise_variance_, noise, rtol=1e-7)
    else:
        expected = S
    assert_allclose(analysis.get_covariance(), expected, rtol=1e-6, atol=1e-6 * values[0])
    if k < d:
        pca = PCA(k).fit(X)
        cosine = np.abs(np.sum(pca.components_ * analysis.components_, axis=1))
        assert_allclose(cosine / np.linalg.norm(analysis.components_, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("noise", ["diag", "isotropic"])
def test_missing_entries_against_direct_maximization(noise, make):
    X = make(60, 4, 1, missing=0.25, seed=3)
    X = X[~np.isnan(X).all(axis=1)]
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    analysis = FactorAnalysisEM(1, noise=noise, tol=1e-13).fit(X, sample_weight=weight)

    def density(mean, loadings, log_noise):
        covariance = np.outer(loadings, loadings) + np.diag(np.exp(log_noise) * np.ones(4))
        total = 0.0
        patterns, which = np.unique(np.isnan(X), axis=0, return_inverse=True)
        for p, missing in enumerate(patterns):
            own = which.ravel() == p
            normal = multivariate_normal(mean[~missing], covariance[np.ix_(~missing, ~missing)])
            total += weight[own] @ np.atleast_1d(normal.logpdf(X[own][:, ~missing]))
        return total

    def loss(vector):
        return -density(vector[:4], vector[4:8], vector[8:])

    log_noise = np.log(analysis.noise_variance_)[: 4 if noise == "diag" else 1]
    at = np.concatenate([analysis.mean_, analysis.components_[0], log_noise])
    assert_allclose(-loss(at), analysis.log_likelihood_, rtol=1e-10)
    best = minimize(loss, at * 1.1 + 0.05, method="BFGS")
    assert_allclose(analysis.log_likelihood_, -best.fun, atol=1e-5)
    assert analysis.log_likelihood_ >= -best.fun - 1e-7


def test_both_models_of_incomplete_rows_agree(make, monkeypatch):
    X = make(150, 9, 2, missing=0.2)
    moments = FactorAnalysisEM(2, tol=1e-12).fit(X)
    monkeypatch.setattr("emlearn.factors._factor_analysis.FEW_COLUMNS", 0)
    rows = FactorAnalysisEM(2, tol=1e-12).fit(X)
    assert_allclose(rows.log_likelihood_, moments.log_likelihood_, rtol=1e-10)
    assert_allclose(rows.components_, moments.components_, atol=1e-4)


def test_posterior_of_incomplete_rows_by_conditioning(make):
    X = make(200, 9, 2, missing=0.3, seed=5)
    analysis = FactorAnalysisEM(2, rotation="oblimin").fit(X)
    mean, std = analysis.transform(X[:20], return_std=True)
    loadings = analysis.components_.T
    phi, covariance = analysis.factor_correlation_, analysis.get_covariance()
    for row, m, s in zip(X[:20], mean, std, strict=True):
        o = ~np.isnan(row)
        gain = phi @ loadings[o].T @ np.linalg.inv(covariance[np.ix_(o, o)])
        assert_allclose(m, gain @ (row[o] - analysis.mean_[o]), atol=1e-9)
        assert_allclose(s**2, np.diagonal(phi - gain @ loadings[o] @ phi), atol=1e-9)


def test_bartlett_scores_are_weighted_least_squares(make):
    X = make(200, 9, 2, missing=0.2, seed=5)
    analysis = FactorAnalysisEM(2, rotation="quartimin", scores="bartlett").fit(X)
    X = X[(~np.isnan(X)).sum(axis=1) > 2][:20]
    scores, std = analysis.transform(X, return_std=True)
    for row, score, error in zip(X, scores, std, strict=True):
        o = ~np.isnan(row)
        A, w = analysis.components_.T[o], 1.0 / analysis.noise_variance_[o]
        information = A.T @ (A * w[:, None])
        expected = np.linalg.solve(information, A.T @ (w * (row[o] - analysis.mean_[o])))
        assert_allclose(score, expected, rtol=1e-6, atol=1e-8)
        assert_allclose(error**2, np.diagonal(np.linalg.inv(information)), rtol=1e-6)
