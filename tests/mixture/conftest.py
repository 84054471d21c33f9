"""Naive computation of Gaussian mixtures, for comparison, and rows to fit."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

PARAMETERS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]
STRUCTURES = ("full", "tied", "diag", "spherical")


@pytest.fixture(params=STRUCTURES)
def covariance_type(request):
    return request.param


class Naive:
    """Textbook formulas, one component at a time, in the units of the data."""

    @staticmethod
    def matrices(covariances, covariance_type, n_components, n_features):
        """Covariances as K full matrices."""
        if covariance_type in ("full", "EEV"):
            return np.array(covariances, float)
        if covariance_type == "tied":
            return np.array([covariances] * n_components, float)
        if covariance_type == "diag":
            return np.array([np.diag(v) for v in covariances], float)
        return np.array([v * np.eye(n_features) for v in covariances], float)

    @staticmethod
    def log_joint(X, weights, means, matrices, ridge=0.0):
        """log(pi_k) + log N(x_i; mu_k, Sigma_k) - tr(ridge inv(Sigma_k)) / 2."""
        columns = []
        for weight, mean, matrix in zip(weights, means, matrices, strict=True):
            penalty = 0.5 * ridge * np.trace(np.linalg.inv(matrix)) if ridge else 0.0
            density = np.atleast_1d(multivariate_normal.logpdf(X, mean, matrix))
            with np.errstate(divide="ignore"):
                columns.append(np.log(weight) + density - penalty)
        return np.stack(columns, axis=1)

    @classmethod
    def objective(cls, X, sample_weight, weights, means, matrices, ridge=0.0):
        joint = cls.log_joint(X, weights, means, matrices, ridge)
        return float(sample_weight @ logsumexp(joint, axis=1))

    @classmethod
    def em_step(cls, X, sample_weight, covariance_type, weights, means, matrices, ridge=0.0):
        """Weights, means and covariances (in the layout of the structure) after one step."""
        joint = cls.log_joint(X, weights, means, matrices, ridge)
        resp = np.exp(joint - logsumexp(joint, axis=1, keepdims=True)) * sample_weight[:, None]
        return cls.m_step(X, resp, covariance_type, ridge)

    @staticmethod
    def m_step(X, resp, covariance_type, ridge=0.0):
        d = X.shape[1]
        counts = resp.sum(axis=0)
        means = (resp.T @ X) / counts[:, None]
        scatters = np.array(
            [(r[:, None] * (X - m)).T @ (X - m) for r, m in zip(resp.T, means, strict=True)]
        )
        if covariance_type == "tied":
            covariances = scatters.sum(axis=0) / counts.sum() + ridge * np.eye(d)
        else:
            covariances = scatters / counts[:, None, None] + ridge * np.eye(d)
            if covariance_type == "diag":
                covariances = np.diagonal(covariances, axis1=1, axis2=2)
            elif covariance_type == "EEV":
                values, vectors = np.linalg.eigh(counts[:, None, None] * covariances)
                common = values.sum(axis=0) / counts.sum()
                covariances = (vectors * common) @ vectors.transpose(0, 2, 1)
            elif covariance_type == "spherical":
                covariances = np.trace(covariances, axis1=1, axis2=2) / d
        return counts / counts.sum(), means, covariances


@pytest.fixture(scope="session")
def naive():
    return Naive


@pytest.fixture
def blobs():
    """Three overlapping groups of rows in two dimensions, in unequal units."""
    rng = np.random.default_rng(7)
    parts = [
        rng.normal(size=(40, 2)) @ np.array([[1.0, 0.3], [0.0, 0.8]]),
        rng.normal(size=(60, 2)) * [0.7, 1.5] + [3.0, 2.0],
        rng.normal(size=(50, 2)) * [1.2, 0.6] + [-1.0, 4.0],
    ]
    return np.concatenate(parts) * [1.0, 20.0] + [5.0, -300.0]


@pytest.fixture
def groups():
    """Two well-separated groups of rows: one optimum, which every start finds."""
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(40, 2)) * 0.5 + [8.0, 6.0]])


@pytest.fixture
def items():
    """Two classes of answers to six questions."""
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=400)
    return np.minimum(rng.poisson(np.where(side, 0.4, 2.0)[:, None] * np.ones(6)), 3), side


@pytest.fixture
def counts():
    """Three classes of counts in three columns."""
    rng = np.random.default_rng(1)
    side = rng.integers(3, size=300)
    return rng.poisson(np.array([[1, 8, 3], [8, 1, 3], [4, 4, 12]])[side]), side


@pytest.fixture(scope="session")
def same_bits():
    """Function that asserts that two fits are equal to the last bit."""

    def same_bits(a, b):
        for name in PARAMETERS:
            assert_array_equal(getattr(a, name), getattr(b, name))
        assert a.log_likelihood_ == b.log_likelihood_
        assert a.lower_bounds_ == b.lower_bounds_
        assert a.restarts_ == b.restarts_

    return same_bits
