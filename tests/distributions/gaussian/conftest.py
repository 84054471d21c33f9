"""Gaussian rows with missing entries, with the compiled kernels and without."""

import numpy as np
import pytest

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian import forms, rows, steps
from emlearn.distributions.gaussian import scaling as columns
from emlearn.distributions.gaussian.incomplete import batched, conditioning
from emlearn.kernels import compiled

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


@pytest.fixture(params=["numpy", "compiled"])
def kernels(request, monkeypatch):
    """Run a test with the compiled kernels, if there are any, and without."""
    if request.param == "numpy":
        for module in (batched, conditioning, forms, rows, steps):
            monkeypatch.setattr(module, "compiled", None)
    elif compiled is None:
        pytest.skip("the kernels are not built")
    return request.param


@pytest.fixture(scope="session")
def holes():
    """Function that draws rows of which a share of the entries is missing."""

    def holes(n, d, rate, seed=0, rank=None):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, rank or d)) @ rng.normal(size=(rank or d, d))
        X += 0.5 * rng.normal(size=(n, d)) + 10.0 * np.arange(d)
        X[rng.random((n, d)) < rate] = np.nan
        return X

    return holes


@pytest.fixture(scope="session")
def table():
    """Function that draws rows in clusters far from 0, of columns with other scales."""

    def table(n, d, rate, seed=0, every_pattern=False):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.4 * rng.normal(size=(d, d)))
        X = (X + 3.0 * rng.integers(2, size=(n, 1))) * np.logspace(0, 2, d) + 1e4
        X[rng.random(X.shape) < rate] = np.nan
        if every_pattern:
            patterns = (np.arange(2**d)[:, None] >> np.arange(d)) & 1 == 1
            X[: 2**d] = np.where(patterns, np.nan, np.nan_to_num(X[: 2**d], nan=1e4))
        # One row is empty.
        X[n // 2] = np.nan
        return X

    return table


@pytest.fixture(scope="session")
def problem():
    """Function that gives a family, its rows, and parameters that fit a third of them each."""

    def problem(name, X, K=3, ridge=0.0, seed=1):
        rng = np.random.default_rng(seed)
        family = Gaussian(name, reg_covar=ridge)
        spec = family.column_spec(X)
        encoded = family.encode(X, spec)
        params = family.start(encoded, rng.dirichlet(np.ones(K), len(X)).T, spec, rng)
        return family, spec, encoded, params

    return problem
