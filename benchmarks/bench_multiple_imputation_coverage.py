"""Coverage of pooled 95 % intervals in simulated studies, beside that of complete data.

    python benchmarks/bench_multiple_imputation_coverage.py [--studies 400] [--jobs 2]
        [--method bootstrap da]

Each study draws n rows, hides entries, imputes 20 times, and pools the means and the regression of
the outcome on the other columns that are analysed:

- survey: x1, x2, y = x1 + x2 + noise; x2 and y hidden at random given x1 (MAR)
- chain: six columns, each correlated .6 with the one before; 30 % hidden completely at random
- total: four correlated amounts and their total, a fifth column; 20 % hidden, the last amount is
  the outcome, the total is not analysed

The bias is that of the regression coefficients, in standard deviations of the estimates from
complete data, the mean of the absolute values.
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import t

from emlearn.impute import MissingDataImputerEM, multiple_imputation, pool_estimates


def survey(rng, n):
    x = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=n)
    rows = np.column_stack((x, x.sum(axis=1) + rng.normal(size=n)))
    chance = 1.0 / (1.0 + np.exp(1.0 - x[:, 0]))
    hidden = rng.random(rows.shape) < np.column_stack((np.zeros(n), chance, chance))
    return rows, hidden, 3, np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])


def chain(rng, n):
    rows = rng.normal(size=(n, 6))
    for j in range(1, 6):
        rows[:, j] = 0.6 * rows[:, j - 1] + 0.8 * rows[:, j]
    return rows, rng.random(rows.shape) < 0.3, 6, np.array([0.0] * 11 + [0.6])


def total(rng, n):
    # Partial regressions of equally correlated columns: r / (1 + 2 r) each.
    parts = np.sqrt(0.5) * (rng.normal(size=(n, 4)) + rng.normal(size=(n, 1)))
    rows = np.column_stack((parts, parts.sum(axis=1)))
    return rows, rng.random(rows.shape) < 0.2, 4, np.array([0.0] * 5 + [0.25] * 3)


SETS = {"survey": survey, "chain": chain, "total": total}


def analyse(rows):
    """Estimates and variances: means, and the regression of the last column on the others."""
    n, d = rows.shape
    design = np.column_stack((np.ones(n), rows[:, :-1]))
    inverse = np.linalg.inv(design.T @ design)
    slopes = inverse @ design.T @ rows[:, -1]
    variance = ((rows[:, -1] - design @ slopes) ** 2).sum() / (n - d)
    estimates = np.concatenate((rows.mean(axis=0), slopes))
    variances = np.concatenate((rows.var(axis=0, ddof=1) / n, variance * np.diag(inverse)))
    return estimates, variances


def study(seed, make, n, alpha, method):
    """Covered with holes, covered without, estimates with and without, widths with holes."""
    rng = np.random.default_rng([seed, n])
    rows, hidden, analysed, truth = make(rng, n)
    holes = np.where(hidden, np.nan, rows)
    holes = holes[~hidden.all(axis=1)]
    tables = multiple_imputation(
        MissingDataImputerEM(alpha=alpha),
        holes,
        n_imputations=20,
        method=method,
        random_state=seed,
    )
    pooled = pool_estimates(
        *zip(*(analyse(table[:, :analysed]) for table in tables), strict=True),
        df_complete=n - analysed,
    )
    found = pooled.interval.T
    estimates, variances = analyse(rows[:, :analysed])
    half = t.ppf(0.975, n - analysed) * np.sqrt(variances)
    covered = (found[0] < truth) & (found[1] > truth)
    return np.array(
        [covered, np.abs(estimates - truth) < half, pooled.estimate, estimates, found[1] - found[0]]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--rows", nargs="*", type=int, default=[25, 100, 300])
    parser.add_argument("--alpha", nargs="*", default=["auto"])
    parser.add_argument("--method", nargs="*", default=["bootstrap"])
    arguments = parser.parse_args()
    print(
        f"{'set':>8} {'n':>4} {'alpha':>6} {'method':>9}  "
        "coverage (error)   complete  lowest   bias  seconds"
    )
    for name in arguments.sets:
        for n in arguments.rows:
            for alpha, method in product(arguments.alpha, arguments.method):
                value = alpha if alpha == "auto" else float(alpha)
                start = time.perf_counter()
                runs = np.array(
                    Parallel(n_jobs=arguments.jobs)(
                        delayed(study)(seed, SETS[name], n, value, method)
                        for seed in range(arguments.studies)
                    )
                )
                with_holes, complete = runs[:, 0].mean(axis=1), runs[:, 1].mean(axis=1)
                # Of the difference: both come from the same studies.
                error = (with_holes - complete).std() / np.sqrt(arguments.studies)
                slopes = slice(runs.shape[2] // 2 + 1, None)
                deviation = runs[:, 3, slopes].std(axis=0)
                truth = runs[:, 3, slopes].mean(axis=0)
                bias = np.abs((runs[:, 2, slopes].mean(axis=0) - truth) / deviation).mean()
                lowest = runs[:, 0].mean(axis=0).min()
                print(f"{name:>8} {n:4d} {alpha:>6} {method:>9}  "
                      f"{with_holes.mean():7.4f} ({error:.4f})  "
                      f"{complete.mean():9.4f} {lowest:7.3f} {bias:7.3f} "
                      f"{time.perf_counter() - start:7.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
