"""Time and accuracy of MissingDataImputerEM beside scikit-learn's imputers and R's Amelia.

    python benchmarks/bench_imputer.py                    speed, accuracy and memory
    python benchmarks/bench_imputer.py speed              one of them
    python benchmarks/bench_imputer.py speed --shapes 1000x5 10000x50@0.5
    python benchmarks/bench_imputer.py --limit 60         seconds that one imputer may take

Speed is the shortest of up to five runs of fit_transform, of a process of its own for each
imputer, one after the other on the same data. An imputer that reaches the limit is stopped; its
time, and the ratio to it, are lower bounds then and marked so. Amelia, if Rscript finds it, is
timed within R, without bootstrap and with its own tolerance: one run of EM and one imputation.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _measure import Stopped, in_child, peak_beyond
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (importing it allows the next)
from sklearn.impute import IterativeImputer, KNNImputer

from emlearn.impute import MissingDataImputerEM


class Shape(NamedTuple):
    """Size of a problem; rows have one of n_patterns patterns, or each its own."""

    n: int
    d: int
    rate: float
    n_patterns: int | None = None
    n_factors: int | None = None

    def __str__(self):
        name = f"{self.n}x{self.d}@{self.rate}"
        name += f",{self.n_patterns} patterns" if self.n_patterns else ""
        return name + (f",{self.n_factors} factors" if self.n_factors else "")


SHAPES = [
    Shape(1000, 5, 0.2),
    Shape(10_000, 20, 0.2),
    Shape(10_000, 50, 0.2),
    Shape(10_000, 50, 0.5),
    Shape(100_000, 20, 0.1),
    Shape(100_000, 30, 0.2, n_patterns=20),
    Shape(500, 1000, 0.2, n_factors=10),
]

AMELIA = """
x <- as.matrix(read.csv(commandArgs(TRUE)[1]))
t <- system.time(a <- Amelia::amelia(x, m = 1, p2s = 0, boot.type = "none"))[3]
if (a$code == 1) write.csv(a$imputations[[1]], commandArgs(TRUE)[2], row.names = FALSE)
cat("\n", t, "\n")
"""


class Run(NamedTuple):
    """Seconds, error on the hidden entries, iterations; whether it was stopped, or failed."""

    seconds: float
    error: float = np.nan
    n_iter: int = 0
    stopped: bool = False

    def __str__(self):
        if np.isnan(self.seconds):
            return "-"
        return f"{'>' if self.stopped else ''}{self.seconds:.4g}"


FAILED = Run(np.nan)


def low_rank(n, d, seed=0):
    rng = np.random.default_rng(seed)
    rank = min(10, max(1, d // 4))
    common = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))
    return common + rng.normal(size=(n, d)), rng


def with_holes(shape):
    X, rng = low_rank(shape.n, shape.d)
    if shape.n_patterns is None:
        missing = rng.random(X.shape) < shape.rate
    else:
        masks = rng.random((shape.n_patterns, shape.d)) < shape.rate
        missing = masks[rng.integers(shape.n_patterns, size=shape.n)]
    return X, np.where(missing, np.nan, X), missing


def rmse(out, truth, missing):
    return float(np.sqrt(np.mean((out - truth)[missing] ** 2)))


def impute(imputer, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return imputer.fit_transform(X)


def time_imputer(imputer, shape, clock=time.perf_counter):
    """The shortest of up to five runs, fewer if they are long."""
    truth, X, missing = with_holes(shape)
    spent = []
    while len(spent) < 5 and sum(spent) < 3.0:
        start = clock()
        out = impute(imputer, X)
        spent.append(clock() - start)
    return Run(min(spent), rmse(out, truth, missing), getattr(imputer, "n_iter_", 0))


def timed(imputer, shape, limit):
    """Time an imputer in a process of its own, which is ended at the limit."""
    try:
        return in_child(time_imputer, imputer, shape, limit=limit)
    except Stopped:
        return Run(limit, stopped=True)
    except RuntimeError:
        return FAILED


def amelia(shape, limit):
    if shutil.which("Rscript") is None:
        return FAILED
    truth, X, missing = with_holes(shape)
    with tempfile.TemporaryDirectory() as folder:
        table, filled = Path(folder) / "x.csv", Path(folder) / "filled.csv"
        names = ",".join(f"v{i}" for i in range(shape.d))
        np.savetxt(table, X, delimiter=",", header=names, comments="")
        table.write_text(table.read_text().replace("nan", "NA"))
        command = ["Rscript", "-e", AMELIA, str(table), str(filled)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return Run(limit, stopped=True)
        if run.returncode != 0 or not filled.exists():
            return FAILED
        out = np.loadtxt(filled, delimiter=",", skiprows=1)
        return Run(float(run.stdout.split()[-1]), rmse(out, truth, missing))


def speed(shapes, limit):
    print("Seconds of fit_transform (> for a lower bound), ratios of the others to EM, and RMSE on")
    print("the hidden entries. Amelia imputes draws, so its RMSE is larger by design.")
    found = shutil.which("Rscript") is not None
    print("A '-' is a failure." if found else "Rscript was not found: Amelia is left out.")
    print(f"{'shape':>28} {'EM':>8} {'iter':>5} {'Iterative':>10} {'ratio':>8} {'KNN':>8} "
          f"{'Amelia':>8} {'ratio':>7}   RMSE EM / Iterative / KNN / Amelia")  # fmt: skip
    ratios, r_ratios = [], []
    for shape in shapes:
        em = timed(MissingDataImputerEM(n_factors=shape.n_factors), shape, limit)
        iterative = timed(IterativeImputer(), shape, limit)
        knn = timed(KNNImputer(), shape, limit)
        other = amelia(shape, limit)
        ratios.append(iterative.seconds / em.seconds)
        r_ratios.append(other.seconds / em.seconds)
        marks = [">" if run.stopped else "" for run in (iterative, other)]
        columns = [f"{mark}{ratio:.1f}" for mark, ratio in
                   zip(marks, (ratios[-1], r_ratios[-1]), strict=True)]  # fmt: skip
        errors = " / ".join(f"{run.error:.4f}" for run in (em, iterative, knn, other))
        print(f"{shape!s:>28} {em!s:>8} {em.n_iter:5d} {iterative!s:>10} {columns[0]:>8} "
              f"{knn!s:>8} {other!s:>8} {columns[1]:>7}   {errors}", flush=True)  # fmt: skip
    for name, values in (("IterativeImputer", ratios), ("Amelia", r_ratios)):
        known = np.array([value for value in values if np.isfinite(value)])
        if known.size:
            print(f"geometric mean of {known.size} ratios of {name} to EM: "
                  f"{np.exp(np.log(known).mean()):.1f}, smallest {known.min():.1f}")  # fmt: skip


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


def accuracy():
    """Root mean squared error on hidden entries, in standard deviations of the columns."""
    loaders = [load_diabetes, load_wine, load_breast_cancer, load_iris]
    print(f"{'data':>14} {'':>5} {'rate':>4} {'EM':>7} {'Iterative':>10} {'KNN':>7} {'mean':>7}")
    errors = []
    for loader in loaders:
        X = loader().data.astype(float)
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        for how in ("MCAR", "MAR", "MNAR"):
            for rate in (0.1, 0.3, 0.5):
                rng = np.random.default_rng(0)
                missing = hide(X, rate, how, rng)
                holes = np.where(missing, np.nan, X)
                row = [
                    rmse(impute(imputer, holes), X, missing)
                    for imputer in (MissingDataImputerEM(), IterativeImputer(), KNNImputer())
                ]
                filled = np.where(missing, np.nanmean(holes, axis=0), X)
                row.append(np.sqrt(np.mean((filled - X)[missing] ** 2)))
                errors.append(row)
                print(f"{loader.__name__[5:]:>14} {how:>5} {rate:4.1f} "
                      f"{row[0]:7.4f} {row[1]:10.4f} {row[2]:7.4f} {row[3]:7.4f}")  # fmt: skip
    mean = np.mean(errors, axis=0)
    print(f"{'mean':>25} {mean[0]:7.4f} {mean[1]:10.4f} {mean[2]:7.4f} {mean[3]:7.4f}")


def million_rows(n=1_000_000, d=20):
    """A table with 10 % missing."""
    X, rng = low_rank(n, d)
    for start in range(0, n, 100_000):
        part = X[start : start + 100_000]
        part[rng.random(part.shape) < 0.1] = np.nan
    return X


def fit_imputer(X, imputer=MissingDataImputerEM):
    imputer().fit_transform(X)


def memory():
    beyond, _ = in_child(peak_beyond, million_rows, fit_imputer)
    print(
        f"1000000 x 20, 10 % missing: data 160 MB, peak of fit_transform beyond it {beyond:.0f} MiB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["speed", "accuracy", "memory"])
    parser.add_argument("--shapes", nargs="*", help="beginnings of the names of shapes")
    parser.add_argument("--limit", type=float, default=300.0)
    arguments = parser.parse_args()
    if "speed" in arguments.what:
        wanted = tuple(arguments.shapes or [""])
        speed([shape for shape in SHAPES if str(shape).startswith(wanted)], arguments.limit)
    if "accuracy" in arguments.what:
        accuracy()
    if "memory" in arguments.what:
        memory()


if __name__ == "__main__":
    main()
