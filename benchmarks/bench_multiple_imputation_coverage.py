"""Coverage of pooled 95 % intervals in simulated studies: it should be 95 %.

    python benchmarks/bench_multiple_imputation_coverage.py [--studies 1000] [--jobs 2]

Each study draws n rows of (x1, x2, y), y = x1 + x2 + noise with x1 and x2 correlated, hides x2
and y at random given x1 (MAR), imputes 20 times, and pools the means and the regression of y.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from joblib import Parallel, delayed

from emlearn.impute import MissingDataImputerEM, multiple_imputation, pool_estimates

NAMES = ["mean x2", "mean y", "intercept", "slope x1", "slope x2"]
TRUTH = np.array([0.0, 0.0, 0.0, 1.0, 1.0])


def analyse(rows):
    n = len(rows)
    design = np.column_stack((np.ones(n), rows[:, :2]))
    inverse = np.linalg.inv(design.T @ design)
    slopes = inverse @ design.T @ rows[:, 2]
    variance = ((rows[:, 2] - design @ slopes) ** 2).sum() / (n - 3)
    means = rows[:, 1:].mean(axis=0)
    return (
        np.concatenate((means, slopes)),
        np.concatenate((rows[:, 1:].var(axis=0, ddof=1) / n, variance * np.diag(inverse))),
    )


def study(seed, n, alpha):
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=n)
    rows = np.column_stack((x, x.sum(axis=1) + rng.normal(size=n)))
    chance = 1.0 / (1.0 + np.exp(1.0 - x[:, 0]))
    rows[rng.random(n) < chance, 1] = np.nan
    rows[rng.random(n) < chance, 2] = np.nan
    imputer = MissingDataImputerEM(alpha=alpha)
    tables = multiple_imputation(imputer, rows, n_imputations=20, random_state=int(seed))
    estimates, variances = zip(*map(analyse, tables), strict=True)
    pooled = pool_estimates(estimates, variances, df_complete=n - 3)
    low, high = pooled.interval.T
    return np.array([(low < TRUTH) & (high > TRUTH), pooled.fraction_missing_information])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    error = 100 * np.sqrt(0.95 * 0.05 / arguments.studies)
    print(f"{arguments.studies} studies; standard error of a coverage {error:.1f} %")
    print(f"{'n':>5} {'alpha':>6} " + " ".join(f"{name:>10}" for name in NAMES) + "   all")
    for n, alpha in [(100, 0), (100, "auto"), (400, 0)]:
        start = time.perf_counter()
        runs = Parallel(n_jobs=arguments.jobs)(
            delayed(study)(seed, n, alpha) for seed in range(arguments.studies)
        )
        covered, lost = np.mean(runs, axis=0)
        seconds = time.perf_counter() - start
        each = " ".join(f"{100 * c:9.1f}%" for c in covered)
        print(f"{n:>5} {alpha!s:>6} {each} {100 * covered.mean():5.1f}%  ({seconds:.0f} s)")
        print(f"{'lost information':>12} " + " ".join(f"{100 * c:9.0f}%" for c in lost))


if __name__ == "__main__":
    main()
