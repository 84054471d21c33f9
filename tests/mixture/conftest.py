"""Naive computation of Gaussian mixtures, for comparison."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

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
