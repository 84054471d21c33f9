"""Time and accuracy of MissingDataImputerEM beside scikit-learn's imputers and R's Amelia.

    python benchmarks/bench_imputer.py            speed, accuracy and memory
    python benchmarks/bench_imputer.py speed      one of them
    python benchmarks/bench_imputer.py --quick    smaller data, a minute or two

Speed is fit_transform in one process, imputers one after the other on the same data; KNN is
skipped where its n^2 distances would take minutes. Amelia runs if Rscript finds it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (importing it allows the next)
from sklearn.impute import IterativeImputer, KNNImputer

from emlearn.impute import MissingDataImputerEM

SHAPES = [
    (1000, 5, 0.2, None, {}),
    (10_000, 20, 0.2, None, {}),
    (10_000, 50, 0.2, None, {}),
    (10_000, 50, 0.5, None, {}),
    (100_000, 20, 0.1, None, {}),
    (100_000, 30, 0.2, 20, {}),
    (500, 1000, 0.2, None, {"n_factors": 10}),
]
QUICK = [(1000, 5, 0.2, None, {}), (2000, 20, 0.2, None, {}), (20_000, 10, 0.2, 20, {})]
SLOW_ITERATIVE = 500  # columns; above, IterativeImputer gets one round of a few columns

AMELIA = """
x <- as.matrix(read.csv(commandArgs(TRUE)[1]))
t <- system.time(a <- Amelia::amelia(x, m = 1, p2s = 0, boot.type = "none"))[3]
cat(t)
"""


def low_rank(n, d, seed=0):
    rng = np.random.default_rng(seed)
    rank = min(10, max(1, d // 4))
    common = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))
    return common + rng.normal(size=(n, d)), rng


def with_holes(n, d, rate, n_patterns):
    X, rng = low_rank(n, d)
    if n_patterns is None:
        missing = rng.random((n, d)) < rate
    else:
        missing = (rng.random((n_patterns, d)) < rate)[rng.integers(n_patterns, size=n)]
    return X, np.where(missing, np.nan, X), missing


def timed(imputer, X, truth, missing, repeat=1):
    best = np.inf
    for _ in range(repeat):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = imputer.fit_transform(X)
        best = min(best, time.perf_counter() - start)
    return best, np.sqrt(np.mean((out - truth)[missing] ** 2))


def amelia_seconds(X):
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "x.csv"
        np.savetxt(table, X, delimiter=",", header=",".join(f"v{i}" for i in range(X.shape[1])),
                   comments="")  # fmt: skip
        table.write_text(table.read_text().replace("nan", "NA"))
        run = subprocess.run(["Rscript", "-e", AMELIA, str(table)], capture_output=True, text=True)
    return float(run.stdout.split()[-1]) if run.returncode == 0 and run.stdout else None


def iterative_seconds(X, truth, missing):
    """Time and error of IterativeImputer; for wide data its time is a lower bound."""
    if X.shape[1] <= SLOW_ITERATIVE:
        return *timed(IterativeImputer(), X, truth, missing), ""
    part = 20
    only = X.copy()
    only[:, part:] = truth[:, part:]
    seconds, _ = timed(IterativeImputer(max_iter=1), only, truth, missing & np.isnan(only))
    return seconds * X.shape[1] / part, np.nan, " (one round, from 20 columns)"


def speed(shapes):
    print(f"{'n x d':>14} {'rate':>5} {'EM s':>8} {'iter':>5} {'Iterative s':>11} {'ratio':>8} "
          f"{'KNN s':>8} {'Amelia s':>8}   RMSE EM / Iterative / KNN")  # fmt: skip
    ratios = []
    for n, d, rate, n_patterns, options in shapes:
        truth, X, missing = with_holes(n, d, rate, n_patterns)
        em = MissingDataImputerEM(**options)
        seconds, error = timed(em, X, truth, missing, repeat=3 if n * d < 10**6 else 1)
        other, other_error, note = iterative_seconds(X, truth, missing)
        knn, knn_error = np.nan, np.nan
        if n <= 2000:
            knn, knn_error = timed(KNNImputer(), X, truth, missing)
        amelia = amelia_seconds(X) if d <= 100 else None
        ratios.append(other / seconds)
        print(f"{n:>8} x {d:<4}{rate:>5} {seconds:8.3f} {em.n_iter_:5d} {other:11.2f} "
              f"{ratios[-1]:8.1f} {knn:8.2f} {'-' if amelia is None else f'{amelia:.2f}':>8}   "
              f"{error:.4f} / {other_error:.4f} / {knn_error:.4f}{note}", flush=True)  # fmt: skip
    print(f"geometric mean of the ratios to IterativeImputer: {np.exp(np.mean(np.log(ratios))):.1f}"
          f", smallest {min(ratios):.1f}")  # fmt: skip


def hide(X, rate, how, rng):
    """Mask of missing entries: MCAR, MAR (given a complete column), or MNAR (given itself)."""
    n, d = X.shape
    if how == "MCAR":
        return rng.random((n, d)) < rate
    cause = X if how == "MNAR" else np.repeat(X[:, :1], d, axis=1)
    ranks = cause.argsort(axis=0).argsort(axis=0) / n
    missing = rng.random((n, d)) < np.clip(2.0 * rate * ranks, 0.0, 0.95)
    if how == "MAR":
        missing[:, 0] = False
    return missing


def accuracy(quick):
    """Root mean squared error on hidden entries, in standard deviations of the columns."""
    loaders = [load_diabetes, load_wine, load_breast_cancer, load_iris]
    rates = (0.3,) if quick else (0.1, 0.3, 0.5)
    print(f"{'data':>14} {'':>5} {'rate':>4} {'EM':>7} {'Iterative':>10} {'KNN':>7} {'mean':>7}")
    errors = []
    for loader in loaders:
        X = loader().data.astype(float)
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        for how in ("MCAR", "MAR", "MNAR"):
            for rate in rates:
                rng = np.random.default_rng(0)
                missing = hide(X, rate, how, rng)
                holes = np.where(missing, np.nan, X)
                row = [
                    timed(imputer, holes, X, missing)[1]
                    for imputer in (MissingDataImputerEM(), IterativeImputer(), KNNImputer())
                ]
                filled = np.where(missing, np.nanmean(holes, axis=0), X)
                row.append(np.sqrt(np.mean((filled - X)[missing] ** 2)))
                errors.append(row)
                print(f"{loader.__name__[5:]:>14} {how:>5} {rate:4.1f} "
                      f"{row[0]:7.4f} {row[1]:10.4f} {row[2]:7.4f} {row[3]:7.4f}")  # fmt: skip
    mean = np.mean(errors, axis=0)
    print(f"{'mean':>25} {mean[0]:7.4f} {mean[1]:10.4f} {mean[2]:7.4f} {mean[3]:7.4f}")


def _peak(n, d, queue):
    X, rng = low_rank(n, d)
    for start in range(0, n, 100_000):
        part = X[start : start + 100_000]
        part[rng.random(part.shape) < 0.1] = np.nan
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    MissingDataImputerEM().fit_transform(X)
    queue.put((X.nbytes / 1e6, before / 1e3,
               resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))  # fmt: skip


def memory(quick):
    n, d = (200_000 if quick else 1_000_000), 20
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=_peak, args=(n, d, queue))
    process.start()
    data, before, peak = queue.get()
    process.join()
    print(f"{n} x {d}, 10 % missing: data {data:.0f} MB, process before {before:.0f} MB, "
          f"peak {peak:.0f} MB (limit 3 x data + 200 MB = {3 * data + 200:.0f} MB)")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["speed", "accuracy", "memory"])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if "speed" in arguments.what:
        speed(QUICK if arguments.quick else SHAPES)
    if "accuracy" in arguments.what:
        accuracy(arguments.quick)
    if "memory" in arguments.what:
        memory(arguments.quick)


if __name__ == "__main__":
    main()
