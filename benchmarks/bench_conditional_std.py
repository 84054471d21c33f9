"""Coverage of 95 % intervals of missing entries: conditional mean plus and minus deviations.

    python benchmarks/bench_conditional_std.py [--studies 1000] [--jobs 2]

Each study draws n normal rows of d columns, each correlated .6 with the one before, and hides
entries completely at random. The deviations are those of `conditional_std`: the plug-in, and with
the uncertainty of the parameters from `inference` (the delta method). A missing entry is covered
if it lies within 1.96 deviations of its conditional mean. "fit" has the rows of the fit, "new"
as many others. The error in parentheses is that of the mean over the studies.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from joblib import Parallel, delayed

from emlearn import MissingDataImputerEM

HALF = 1.959963984540054


def draw(rng, n, d, fraction):
    rows = rng.normal(size=(n, d))
    for j in range(1, d):
        rows[:, j] = 0.6 * rows[:, j - 1] + 0.8 * rows[:, j]
    return rows, np.where(rng.random(rows.shape) < fraction, np.nan, rows)


def covered(imputer, rows, holes, inference):
    """Shares of the missing entries that are covered: plug-in, and with uncertain parameters."""
    missing = np.isnan(holes)
    distance = np.abs(imputer.transform(holes) - rows)[missing]
    found = [imputer.conditional_std(holes), imputer.conditional_std(holes, inference=inference)]
    return [float((distance < HALF * own[missing]).mean()) for own in found]


def study(seed, n, d, fraction, alpha):
    rng = np.random.default_rng([seed, n, d])
    rows, holes = draw(rng, n, d, fraction)
    imputer = MissingDataImputerEM(alpha=alpha).fit(holes)
    inference = imputer.inference(holes)
    new = draw(rng, n, d, fraction)
    return covered(imputer, rows, holes, inference) + covered(imputer, *new, inference)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows", nargs="*", type=int, default=[100])
    parser.add_argument("--columns", nargs="*", type=int, default=[3, 5, 8])
    parser.add_argument("--alpha", nargs="*", default=["auto", "0"])
    parser.add_argument("--fraction", type=float, default=0.2)
    arguments = parser.parse_args()
    print(f"{'n':>5} {'d':>3} {'alpha':>6}   fit: plug-in     uncertain       "
          "new: plug-in     uncertain     seconds")  # fmt: skip
    for n in arguments.rows:
        for d in arguments.columns:
            for alpha in arguments.alpha:
                value = alpha if alpha == "auto" else float(alpha)
                start = time.perf_counter()
                runs = np.array(
                    Parallel(n_jobs=arguments.jobs)(
                        delayed(study)(seed, n, d, arguments.fraction, value)
                        for seed in range(arguments.studies)
                    )
                )
                error = runs.std(axis=0) / np.sqrt(len(runs))
                shares = "  ".join(
                    f"{own:.4f} ({e:.4f})" for own, e in zip(runs.mean(axis=0), error, strict=True)
                )
                print(f"{n:5d} {d:3d} {alpha:>6}  {shares}  {time.perf_counter() - start:8.0f}",
                      flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
