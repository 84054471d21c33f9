"""The kernels of every instruction set that this processor has, and rows for them."""

import runpy
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp
from scipy.stats import multivariate_normal


@pytest.fixture(scope="session")
def modules():
    """All of them."""
    base = pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
    names = ["base", "v3", "v4"]
    within = names[: names.index(base.level()) + 1]
    return [import_module(f"emlearn.kernels._{name}") for name in within]


@pytest.fixture(params=["base", "v3", "v4"])
def kernels(request, modules):
    """One after another."""
    found = {module.__name__.rpartition("_")[2]: module for module in modules}
    if request.param not in found:
        pytest.skip("this processor has not the instructions")
    return found[request.param]


@pytest.fixture(scope="session")
def calls():
    """What calls.py defines."""
    return runpy.run_path(str(Path(__file__).with_name("calls.py")))


# ---- rows with missing entries ----------------------------------------------------------


class MissingProblem:
    """A mixture, and rows sorted by the number of missing entries and by pattern."""

    def __init__(self, rows, missing, means, covariances, weights, ridge=None, diagonal=False):
        self.means, self.covariances, self.weights = means, covariances, weights
        self.diagonal = diagonal
        d = means.shape[1]
        self.ridge = ridge
        order = np.lexsort([*missing.T, missing.sum(axis=1)])
        self.rows = np.where(missing, np.nan, rows)[order]
        self.missing = missing = missing[order]
        new = np.flatnonzero((missing[1:] != missing[:-1]).any(axis=1)) + 1
        firsts = np.concatenate([[0], new])
        self.edges = np.append(firsts, len(rows)).astype(np.int64)
        lists = [np.flatnonzero(missing[first]) for first in firsts]
        self.columns = np.concatenate(lists).astype(np.uint16)
        self.starts = np.concatenate([[0], np.cumsum([len(c) for c in lists])]).astype(np.int64)
        self.precision = np.linalg.inv(covariances)
        self.precision = (self.precision + self.precision.transpose(0, 2, 1)) / 2.0
        if diagonal:
            self.root = 1.0 / np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        else:
            # P P' = K with P upper triangular: the inverse of the lower factor, transposed.
            lower = np.linalg.cholesky(covariances)
            self.root = np.ascontiguousarray(np.linalg.inv(lower).transpose(0, 2, 1))
            self.root = np.triu(self.root)
        constants = np.log(weights) - 0.5 * np.linalg.slogdet(covariances)[1]
        self.constants = constants - 0.5 * d * np.log(2.0 * np.pi)
        if ridge is not None:
            self.constants -= 0.5 * np.diagonal(self.precision, axis1=1, axis2=2) @ ridge

    @property
    def first_arguments(self):
        rows = np.ascontiguousarray(self.rows).T
        return [rows, None, None, self.means, self.root, self.constants]

    @property
    def last_arguments(self):
        precision = None if self.diagonal else self.precision
        return [precision, self.columns, self.starts, self.edges, self.ridge]

    def empty_sums(self):
        return [np.empty(len(self.means)), np.empty(self.means.shape), np.empty(self.root.shape)]

    def log_density(self, kernels):
        out = np.empty((len(self.means), len(self.rows)))
        done = kernels.gaussian_missing_log_density(
            *self.first_arguments, out, *self.last_arguments
        )
        assert done is True
        return out

    def step(self, kernels, weight):
        sums = self.empty_sums()
        value = kernels.gaussian_missing_step(
            *self.first_arguments, weight, *sums, *self.last_arguments
        )
        return value, *sums

    def moments(self, kernels, shares):
        sums = self.empty_sums()
        done = kernels.gaussian_missing_moments(
            *self.first_arguments, shares, *sums, *self.last_arguments
        )
        assert done is True
        return tuple(sums)

    def patterns(self):
        """Rows that lack the same columns: (positions, what they lack), one after another."""
        lacking, which = np.unique(self.missing, axis=0, return_inverse=True)
        for p, m in enumerate(lacking):
            yield np.flatnonzero(which.ravel() == p), m

    def exact_log_density(self):
        """Log-joint densities without the constants that are left to the caller."""
        out = np.empty((len(self.means), len(self.rows)))
        for rows, m in self.patterns():
            o = ~m
            for k, (mean, Sigma) in enumerate(zip(self.means, self.covariances, strict=True)):
                value = np.log(self.weights[k]) - 0.5 * m.sum() * np.log(2.0 * np.pi)
                if o.any():
                    part = self.rows[np.ix_(rows, o)]
                    value += multivariate_normal.logpdf(part, mean[o], Sigma[np.ix_(o, o)])
                if self.ridge is not None:
                    value -= 0.5 * self.ridge[o] @ np.diagonal(self.precision[k])[o]
                out[k, rows] = value
        return out

    def exact_moments(self, shares):
        K, d = self.means.shape
        weight, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
        for rows, m in self.patterns():
            o = ~m
            for k, (mean, Sigma) in enumerate(zip(self.means, self.covariances, strict=True)):
                z, conditional = np.zeros((len(rows), d)), np.zeros((d, d))
                z[:, o] = self.rows[np.ix_(rows, o)] - mean[o]
                across, own = Sigma[np.ix_(m, o)], Sigma[np.ix_(m, m)]
                if o.any():
                    factor = cho_factor(Sigma[np.ix_(o, o)])
                    z[:, m] = cho_solve(factor, z[:, o].T).T @ across.T
                    own = own - across @ cho_solve(factor, across.T)
                conditional[np.ix_(m, m)] = own
                if self.ridge is not None:
                    conditional -= np.diag(np.where(m, self.ridge, 0.0))
                share = shares[k, rows]
                weight[k] += share.sum()
                first[k] += share @ z
                second[k] += (z.T * share) @ z + share.sum() * conditional
        if self.diagonal:
            second = np.diagonal(second, axis1=1, axis2=2)
        return weight, first, second

    def check(self, modules, weight, tolerance=1e-10):
        """The kernels of each module against the formulas, which take longer than they."""
        exact = self.exact_log_density()
        density = logsumexp(exact, axis=0)
        w = np.ones(len(self.rows)) if weight is None else weight
        shares = np.exp(exact - density) * w
        exact_sums = self.exact_moments(shares)
        atol = tolerance * max(1.0, w.sum())
        for kernels in modules:
            got = self.log_density(kernels)
            assert_allclose(got, exact, rtol=tolerance, atol=tolerance)
            value, *sums = self.step(kernels, weight)
            assert_allclose(value, w @ density, rtol=tolerance, atol=tolerance)
            for one, expected in zip(sums, exact_sums, strict=True):
                assert_allclose(one, expected, rtol=tolerance, atol=atol)
            for one, expected in zip(self.moments(kernels, shares), exact_sums, strict=True):
                assert_allclose(one, expected, rtol=tolerance, atol=atol)


def _draw_missing(seed, n=None, d=None, K=None, share=None, diagonal=None, ridge=None, spread=1.0):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 13)) if d is None else d
    K = int(rng.integers(1, 4)) if K is None else K
    n = int(rng.integers(1, 700)) if n is None else n
    share = rng.uniform(0.02, 0.6) if share is None else share
    diagonal = bool(rng.random() < 0.3) if diagonal is None else diagonal
    ridge = bool(rng.random() < 0.5) if ridge is None else ridge
    missing = rng.random((n, d)) < share
    full = ~missing.any(axis=1)
    missing[full, rng.integers(0, d, full.sum())] = True
    means = spread * rng.normal(size=(K, d))
    if diagonal:
        covariances = np.array([np.diag(v) for v in rng.uniform(0.3, 3.0, (K, d))])
    else:
        A = rng.normal(size=(K, d, 2 * d + 1)) / np.sqrt(2 * d + 1)
        covariances = A @ A.transpose(0, 2, 1)
    label = rng.integers(0, K, n)
    rows = means[label] + rng.normal(size=(n, d))
    weights = rng.dirichlet(np.full(K, 3.0))
    variance = rng.uniform(0.0, 0.3, d) if ridge else None
    return MissingProblem(rows, missing, means, covariances, weights, variance, diagonal), rng


@pytest.fixture(scope="session")
def missing_problem():
    """Class of a mixture and its rows with missing entries."""
    return MissingProblem


@pytest.fixture(scope="session")
def draw_missing():
    """Function that draws such a problem: `draw_missing(seed, ...)`; also gives the generator."""
    return _draw_missing
