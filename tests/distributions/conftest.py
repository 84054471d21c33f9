"""Families with rows to fit, small enough for brute force."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy.sparse import csr_array

from emlearn.distributions import (
    Bernoulli,
    Categorical,
    DirichletMultinomial,
    Family,
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


class Case(NamedTuple):
    family: Family
    X: object


def _rows(kind, rng, n=60):
    side = rng.integers(2, size=n)[:, None]
    return {
        "counts": rng.poisson(np.where(side, 1.0, 4.0) * [1, 2, 0.5]).astype(float),
        "binary": (rng.random((n, 4)) < np.where(side, 0.2, 0.7)).astype(float),
        "codes": np.minimum(rng.poisson(np.where(side, 0.5, 2.0) * np.ones(4)), [1, 2, 3, 4.0]),
        "words": np.array([rng.multinomial(9, p) for p in rng.dirichlet(np.ones(4), n)], float),
        "real": rng.normal(size=(n, 3)) * [1.0, 20.0, 0.1] + side * [3.0, 10.0, 0.2] + [5, -90, 0],
        "positive": rng.gamma(np.where(side, 2.0, 9.0) * [1.0, 2.0], [3.0, 0.01], (n, 2)),
        "angles": rng.vonmises(np.where(side, [2.0, 3.0], [-1.0, 0.0]), [2.0, 6.0], (n, 2)),
        "bursts": rng.negative_binomial([2.0, 0.7], np.where(side, 0.6, 0.1), (n, 2)).astype(float),
        "zeros": rng.poisson(np.where(side, 2.0, 9.0), (n, 2)) * (rng.random((n, 2)) > 0.3) * 1.0,
    }[kind]


def _with_holes(X, rng, rate=0.2):
    holed = np.where(rng.random(X.shape) < rate, np.nan, X)
    holed[0] = np.nan
    return holed


SIMPLE = {
    "poisson": (Poisson(), "counts"),
    "bernoulli": (Bernoulli(), "binary"),
    "categorical": (Categorical(), "codes"),
    "multinomial": (Multinomial(), "words"),
    "documents": (DirichletMultinomial(), "words"),
    "gamma": (Gamma(), "positive"),
    "angles": (VonMises(), "angles"),
    "bursts": (NegativeBinomial(), "bursts"),
    "zeros": (ZeroInflated(), "zeros"),
    "more_zeros": (ZeroInflated(NegativeBinomial()), "zeros"),
    "full": (Gaussian("full"), "real"),
    "tied": (Gaussian("tied"), "real"),
    "diag": (Gaussian("diag"), "real"),
    "spherical": (Gaussian("spherical"), "real"),
    "mixture": (Mixture(Gaussian("diag")), "real"),
}


def make_case(name):
    rng = np.random.default_rng(5)
    base, _, variant = name.partition("-")
    if base == "product":
        X = np.hstack([_rows("counts", rng), _rows("real", rng), _rows("codes", rng)])
        parts = ((Poisson(), (0, 2)), (Gaussian("diag"), (4, 3)), (Categorical(), (6, 9)))
        return Case(Product(parts, ignored=(1, 5, 7, 8)), _with_holes(X, rng) if variant else X)
    family, kind = SIMPLE[base]
    X = _rows(kind, rng)
    if "nan" in variant:
        # With many missing counts, EM is slow for documents.
        X = _with_holes(X, rng, 0.03 if base == "documents" else 0.2)
    return Case(family, csr_array(X) if "sparse" in variant else X)


NAMES = [
    *SIMPLE,
    *(f"{name}-nan" for name in SIMPLE),
    "multinomial-sparse",
    "multinomial-sparse-nan",
    "documents-sparse",
    "documents-sparse-nan",
    "product",
    "product-nan",
]


@pytest.fixture(params=NAMES)
def case(request):
    return make_case(request.param)


@pytest.fixture
def make():
    return make_case
