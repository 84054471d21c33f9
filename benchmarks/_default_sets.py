"""Data sets of `bench_default_fit.py`: fixed before any result was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from _problems import overlapping
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from emlearn.datasets import load_cholesterol, load_galaxies, load_old_faithful


class Problem(NamedTuple):
    """A data set, and the mixture to be fitted to it."""

    name: str
    rows: Callable[[], np.ndarray]
    n_components: int
    covariance_type: str


def scores(load, n_columns):
    """Scores of principal components."""
    return PCA(n_columns, random_state=0).fit_transform(load().data)


def standardized(load):
    return StandardScaler().fit_transform(load().data)


def clusters(seed, d, k, n, *, separation, shape, shares="equal"):
    """Rows of a Gaussian mixture.

    Parameters
    ----------
    separation : float
        Standard deviation of the means, times sqrt(2 / d) beyond two columns so that the
        overlap stays about the same.
    shape : {"round", "sizes", "ellipses", "needles"}
        Spheres, spheres of different sizes, ellipsoids, or very long ones.
    shares : {"equal", "unequal"}
        Equal components, or shares in geometric progression down to a tenth.
    """
    rng = np.random.default_rng(seed)
    share = np.ones(k) if shares == "equal" else np.geomspace(1.0, 0.1, k)
    labels = np.repeat(np.arange(k), np.maximum(np.round(n * share / share.sum()), 1).astype(int))
    means = separation * np.sqrt(min(1.0, 2.0 / d)) * rng.standard_normal((k, d))
    rows = rng.standard_normal((len(labels), d))
    for j in range(k):
        own = labels == j
        if shape == "sizes":
            rows[own] *= rng.uniform(0.3, 2.0)
        elif shape in ("ellipses", "needles"):
            longest = 3.0 if shape == "ellipses" else 12.0
            axes = np.exp(rng.uniform(-np.log(longest), np.log(longest), d) / 2.0)
            turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
            rows[own] = (rows[own] * axes) @ turn
        rows[own] += means[j]
    return rows


#: Name: columns, components, rows, separation, shape, shares, covariance type of the fit.
SIMULATED = {
    "plane overlapping": (2, 5, 500, 2.0, "ellipses", "equal", "full"),
    "plane unequal": (2, 8, 1200, 3.0, "ellipses", "unequal", "full"),
    "plane needles": (2, 6, 900, 3.0, "needles", "equal", "full"),
    "plane sizes": (2, 6, 900, 3.0, "sizes", "equal", "spherical"),
    "plane many": (2, 15, 3000, 5.0, "sizes", "equal", "full"),
    "3 round": (3, 5, 1000, 3.0, "round", "equal", "tied"),
    "3 unequal": (3, 6, 800, 3.0, "ellipses", "unequal", "full"),
    "4 overlapping": (4, 5, 1000, 2.0, "ellipses", "equal", "full"),
    "5 needles": (5, 4, 1000, 2.5, "needles", "equal", "full"),
    "6 overlapping": (6, 6, 1500, 2.5, "ellipses", "equal", "full"),
    "6 diag": (6, 6, 1500, 2.5, "sizes", "equal", "diag"),
    "8 apart": (8, 4, 600, 10.0, "round", "equal", "full"),
    "10 unequal": (10, 8, 4000, 3.0, "ellipses", "unequal", "full"),
    "12 needles": (12, 4, 2000, 3.0, "needles", "equal", "full"),
    "20 overlapping": (20, 5, 4000, 3.0, "ellipses", "equal", "full"),
    "20 tied": (20, 8, 3000, 3.0, "round", "unequal", "tied"),
    "30 diag": (30, 6, 2000, 2.5, "sizes", "unequal", "diag"),
    "40 apart": (40, 4, 3000, 8.0, "ellipses", "equal", "full"),
    "40 sizes": (40, 6, 6000, 3.0, "sizes", "equal", "full"),
}

#: Those of `--large`: columns, components, rows.
LARGE = [
    (2, 5, 100_000),
    (10, 10, 100_000),
    (20, 20, 200_000),
    (50, 20, 50_000),
    (100, 5, 20_000),
    (5, 8, 500_000),
]

#: Those of `--quick`.
QUICK = ("iris 3", "wine scaled", "cancer pca10", "plane unequal", "5 needles", "30 diag")


def real() -> Iterator[Problem]:
    """Data that were observed."""
    yield Problem("iris 3", lambda: load_iris().data, 3, "full")
    yield Problem("iris 4", lambda: load_iris().data, 4, "full")
    yield Problem("iris diag", lambda: load_iris().data, 5, "diag")
    yield Problem("wine scaled", lambda: standardized(load_wine), 3, "full")
    yield Problem("wine tied", lambda: standardized(load_wine), 3, "tied")
    yield Problem("wine pca5", lambda: scores(load_wine, 5), 4, "full")
    yield Problem("cancer pca10", lambda: scores(load_breast_cancer, 10), 3, "full")
    yield Problem("cancer diag", lambda: standardized(load_breast_cancer), 4, "diag")
    yield Problem("cancer pca4", lambda: scores(load_breast_cancer, 4), 5, "full")
    yield Problem("digits pca5", lambda: scores(load_digits, 5), 10, "full")
    yield Problem("digits pca10", lambda: scores(load_digits, 10), 10, "full")
    yield Problem("digits pca20", lambda: scores(load_digits, 20), 10, "full")
    yield Problem("digits pca40", lambda: scores(load_digits, 40), 10, "tied")
    yield Problem("digits pca20 diag", lambda: scores(load_digits, 20), 10, "diag")
    yield Problem("diabetes", lambda: standardized(load_diabetes)[:, [0, 2, 3, 4, 5, 8]], 4, "full")
    yield Problem("faithful 2", lambda: load_old_faithful().data, 2, "full")
    yield Problem("faithful 4", lambda: load_old_faithful().data, 4, "full")
    yield Problem("faithful diag", lambda: load_old_faithful().data, 5, "diag")
    yield Problem("galaxies 4", lambda: load_galaxies().data, 4, "full")
    yield Problem("galaxies 6", lambda: load_galaxies().data, 6, "full")
    yield Problem("cholesterol", complete_cholesterol, 2, "full")


def complete_cholesterol():
    rows = load_cholesterol().data
    return rows[np.isfinite(rows).all(axis=1)]


def simulated() -> Iterator[Problem]:
    """Data from known mixtures."""
    for seed, (name, entry) in enumerate(SIMULATED.items()):
        d, k, n, separation, shape, shares, covariance_type = entry

        def rows(seed=seed, d=d, k=k, n=n, a=separation, b=shape, c=shares):
            return clusters(1000 + seed, d, k, n, separation=a, shape=b, shares=c)

        yield Problem(name, rows, k, covariance_type)


def large() -> Iterator[Problem]:
    """Many rows of components that overlap."""
    for seed, (d, k, n) in enumerate(LARGE):

        def rows(seed=seed, d=d, k=k, n=n):
            return overlapping(seed, d, k, n)

        yield Problem(f"{n}x{d} K={k}", rows, k, "full")


def problems(quick: bool = False) -> list[Problem]:
    """The small and middle data sets, or a few of them."""
    chosen = [*real(), *simulated()]
    return [problem for problem in chosen if not quick or problem.name in QUICK]
