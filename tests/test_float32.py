"""Rows in float32: what a fit of the same rows in float64 finds, at any offset."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.base import clone

from emlearn import (
    FiniteMixtureEM,
    GaussianMixtureEM,
    HiddenMarkovEM,
    MissingDataImputerEM,
)

STRUCTURES = ["full", "tied", "diag", "spherical", "EEV"]


def clusters(offset, holes, n=600, d=3):
    """Three clusters far from the origin, rounded to float32, wider than its resolution there."""
    rng = np.random.default_rng(4)
    labels = rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    centers = rng.normal(0.0, 3.0, (3, d))
    X = centers[labels] + rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    X = (offset + X * max(1.0, offset / 1e6)).astype(np.float32)
    hidden = rng.random(X.shape) < holes
    hidden[hidden.all(axis=1)] = False
    return np.where(hidden, np.float32(np.nan), X)


def log_likelihood(X, weights, means, covariances):
    """By scipy, in float64."""
    X, means = X.astype(np.float64), np.asarray(means, np.float64)
    total, missing = 0.0, np.isnan(X)
    for pattern in np.unique(missing, axis=0):
        rows, seen = X[(missing == pattern).all(axis=1)], ~pattern
        parts = [
            multivariate_normal.logpdf(rows[:, seen] - m[seen], None, C[np.ix_(seen, seen)])
            for m, C in zip(means, covariances, strict=True)
        ]
        total += logsumexp(np.reshape(parts, (len(weights), -1)), axis=0, b=weights[:, None]).sum()
    return total


def matrices(mixture):
    covariances, (K, d) = mixture.covariances_, mixture.means_.shape
    if mixture.covariance_type == "tied":
        return np.tile(covariances, (K, 1, 1))
    if mixture.covariance_type == "diag":
        return np.stack([np.diag(own) for own in covariances])
    if mixture.covariance_type == "spherical":
        return np.stack([own * np.eye(d) for own in covariances])
    return covariances


@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6, 1e7, 1e8])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_gaussian_mixture(covariance_type, offset, holes):
    X = clusters(offset, holes)
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, reg_covar=0, random_state=0)
    single, double = clone(mixture).fit(X), clone(mixture).fit(X.astype(np.float64))
    assert single.converged_
    found = log_likelihood(X, single.weights_, single.means_, matrices(single))
    assert single.score(X.astype(np.float64)) * len(X) == pytest.approx(found, abs=1e-5)
    # Some units in the last place of the terms of a row's log-density.
    for value in (single.log_likelihood_ / len(X), single.score(X), single.lower_bound_):
        assert value == pytest.approx(found / len(X), abs=1e-5)
    # Estimates are off by a fifth of a standard error at most.
    assert found == pytest.approx(double.log_likelihood_, abs=2e-2)
    assert_allclose(np.sort(single.weights_), np.sort(double.weights_), atol=3e-3)


@pytest.mark.parametrize("offset", [1e4, 1e7])
def test_new_rows_in_float32(offset):
    """Densities of rows in float32 are those of the same rows in float64."""
    X = clusters(offset, 0.1)
    mixture = GaussianMixtureEM(3, random_state=0).fit(X.astype(np.float64))
    exact = mixture.score_samples(X.astype(np.float64))
    assert_allclose(mixture.score_samples(X), exact, atol=1e-4)
    # A narrow component whose center float32 does not represent.
    narrow = GaussianMixtureEM.from_parameters([1.0], [[offset + 1e-6]], [[[1e-18]]])
    row = np.array([[offset]], np.float32)
    assert narrow.score_samples(row) == pytest.approx(narrow.score_samples(np.float64(row)))


def counts(rng):
    """Few rows of one class among many of the other, which overlap."""
    return rng.poisson(np.where(rng.random((400, 1)) < 0.05, 4.0, 2.0), (400, 2))


@pytest.mark.parametrize(
    "estimator",
    [
        FiniteMixtureEM(2, family="gaussian"),
        FiniteMixtureEM(2, family="poisson"),
        FiniteMixtureEM(2, family="categorical"),
        FiniteMixtureEM(2, family="multinomial"),
        FiniteMixtureEM(2, family="dirichlet_multinomial"),
        FiniteMixtureEM(2, family="negative_binomial"),
        FiniteMixtureEM(2, family="zero_inflated"),
        FiniteMixtureEM(2, family=[("poisson", [0]), ("gaussian", [1])]),
        HiddenMarkovEM(2, family="gaussian"),
        HiddenMarkovEM(2, family="poisson"),
        MissingDataImputerEM(),
        MissingDataImputerEM(n_components=2),
        MissingDataImputerEM(n_factors=1),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_float64_is_used_elsewhere(estimator):
    """A fit in float32 would stop too early on such rows."""
    X = counts(np.random.default_rng(1)).astype(np.float32)
    if isinstance(estimator, MissingDataImputerEM):
        X = clusters(1e4, 0.2)
    if hasattr(estimator, "random_state"):
        estimator.set_params(random_state=0)
    single, double = clone(estimator).fit(X), clone(estimator).fit(X.astype(np.float64))
    assert single.log_likelihood_ == pytest.approx(double.log_likelihood_, abs=2e-5)
    assert single.converged_ == double.converged_
    if not isinstance(estimator, MissingDataImputerEM):
        assert single.n_iter_ == double.n_iter_
        assert single.score(X) == double.score(X.astype(np.float64))
        assert single.score(X) * len(X) == pytest.approx(single.log_likelihood_, abs=1e-6)
