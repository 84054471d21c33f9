"""The default prior of MissingDataImputerEM beside fixed strengths and IterativeImputer.

    python benchmarks/bench_imputer_prior.py [--seeds 2] [--tables iris wine ...]

Entries are hidden completely at random; errors are root mean squares over what was hidden, in
standard deviations of the columns, no less than 1e-3 (an exact relation determines some entries).
The best fixed strength is chosen with the errors known, from {0, .01, .1, 1, d + 1}. Costs are
those of the whole fit beside a fit whose prior is known beforehand: E-steps; E-steps and passes
over the rows for the leave-one-out likelihood, which are cheaper; and CPU seconds.

The sleep of mammals: T. Allison and D. V. Cicchetti (1976), Science 194, 732-734. The amounts are
log-normal, and their total is a column. The example is that of scikit-learn's documentation.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from _measure import geometric_mean
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (importing it allows the next)
from sklearn.impute import IterativeImputer

from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.impute import MissingDataImputerEM, _prior

SMALLEST = 1e-3
RATES = (0.05, 0.2, 0.4, 0.6)


def mammals():
    path = Path(__file__).parent / "data" / "mammal_sleep.csv"
    X = np.genfromtxt(path, delimiter=",", skip_header=1)
    X[:, [0, 1, 5, 6]] = np.log(X[:, [0, 1, 5, 6]])
    return X


def amounts(n):
    rng = np.random.default_rng(n)
    parts = rng.lognormal(size=(n, 5)) * rng.uniform(0.3, 3.0, size=5)
    return np.column_stack((parts, parts.sum(axis=1)))


def factors(n, d, k, noise):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, d)) + noise * rng.normal(size=(n, d))


def equicorrelated(n, d, r):
    rng = np.random.default_rng(n)
    return np.sqrt(r) * rng.normal(size=(n, 1)) + np.sqrt(1 - r) * rng.normal(size=(n, d))


def autoregressive(n, d, r):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, d))
    for j in range(1, d):
        X[:, j] = r * X[:, j - 1] + np.sqrt(1 - r * r) * X[:, j]
    return X


def suppressor(n):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 5))
    X[:, 4] = X[:, :3].sum(axis=1) + 0.1 * rng.normal(size=n)
    return X


def shares(n):
    parts = np.random.default_rng(n).gamma(2.0, size=(n, 5))
    return parts / parts.sum(axis=1, keepdims=True)


TABLES = {
    "mammal sleep": (mammals, RATES),
    "amounts 100": (lambda: amounts(100), (0.1,)),
    "amounts 300": (lambda: amounts(300), (0.1,)),
    "shares 60": (lambda: shares(60), RATES),
    "suppressor 100": (lambda: suppressor(100), RATES),
    "linnerud": (lambda: np.hstack((load_linnerud().data, load_linnerud().target)), RATES),
    "iris": (lambda: load_iris().data, RATES),
    "wine": (lambda: load_wine().data, RATES),
    "diabetes": (lambda: load_diabetes().data, RATES),
    "breast cancer": (lambda: load_breast_cancer().data, RATES),
    "noise 40x10": (lambda: factors(40, 10, 1, 10.0), RATES),
    "factors 30x8": (lambda: factors(30, 8, 2, 1.0), RATES),
    "equal 25x4": (lambda: equicorrelated(25, 4, 0.6), RATES),
    "series 200x15": (lambda: autoregressive(200, 15, 0.8), RATES),
    "factors 1000x12": (lambda: factors(1000, 12, 3, 0.5), RATES),
    "factors 5000x20": (lambda: factors(5000, 20, 5, 1.0), RATES),
}


def hide(X, rate, seed):
    """A table with holes, such that rows and columns keep something."""
    rng = np.random.default_rng(seed)
    hidden = (rng.random(X.shape) < rate) & ~np.isnan(X)
    left = ~hidden & ~np.isnan(X)
    for i in np.flatnonzero(~left.any(axis=1)):
        hidden[i, rng.choice(np.flatnonzero(~np.isnan(X[i])))] = False
    for j in np.flatnonzero((~hidden & ~np.isnan(X)).sum(axis=0) < 3):
        hidden[np.flatnonzero(~np.isnan(X[:, j]))[:3], j] = False
    return np.where(hidden, np.nan, X), hidden


def error(imputer, holes, X, hidden):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = imputer.fit(holes).transform(holes)
    except ValueError:
        return np.inf
    return max(SMALLEST, float(np.sqrt(np.mean(((out - X) / np.nanstd(X, axis=0))[hidden] ** 2))))


def example(imputer):
    """Error on new rows of scikit-learn's example: the second column is twice the first."""
    nan = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer.fit([[1, 2], [3, 6], [4, 8], [nan, 3], [7, nan]])
    out = imputer.transform([[nan, 2], [6, nan], [nan, 6]])
    errors = (np.array([out[0, 0], out[1, 1], out[2, 0]]) - [1, 12, 3]) / np.array([2.2, 2.4, 2.2])
    return max(SMALLEST, float(np.sqrt(np.mean(errors**2))))


class Counter:
    """Counts E-steps of one Gaussian, and passes of the leave-one-out likelihood."""

    def __enter__(self):
        self.steps = self.passes = 0
        precompute, passes = OneGaussian.precompute, _prior.leave_one_out

        def counted(model, params):
            self.steps += 1
            return precompute(model, params)

        def counted_passes(*arguments):
            self.passes += len(arguments[-1])
            return passes(*arguments)

        self.patches = [
            mock.patch.object(OneGaussian, "precompute", counted),
            mock.patch.object(_prior, "leave_one_out", counted_passes),
        ]
        for patch in self.patches:
            patch.start()
        return self

    def __exit__(self, *_):
        for patch in self.patches:
            patch.stop()


def cost(holes):
    """E-steps, passes included, CPU seconds: of the default, beside a fit with known prior."""
    imputer = MissingDataImputerEM()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer.fit(holes)
        known = imputer._pseudo_rows
        found = []
        for prior in (None, known):
            with Counter() as counter:
                imputer._fit_table(holes, None, prior)
            seconds = []
            while len(seconds) < 3 or (sum(seconds) < 0.1 and len(seconds) < 20):
                start = time.process_time()
                imputer._fit_table(holes, None, prior)
                seconds.append(time.process_time() - start)
            # Each candidate of the passes was factorized, as for an E-step.
            steps = counter.steps
            found.append((steps, steps + counter.passes, min(seconds)))
    return np.divide(*found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tables", nargs="*", default=["example", *TABLES])
    arguments = parser.parse_args()
    names = ["0", ".01", ".1", "1", "d+1", "auto", "Iterative"]
    print(f"{'table':>16} {'n':>5} {'d':>3} " + " ".join(f"{name:>9}" for name in names)
          + "  auto/best  strengths; costs")  # fmt: skip
    tables, single, costs, full_costs = [], [], [], []
    for name in arguments.tables:
        X, rates = (None, (0.0,)) if name == "example" else (TABLES[name][0](), TABLES[name][1])
        n, d = (5, 2) if X is None else X.shape
        makers = [lambda a=a: MissingDataImputerEM(alpha=a) for a in (0, 0.01, 0.1, 1, d + 1)]
        makers += [MissingDataImputerEM, lambda: IterativeImputer(random_state=0)]
        rows, strengths, here = [], [], []
        for rate in rates:
            for seed in range(1 if X is None else arguments.seeds):
                if X is None:
                    rows.append([example(make()) for make in makers])
                    continue
                holes, hidden = hide(X, rate, seed)
                imputers = [make() for make in makers]
                rows.append([error(imputer, holes, X, hidden) for imputer in imputers])
                strengths.append(imputers[5].alpha_)
                abound = n >= 1000 and (~np.isnan(holes).any(axis=1)).sum() > 2 * d
                (full_costs if abound else costs).append(cost(holes))
                here.append((full_costs if abound else costs)[-1])
        pooled = np.sqrt(np.mean(np.square(rows), axis=0))
        best = pooled[:5].min()
        tables.append((pooled[5] / best, pooled[5] / pooled[6]))
        single += [(row[5] / min(row[:5]), row[5] / row[6]) for row in rows]
        spent = (
            " ".join(f"{geometric_mean(c):.2f}" for c in zip(*here, strict=True)) if here else ""
        )
        print(f"{name:>16} {n:5d} {d:3d} " + " ".join(f"{value:9.4f}" for value in pooled)
              + f"  {pooled[5] / best:9.3f}  " + " ".join(f"{a:g}" for a in strengths)
              + f"; {spent}", flush=True)  # fmt: skip
    for label, ratios in (("tables", tables), ("configurations", single)):
        to_best, to_iterative = np.transpose(ratios)
        print(f"{label}: auto / best fixed, geometric mean {geometric_mean(to_best):.3f}, "
              f"worst {to_best.max():.3f}; "
              f"auto / IterativeImputer {geometric_mean(to_iterative):.3f}, "
              f"better in {int((to_iterative < 1).sum())} of {len(ratios)}")  # fmt: skip
    for label, spent in (("others", costs), ("many complete rows", full_costs)):
        if spent:
            parts = [f"{what} x {geometric_mean(ratios):.2f} (worst {ratios.max():.2f})"
                     for what, ratios in zip(("E-steps", "with passes", "CPU seconds"),
                                             np.transpose(spent), strict=True)]  # fmt: skip
            print(f"cost, {label}: " + ", ".join(parts))


if __name__ == "__main__":
    main()
