"""Likelihoods that are highest where no residual variance is left."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import eigh
from sklearn.exceptions import ConvergenceWarning

from emlearn.mixed import LinearMixedModelEM


def restricted(K, y, share):
    """Restricted likelihood of an intercept and a kernel with this share of the variance."""
    n = len(y)
    values, vectors = eigh(share * K + (1 - share) * np.eye(n))
    one, rotated = vectors.sum(axis=0), vectors.T @ y
    information = one / values @ one
    residuals = rotated - one * (one / values @ rotated) / information
    total = np.log(2 * np.pi * (residuals / values @ residuals) / (n - 1)) + 1
    return -0.5 * ((n - 1) * total + np.log(values).sum() + np.log(information))


@pytest.fixture
def problem():
    """Rows that a smooth kernel explains, and the likelihood at a residual variance of 0."""
    rng = np.random.default_rng(0)
    distance = np.abs(np.subtract.outer(np.arange(25), np.arange(25)))
    K = np.exp(-distance / 4.0)
    y = np.linalg.cholesky(K) @ rng.normal(size=25)
    shares = np.array([0.5, 0.9, 0.99, 0.999, 1.0])
    likelihoods = [restricted(K, y, share) for share in shares]
    assert np.argmax(likelihoods) == 4
    return pd.DataFrame({"animal": np.arange(25)}), y, K, likelihoods[-1]


def test_the_end_is_reached_and_said(problem):
    X, y, K, highest = problem
    model = LinearMixedModelEM("animal", kinship=K, max_iter=100)
    with pytest.warns(ConvergenceWarning, match="variance of 'residual' is 0, or nearly so"):
        model.fit(X, y)
    assert model.converged_
    assert_allclose(model.log_likelihood_, highest, atol=1e-4)
    assert model.heritability_ > 0.999


def test_no_interval_is_too_short(problem):
    X, y, K, _ = problem
    model = LinearMixedModelEM("animal", kinship=K)
    with pytest.warns(ConvergenceWarning):
        found = model.fit(X, y).heritability(X, y)
    low, high = found.confidence_interval()[0]
    assert np.isnan(low) or high - low > 0.1
