"""Data sets of `bench_class_starts.py`: latent classes, counts, documents and mixed tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.datasets import load_digits, load_wine

from emlearn.distributions import Bernoulli, Gaussian, Mixture

DATA = Path(__file__).parent / "data"
# Bock and Lieberman (1970), section 6 of the LSAT: answers to five items, and how often.
LSAT6 = "00000:3 00001:6 00010:2 00011:11 00100:1 00101:1 00110:3 00111:4 01000:1 01001:8 01011:16 "
LSAT6 += "01101:3 01110:2 01111:15 10000:10 10001:29 10010:14 10011:81 10100:3 10101:28 10110:15 "
LSAT6 += "10111:80 11000:16 11001:56 11010:21 11011:173 11100:11 11101:61 11110:28 11111:298"
# Hasselblad (1969): deaths a day, and on how many days.
DEATHS = (162, 267, 271, 185, 111, 61, 27, 8, 3, 1)


class Problem(NamedTuple):
    """A data set, and the mixture to be fitted to it."""

    group: str
    name: str
    rows: Callable[[np.random.Generator], Any]
    n_components: int
    family: Any
    n_sets: int = 3


def published(name: str) -> Callable[[np.random.Generator], Any]:
    return lambda rng: np.loadtxt(DATA / name, delimiter=",")


def lsat(rng):
    patterns = (pattern.split(":") for pattern in LSAT6.split())
    return np.concatenate([[[float(c) for c in codes]] * int(n) for codes, n in patterns])


def items(n, d, n_levels, K, spread=1.5, missing=0.0):
    def draw(rng):
        share = rng.dirichlet(np.full(K, 3.0))
        labels = rng.choice(K, n, p=share)
        below = rng.dirichlet(np.full(n_levels, spread), (K, d))[labels].cumsum(axis=2)[:, :, :-1]
        X = (rng.random((n, d, 1)) >= below).sum(axis=2).astype(float)
        X[rng.random(X.shape) < missing] = np.nan
        return X

    return draw


def answers(n, d, K):
    return lambda rng: (rng.random((n, d)) < rng.random((K, d))[rng.integers(K, size=n)]) * 1.0


def counts(n, d, K, scale=2.0):
    return lambda rng: rng.poisson(rng.gamma(2.0, scale, (K, d))[rng.integers(K, size=n)]) * 1.0


def documents(n, d, K, length, spread=0.5, sparse=True):
    def draw(rng):
        topics = rng.dirichlet(np.full(d, spread), K)
        labels = rng.choice(K, n, p=rng.dirichlet(np.full(K, 3.0)))
        X = np.array([rng.multinomial(rng.poisson(length) + 1, topics[k]) for k in labels], float)
        return csr_array(X) if sparse else X

    return draw


def mixed(n, K, n_items, n_numbers, n_counts, distance):
    """Items, then numbers, then counts."""

    def draw(rng):
        labels = rng.choice(K, n, p=rng.dirichlet(np.full(K, 3.0)))
        below = rng.dirichlet(np.full(3, 1.5), (K, n_items))[labels].cumsum(axis=2)[:, :, :-1]
        numbers = (
            rng.normal(size=(n, n_numbers)) + distance * rng.normal(size=(K, n_numbers))[labels]
        )
        own = rng.poisson(rng.gamma(2.0, 2.0, (K, n_counts))[labels])
        return np.hstack([(rng.random((n, n_items, 1)) >= below).sum(axis=2), numbers, own])

    return draw


def mixed_family(n_items, n_numbers, n_counts, covariance_type):
    edges = np.cumsum([0, n_items, n_numbers, n_counts])
    families = ("categorical", Gaussian(covariance_type), "poisson")
    return [
        (family, slice(int(a), int(b)))
        for family, a, b in zip(families, edges[:-1], edges[1:], strict=True)
        if b > a
    ]


def digits(rng):
    return (load_digits().data > 7) * 1.0


def wine(rng):
    """Six columns of numbers, and seven as quarters."""
    X = load_wine().data.copy()
    for j in range(6, 13):
        X[:, j] = np.searchsorted(np.quantile(X[:, j], [0.25, 0.5, 0.75]), X[:, j])
    return X


def problems() -> Iterator[Problem]:
    items_of = "categorical"
    for K in (2, 3, 4):
        yield Problem("items", f"carcinoma, K = {K}", published("carcinoma.csv"), K, items_of, 1)
    for K in (2, 3):
        yield Problem("items", f"cheating, K = {K}", published("cheating.csv"), K, items_of, 1)
    for K in (2, 3):
        yield Problem("items", f"LSAT 6, K = {K}", lsat, K, items_of, 1)
    yield Problem("items", "500 x 8, K = 4", items(500, 8, 3, 4), 4, items_of)
    yield Problem("items", "500 x 8, 15 % NaN, K = 4", items(500, 8, 3, 4, 1.5, 0.15), 4, items_of)
    yield Problem("items", "1000 x 12, K = 6", items(1000, 12, 4, 6), 6, items_of)
    yield Problem("items", "1000 x 12, overlap, K = 5", items(1000, 12, 3, 5, 4.0), 5, items_of)
    yield Problem("items", "2000 x 12, 10 % NaN, K = 3", items(2000, 12, 4, 3, 4, 0.1), 3, items_of)
    yield Problem("items", "3000 x 20, K = 10", items(3000, 20, 4, 10, 2.0), 10, items_of)
    yield Problem("items", "20000 x 10, K = 6", items(20000, 10, 3, 6), 6, items_of)
    for K in (6, 10):
        yield Problem("answers", f"500 x 10, K = {K}", answers(500, 10, K), K, "bernoulli")
    yield Problem("answers", "2000 x 30, K = 8", answers(2000, 30, 8), 8, "bernoulli")
    for K in (10, 20):
        yield Problem("answers", f"digits, K = {K}", digits, K, "bernoulli", 1)
    parts = Mixture(Bernoulli(), 2)
    yield Problem("answers", "digits, 5 x 2 parts", digits, 5, parts, 1)
    for K in (2, 3):
        deaths = np.repeat(np.arange(10.0), DEATHS)[:, None]
        yield Problem("counts", f"deaths, K = {K}", lambda rng, X=deaths: X, K, "poisson", 1)
    yield Problem("counts", "500 x 3, K = 5", counts(500, 3, 5), 5, "poisson")
    yield Problem("counts", "500 x 3, K = 8", counts(500, 3, 8), 8, "poisson")
    yield Problem("counts", "1000 x 10, low, K = 8", counts(1000, 10, 8, 0.5), 8, "poisson")
    yield Problem("counts", "1000 x 5, high, K = 6", counts(1000, 5, 6, 30.0), 6, "poisson")
    yield Problem(
        "documents", "1500 x 1000, K = 12", documents(1500, 1000, 12, 40), 12, "multinomial"
    )
    short = documents(2000, 5000, 10, 20, 0.1)
    yield Problem("documents", "2000 x 5000, short, K = 10", short, 10, "multinomial", 2)
    long = documents(1000, 3000, 20, 200)
    yield Problem("documents", "1000 x 3000, K = 20", long, 20, "multinomial", 2)
    small = documents(600, 30, 6, 15, 0.5, sparse=False)
    yield Problem("documents", "600 x 30, K = 6", small, 6, "multinomial")
    yield Problem(
        "mixed",
        "wine",
        wine,
        3,
        [*mixed_family(0, 6, 0, "full")[:1], ("categorical", slice(6, 13))],
        1,
    )
    for shape, *widths, K, distance in (
        ("diag", 5, 2, 2, 4, 1.0),
        ("full", 6, 3, 0, 5, 1.5),
        ("diag", 0, 4, 4, 6, 1.0),
        ("full", 10, 5, 2, 3, 0.7),
    ):
        name = "{} items, {} numbers ({}), {} counts, K = {}".format(
            *widths[:2], shape, widths[2], K
        )
        rows = mixed(800, K, *widths, distance)
        yield Problem("mixed", name, rows, K, mixed_family(*widths, shape))
