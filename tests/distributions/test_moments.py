"""Means and variances of the families, against draws and by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions import (
    Bernoulli,
    Categorical,
    Gamma,
    Gaussian,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Poisson,
    Product,
    VonMises,
    ZeroInflated,
)
from emlearn.distributions._exponential import ExponentialFamily

RNG = np.random.default_rng(0)
REAL = RNG.normal([3e4, -2.0, 0.1], [50.0, 1.0, 0.01], size=(60, 3))
COUNTS = RNG.poisson([3.0, 0.5, 8.0], size=(60, 3)).astype(float)
BINARY = (COUNTS > [2, 0, 8]).astype(float)


def at_start(family, X, seed=0):
    rng = np.random.default_rng(seed)
    family = family.at_columns(None, X.shape[1])
    spec = family.column_spec(X)
    responsibilities = rng.dirichlet(np.ones(2) * 0.3, len(X)).T
    return family, family.start(family.encode(X, spec), responsibilities, spec, rng), spec


@pytest.mark.parametrize(
    ("family", "X"),
    [
        *((Gaussian(kind), REAL) for kind in ("full", "tied", "diag", "spherical", "EEV")),
        (Gaussian("factor", n_factors=1), REAL),
        (Poisson(), COUNTS),
        (Gamma(), COUNTS + 0.5),
        (NegativeBinomial(), COUNTS * BINARY),
        (ZeroInflated(), COUNTS * BINARY),
        (ZeroInflated(NegativeBinomial()), COUNTS * BINARY),
        (Bernoulli(), BINARY),
        (Multinomial(), COUNTS),
        (Mixture(Poisson()), COUNTS),
        (Mixture(Gaussian("diag")), REAL),
        (Product(((Poisson(), [2, 0]), (Gaussian(), [1]))), COUNTS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_against_draws(family, X):
    family, params, spec = at_start(family, X)
    mean, variance = family.moments(params, spec)
    assert mean.shape == variance.shape == (2, 3)
    n = 200_000
    for k in range(2):
        rows = family.sample(params, spec, np.full(n, k), np.random.default_rng(k))
        deviation = np.sqrt(variance[k])
        assert_allclose((rows.mean(axis=0) - mean[k]) / deviation, 0.0, atol=5.0 / np.sqrt(n))
        assert_allclose(rows.var(axis=0), variance[k], rtol=0.03)


def test_families_without_means():
    codes = COUNTS.clip(0, 3)
    family, params, spec = at_start(Categorical(), codes)
    assert family.moments(params, spec) is None
    family, params, spec = at_start(Mixture(Categorical()), codes)
    assert family.moments(params, spec) is None
    family, params, spec = at_start(VonMises(), REAL)
    assert family.moments(params, spec) is None
    mixed = Product(((Poisson(), [2]), (Categorical(), [0])), ignored=[1])
    family, params, spec = at_start(mixed, codes)
    mean, variance = family.moments(params, spec)
    for found in (mean, variance):
        assert np.isnan(found).tolist() == [[True, True, False]] * 2
    public = {"probability": [[0.5, 0.5], [0.1, 0.9]]}
    multinomial = Multinomial()
    spec = multinomial.spec_of(public)
    assert multinomial.moments(multinomial.from_public(public, spec), spec) is None


def test_variance_from_differences():
    """The default of families of one parameter is the derivative of the mean by eta."""
    mean = np.array([[1e-6, 0.3, 7.0, 1e6]])
    found = ExponentialFamily.variance(Poisson(), mean)
    assert_allclose(found[:, 1:], mean[:, 1:], rtol=1e-6)
    probability = np.array([[0.01, 0.5, 0.97]])
    expected = Bernoulli().variance(probability)
    assert_allclose(ExponentialFamily.variance(Bernoulli(), probability), expected, rtol=1e-5)


def test_level_columns():
    assert Gaussian().level_columns(2) == {}
    assert Categorical().level_columns(2) == {0: "missing", 1: "missing"}
    strict = Mixture(Categorical(unseen="error"))
    mixed = Product(((strict, ["b"]), (Categorical(), ["c"]), (Poisson(), ["a"])))
    assert mixed.at_columns(["a", "b", "c"], 3).level_columns(3) == {1: "error", 2: "missing"}
