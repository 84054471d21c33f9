"""One EM step and a whole fit of GaussianMixtureEM, beside its peers.

Everything is timed in one process, in turns, and each figure is the median of the turns:

    python benchmarks/bench_gaussian_mixture.py           # steps and fits
    python benchmarks/bench_gaussian_mixture.py --steps   # steps only
    python benchmarks/bench_gaussian_mixture.py --quick   # the small shapes only
    python benchmarks/bench_gaussian_mixture.py --memory  # peak memory at 10 million rows

A step is the difference of two fits from the same start with different `max_iter`,
divided by the difference of the iterations, with tol=0. The peers are
`sklearn.mixture.GaussianMixture` and, where scikit-learn-intelex is installed, oneDAL's
`daal4py.em_gmm`. "limit" is the time of a step's matrix products and exponentials alone,
at the rates of numpy measured in the same run on all threads; "fraction" is limit / step.

The rows are drawn from the mixture with unit covariances. In the "overlapping" data the
centers are about 3 standard deviations apart in any dimension, so that no responsibility
is negligible; in the "separated" data the coordinates of the centers are standard
normal, so that high-dimensional components hardly meet.
"""

from __future__ import annotations

import argparse
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from _measure import geometric_mean, in_child, peak_beyond, seconds, steps
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM
from emlearn.engine.threads import available_threads

try:
    import daal4py
except ImportError:
    daal4py = None

SHAPES = [
    (1000, 4, 3),
    (10_000, 2, 5),
    (100_000, 2, 5),
    (100_000, 10, 10),
    (200_000, 20, 20),
    (50_000, 50, 20),
    (20_000, 100, 5),
]
OTHER_SHAPES = [(100_000, 10, 10), (20_000, 100, 5)]
SEPARATED_SHAPES = [(200_000, 20, 20), (50_000, 50, 20), (20_000, 100, 5)]
TURNS = 5


def draw(n_rows, n_features, n_components, *, separated=False, dtype=np.float64):
    rng = np.random.default_rng(0)
    spread = 1.0 if separated else 2.0 / np.sqrt(n_features)
    centers = spread * rng.standard_normal((n_components, n_features))
    rows = rng.standard_normal((n_rows, n_features))
    rows += centers[rng.integers(n_components, size=n_rows)]
    return rows.astype(dtype), centers


def start_at(structure, centers):
    n_components, n_features = centers.shape
    precisions = {
        "full": np.tile(np.eye(n_features), (n_components, 1, 1)),
        "tied": np.eye(n_features),
        "diag": np.ones((n_components, n_features)),
        "spherical": np.ones(n_components),
    }[structure]
    return {
        "covariance_type": structure,
        "weights_init": np.full(n_components, 1.0 / n_components),
        "means_init": 0.9 * centers,
        "precisions_init": precisions,
        "tol": 0.0,
        "reg_covar": 1e-6,
    }


def emlearn_fit(X, structure, centers):
    start = start_at(structure, centers)
    plain = {"accelerate": None, **start}
    return lambda n: GaussianMixtureEM(len(centers), max_iter=n, **plain).fit(X).n_iter_


def sklearn_fit(X, structure, centers):
    start = start_at(structure, centers)
    settings = {"init_params": "random_from_data", **start}
    return lambda n: GaussianMixture(len(centers), max_iter=n, **settings).fit(X).n_iter_


def onedal_run(X, centers, n_iter):
    n_components, n_features = centers.shape
    weights = np.full((1, n_components), 1.0 / n_components)
    covariances = [np.eye(n_features)] * n_components
    kind = "float" if X.dtype == np.float32 else "double"
    algorithm = daal4py.em_gmm(
        nComponents=n_components, maxIterations=n_iter, accuracyThreshold=0.0, fptype=kind
    )
    return algorithm.compute(X, weights, 0.9 * centers, covariances)


def onedal_fit(X, centers):
    return lambda n: int(onedal_run(X, centers, n).nIterations[0, 0])


def reached(X, structure, centers, n_iter):
    """Log-likelihood a row after a number of steps, of all that are installed."""
    start = start_at(structure, centers) | {"max_iter": n_iter}
    plain = GaussianMixtureEM(len(centers), accelerate=None, **start)
    theirs = GaussianMixture(len(centers), init_params="random_from_data", **start)
    found = {"emlearn": plain.fit(X).score(X), "sklearn": theirs.fit(X).score(X)}
    if daal4py is not None and structure == "full":
        found["onedal"] = onedal_run(X, centers, n_iter + 1).goalFunction[0, 0] / len(X)
    return {name: float(level) for name, level in found.items()}


def rates(dtype):
    """Multiply-adds and exponentials per second, on all threads."""
    a = np.random.default_rng(0).random((1500, 1500)).astype(dtype)
    product = min(seconds(lambda: a @ a) for _ in range(5))
    n_threads = available_threads()
    parts = [-a.ravel()[:100_000].copy() for _ in range(n_threads)]

    def exponentials(part):
        for _ in range(20):
            np.exp(part, out=np.empty_like(part))

    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as pool:
        exponential = min(seconds(lambda: list(pool.map(exponentials, parts))) for _ in range(5))
    return 1500.0**3 / product, 20.0 * len(parts) * len(parts[0]) / exponential


def limit_of(shape, structure, rate):
    """Seconds of the matrix products and exponentials of one step."""
    n_rows, n_features, n_components = shape
    moments = {
        "full": n_features * (n_features + 1) // 2,
        "tied": 0,
        "diag": n_features,
        "spherical": 1,
    }[structure]
    products = 2.0 * n_rows * n_components * (1 + n_features + moments)
    return products / rate[0] + n_rows * n_components / rate[1]


def rivals(X, structure, centers):
    """What `steps` takes, of all that are installed; a peer that is slow makes fewer steps."""
    d, k = X.shape[1], len(centers)
    work = len(X) * k * (10 + d ** (2 if structure == "full" else 1))
    many, few = int(np.clip(1e9 / work, 6, 400)), int(np.clip(1e8 / work, 3, 50))
    found = {
        "emlearn": (emlearn_fit(X, structure, centers), 1, 1 + many),
        "sklearn": (sklearn_fit(X, structure, centers), 1, 1 + few),
    }
    if daal4py is not None and structure == "full":
        found["onedal"] = (onedal_fit(X, centers), 1, 1 + many)
    return found


def bench_steps(shapes, structure, dtype, separated=False):
    rate = rates(dtype)
    ratios, against_onedal = [], []
    for shape in shapes:
        X, centers = draw(*shape, separated=separated, dtype=dtype)
        median = steps(rivals(X, structure, centers), TURNS)
        ours = median["emlearn"]
        ratios.append(median["sklearn"] / ours)
        line = f"{shape!s:>20} {1e3 * ours:10.3f} {1e3 * median['sklearn']:10.3f}"
        line += f" {ratios[-1]:7.2f}"
        if "onedal" in median:
            against_onedal.append(median["onedal"] / ours)
            line += f" {1e3 * median['onedal']:10.3f} {against_onedal[-1]:7.2f}"
        else:
            line += f" {'-':>10} {'-':>7}"
        print(line + f" {limit_of(shape, structure, rate) / ours:8.0%}", flush=True)
    summary = f"{'geometric mean':>20} {'':10} {'':10} {geometric_mean(ratios):7.2f}"
    if against_onedal:
        summary += f" {'':10} {geometric_mean(against_onedal):7.2f}"
    print(summary)


def bench_fits(shapes):
    """Defaults against defaults; the accuracy differs, so it is printed.

    And against scikit-learn with the tolerance that it needs to come as far, for data on
    which that does not take minutes.
    """
    print("\nWhole fits with the defaults of each; log-likelihood per row reached")
    print(f"{'(n, d, K)':>20} {'emlearn ms':>10} {'sklearn ms':>10} {'ratio':>7}", end="")
    print(f" {'emlearn':>12} {'sklearn':>12} {'tol=1e-7 ms':>12} {'ratio':>7} {'reached':>12}")
    ratios, exact_ratios = [], []
    for shape in shapes:
        X, _ = draw(*shape)
        ours = GaussianMixtureEM(shape[2], random_state=0)
        theirs = GaussianMixture(shape[2], random_state=0)
        times = [
            [seconds(lambda model=model, X=X: model.fit(X)) for model in (ours, theirs)]
            for _ in range(3)
        ]
        mine, other = np.median(times, axis=0)
        ratios.append(other / mine)
        print(
            f"{shape!s:>20} {1e3 * mine:10.2f} {1e3 * other:10.2f} {ratios[-1]:7.2f} "
            f"{ours.score(X):12.6f} {theirs.score(X):12.6f}",
            end="",
        )
        if shape[0] <= 10_000:
            exact = GaussianMixture(shape[2], random_state=0, tol=1e-7, max_iter=10_000)
            other = np.median([seconds(lambda exact=exact, X=X: exact.fit(X)) for _ in range(3)])
            exact_ratios.append(other / mine)
            print(f" {1e3 * other:12.2f} {exact_ratios[-1]:7.2f} {exact.score(X):12.6f}", end="")
        print(flush=True)
    print(f"{'geometric mean':>20} {'':10} {'':10} {geometric_mean(ratios):7.2f}", end="")
    print(f" {'':12} {'':12} {'':12} {geometric_mean(exact_ratios):7.2f}")


def rows_in_parts(n_rows, n_features=10):
    """Rows made with hardly more memory than they take."""
    rng = np.random.default_rng(0)
    X = np.empty((n_rows, n_features))
    for part in np.array_split(X, 100):
        part[:] = rng.standard_normal(part.shape)
        part += rng.integers(10, size=(len(part), 1))
    return X


def fit_a_few(X, estimator=GaussianMixtureEM):
    """Log-likelihood a row after three iterations."""
    warnings.simplefilter("ignore")
    return estimator(10, max_iter=3, random_state=0).fit(X).lower_bound_


def bench_memory(n_rows):
    """Peak memory of a fit beyond the data, in a process of its own."""
    beyond, _ = in_child(peak_beyond, partial(rows_in_parts, n_rows), fit_a_few)
    print(f"Peak memory, n = {n_rows}, d = 10, K = 10:")
    print(f"data {n_rows * 80 / 2**20:.0f} MiB, peak of the fit beyond it {beyond:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the small shapes")
    parser.add_argument("--steps", action="store_true", help="no whole fits")
    parser.add_argument("--memory", action="store_true", help="only the memory of a large fit")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.memory:
        bench_memory(10_000_000)
        return
    shapes = SHAPES[:3] if arguments.quick else SHAPES
    print(f"{os.cpu_count()} processors, {available_threads()} threads")
    header = f"{'(n, d, K)':>20} {'emlearn ms':>10} {'sklearn ms':>10} {'ratio':>7}"
    header += f" {'oneDAL ms':>10} {'ratio':>7} {'fraction':>8}"
    for dtype in (np.float64, np.float32):
        print(f"\nOne step, full, {np.dtype(dtype)}, overlapping\n{header}")
        bench_steps(shapes, "full", dtype)
    if not arguments.quick:
        print(f"\nOne step, full, float64, separated\n{header}")
        bench_steps(SEPARATED_SHAPES, "full", np.float64, separated=True)
        for structure in ("tied", "diag", "spherical"):
            for dtype in (np.float64, np.float32):
                print(f"\nOne step, {structure}, {np.dtype(dtype)}, overlapping\n{header}")
                bench_steps(OTHER_SHAPES, structure, dtype)
    if not arguments.steps:
        bench_fits([(200, 2, 3), *shapes])


if __name__ == "__main__":
    main()
