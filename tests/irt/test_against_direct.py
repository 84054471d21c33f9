"""Fits against direct maximization of a marginal likelihood that is written without the package."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import beta, lognorm, norm

from emlearn import ItemResponseEM
from emlearn.irt import ItemPrior


def maximize(objective, start):
    """Parameters and value of the maximum, by BFGS from a start near to it."""
    found = minimize(lambda v: -objective(v), start, method="BFGS", options={"gtol": 1e-3})
    return found.x, -found.fun


def counts_of(X):
    """Distinct rows and how often they occur."""
    codes = np.where(np.isnan(X), -1, X)
    rows, counts = np.unique(codes, axis=0, return_counts=True)
    return np.where(rows < 0, np.nan, rows), counts


def fit(model, X, **settings):
    given = {key: settings.pop(key) for key in ("groups", "covariates") if key in settings}
    return ItemResponseEM(model, tol=1e-10, random_state=0, **settings).fit(X, **given)


@pytest.mark.parametrize("model", ["1pl", "2pl", "3pl", "grm", "gpcm"])
def test_each_model(model, draw, naive_likelihood):
    polytomous = model in ("grm", "gpcm")
    sizes = (3, 2, 3, 2) if polytomous else (2, 2, 2, 2)
    X = draw(model, 400, sizes, seed=2, absent=0.1)
    test = fit(model, X)
    rows, counts = counts_of(X)
    n_items = len(sizes)
    n_intercepts = [k - 1 for k in sizes]
    edges = np.cumsum(n_intercepts)[:-1]

    def items_of(vector):
        n_slopes = 1 if model == "1pl" else n_items
        a = np.broadcast_to(vector[:n_slopes], n_items)
        c = np.split(vector[n_slopes : n_slopes + sum(n_intercepts)], edges)
        g = np.zeros(n_items)
        if model == "3pl":
            g = 1.0 / (1.0 + np.exp(-vector[-n_items:]))
        return list(zip(a, c, g, strict=True))

    def objective(vector):
        items = items_of(vector)
        value = counts @ naive_likelihood(model, rows, items, n_nodes=60)
        if model == "3pl":
            value += beta(5, 17).logpdf([g for _, _, g in items]).sum()
            value += lognorm(0.5).logpdf(vector[:n_items]).sum()
        return value if np.isfinite(value) else -1e10

    a = test.discrimination_[:1] if model == "1pl" else test.discrimination_
    c = np.atleast_2d(test.intercept_.T).T
    own = np.concatenate([a, c[~np.isnan(c)]])
    if model == "3pl":
        own = np.concatenate([own, np.log(test.guessing_ / (1.0 - test.guessing_))])
    rng = np.random.default_rng(0)
    found, value = maximize(objective, own + 0.1 * rng.uniform(-1, 1, len(own)))
    assert objective(own) >= value - 1e-4
    assert_allclose(own, found, atol=0.02)
    plain = counts @ naive_likelihood(model, rows, items_of(own), n_nodes=60)
    assert_allclose(test.log_likelihood_, plain, atol=1e-6)


def test_priors(draw, naive_likelihood):
    X = draw("2pl", 60, (2, 2, 2), seed=3)
    test = fit("2pl", X, prior=ItemPrior(slopes=(0.2, 0.4), intercepts=(0.0, 1.0)))
    rows, counts = counts_of(X)

    def objective(vector):
        a, c = vector[:3], vector[3:]
        if a.min() <= 0.0:
            return -1e10
        items = [(a[j], c[j : j + 1], 0.0) for j in range(3)]
        prior = lognorm(0.4, scale=np.exp(0.2)).logpdf(a).sum() + norm(0.0, 1.0).logpdf(c).sum()
        return counts @ naive_likelihood("2pl", rows, items) + prior

    own = np.concatenate([test.discrimination_, test.intercept_])
    found, value = maximize(objective, own + 0.05)
    assert objective(own) >= value - 1e-5
    assert_allclose(own, found, atol=5e-3)


def test_groups_with_anchored_items(draw, naive_likelihood):
    rng = np.random.default_rng(7)
    groups = np.repeat(["b", "a"], [250, 200])
    theta = np.concatenate([rng.normal(0.7, 1.4, 250), rng.normal(0.0, 1.0, 200)])[:, None]
    X = draw("2pl", 450, (2,) * 5, seed=8, theta=theta)
    # Item 0 is only for a, item 4 only for b; the others are anchors.
    X[:250, 0] = np.nan
    X[250:, 4] = np.nan
    test = fit("2pl", X, groups=groups)
    assert test.groups_.tolist() == ["a", "b"]
    assert_allclose(test.latent_mean_[0], 0.0)
    assert_allclose(test.latent_covariance_[0], 1.0)

    def objective(vector):
        items = [(vector[j], vector[5 + j : 6 + j], 0.0) for j in range(5)]
        a, b = X[groups == "a"], X[groups == "b"]
        covariance = np.array([[np.exp(vector[11])]])
        return (
            naive_likelihood("2pl", a, items, n_nodes=80).sum()
            + naive_likelihood("2pl", b, items, vector[10], covariance, 80).sum()
        )

    own = np.concatenate(
        [
            test.discrimination_,
            test.intercept_,
            test.latent_mean_[1],
            np.log(test.latent_covariance_[1, 0]),
        ]
    )
    assert_allclose(objective(own), test.log_likelihood_, atol=1e-4)
    found, value = maximize(objective, own + 0.1 * rng.uniform(-1, 1, len(own)))
    assert objective(own) >= value - 1e-4
    assert_allclose(own, found, atol=0.02)
    other = fit("2pl", X, groups=groups, reference_group="b")
    assert_allclose(other.log_likelihood_, test.log_likelihood_, atol=1e-3)
    sd = np.sqrt(test.latent_covariance_[1, 0, 0])
    assert_allclose(other.discrimination_, test.discrimination_ * sd, rtol=0.02)


def test_latent_regression(draw, naive_likelihood):
    rng = np.random.default_rng(9)
    covariates = np.column_stack([rng.integers(0, 3, 300), rng.integers(0, 2, 300)]) + 5.0
    theta = ((covariates - 5.0) @ [0.6, -0.4] + rng.standard_normal(300))[:, None]
    X = draw("2pl", 300, (2,) * 4, seed=10, theta=theta)
    test = fit("2pl", X, covariates=covariates)
    centered = covariates - covariates.mean(axis=0)
    assert_allclose(test.covariate_means_, covariates.mean(axis=0))

    def objective(vector):
        items = [(vector[j], vector[4 + j : 5 + j], 0.0) for j in range(4)]
        return naive_likelihood("2pl", X, items, centered @ vector[8:]).sum()

    own = np.concatenate([test.discrimination_, test.intercept_, test.coefficients_[:, 0]])
    assert_allclose(objective(own), test.log_likelihood_, atol=1e-5)
    found, value = maximize(objective, own + 0.1 * rng.uniform(-1, 1, len(own)))
    assert objective(own) >= value - 1e-4
    assert_allclose(own, found, atol=0.02)


def test_bifactor(draw, naive_likelihood):
    loads = np.array([[1, 1, 0]] * 3 + [[1, 0, 1]] * 3)
    X = draw("2pl", 600, (2,) * 6, seed=11, loads=loads)
    prior = ItemPrior(slopes=(0.0, 0.5))
    test = fit("2pl", X, loadings=loads, prior=prior)
    rows, counts = counts_of(X)
    free = loads == 1

    def objective(vector):
        slopes = np.zeros(loads.shape)
        slopes[free] = vector[:12]
        if vector[:12].min() <= 0.0:
            return -1e10
        items = [(slopes[j], vector[12 + j : 13 + j], 0.0) for j in range(6)]
        value = counts @ naive_likelihood("2pl", rows, items, n_nodes=10)
        return value + lognorm(0.5).logpdf(vector[:12]).sum()

    own = np.concatenate([test.discrimination_[free], test.intercept_])
    found, value = maximize(objective, own + 0.02)
    assert_allclose(objective(own), value, atol=0.02)
    assert_allclose(own, found, atol=0.05)
    assert (test.discrimination_[~free] == 0.0).all()


def test_correlated_dimensions(draw, naive_likelihood):
    rng = np.random.default_rng(12)
    loads = np.array([[1, 0]] * 3 + [[0, 1]] * 3)
    theta = rng.multivariate_normal([0, 0], [[1.0, 0.6], [0.6, 1.0]], 700)
    X = draw("2pl", 700, (2,) * 6, seed=13, theta=theta, loads=loads)
    test = fit("2pl", X, loadings=loads, latent_correlation=True)
    assert_allclose(np.diagonal(test.latent_covariance_[0]), 1.0)
    rows, counts = counts_of(X)

    def objective(vector):
        slopes = np.zeros(loads.shape)
        slopes[loads == 1] = vector[:6]
        items = [(slopes[j], vector[6 + j : 7 + j], 0.0) for j in range(6)]
        r = np.tanh(vector[12])
        covariance = np.array([[1.0, r], [r, 1.0]])
        return counts @ naive_likelihood("2pl", rows, items, 0.0, covariance, n_nodes=25)

    r = test.latent_covariance_[0, 0, 1]
    own = np.concatenate([test.discrimination_[loads == 1], test.intercept_, [np.arctanh(r)]])
    assert_allclose(objective(own), test.log_likelihood_, atol=1e-3)
    found, value = maximize(objective, own + 0.05 * rng.uniform(-1, 1, len(own)))
    assert objective(own) >= value - 1e-3
    assert_allclose(own, found, atol=0.05)


@pytest.mark.parametrize("model", ["2pl", "3pl", "grm", "gpcm"])
def test_integrals_against_quad(model, draw, naive_probabilities):
    sizes = (4, 3, 2, 4) if model in ("grm", "gpcm") else (2,) * 4
    X = draw(model, 300, sizes, seed=4, absent=0.1)
    test = ItemResponseEM(model, random_state=0).fit(X)
    intercepts = np.atleast_2d(test.intercept_.T).T

    def joint(theta, row, power=0):
        value = norm.pdf(theta) * theta**power
        for j, x in enumerate(row):
            if not np.isnan(x):
                table = naive_probabilities(
                    model,
                    test.discrimination_[j],
                    intercepts[j, : sizes[j] - 1],
                    test.guessing_[j],
                    np.array([[theta]]),
                )
                value *= table[0, int(x)]
        return value

    traits, deviations = test.transform(X[:5], return_std=True)
    for i, (row, value) in enumerate(zip(X[:5], test.score_samples(X[:5]), strict=True)):
        moments = [
            quad(joint, -9, 9, args=(row, power), epsabs=1e-13, epsrel=1e-11, limit=200)[0]
            for power in range(3)
        ]
        # The nodes end at 6 standard deviations, beyond which 2e-9 of the trait lies.
        assert_allclose(value, np.log(moments[0]), atol=1e-7)
        mean = moments[1] / moments[0]
        assert_allclose(traits[i, 0], mean, atol=1e-6)
        variance = moments[2] / moments[0] - mean**2
        assert_allclose(deviations[i, 0], np.sqrt(variance), atol=1e-6)
