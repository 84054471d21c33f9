"""Fits with default settings, ours beside scikit-learn's: how far from the best, and how long.

    python benchmarks/bench_default_fit.py             all data sets, some ten minutes
    python benchmarks/bench_default_fit.py --quick     six of them
    python benchmarks/bench_default_fit.py --large     20000 to 500000 overlapping rows, n_init=1

Same components, `n_init` (1 and 10) and seeds; one thread. The data sets are those of
_default_sets.py. A fit is *sound* if its smallest component has at least three times d + 1 rows
(6 where covariances are diagonal) and none is held up by the ridge, max tr(Lambda inv Sigma_k)
<= .1. The gap of a fit is how many nats its log-likelihood is below that of the best sound fit
that any method found; above it is 0. Data without a sound fit are left out of the means.
Times are of the processor, in milliseconds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import NamedTuple

import numpy as np
from _default_sets import large, problems
from _measure import geometric_mean
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM

HELD_UP = 0.1


class Fit(NamedTuple):
    """What came of one fit."""

    log_likelihood: float
    sound: bool
    milliseconds: float
    e_steps: float


def matrices(mixture, d):
    """Covariances of the components as matrices."""
    covariances, k = mixture.covariances_, mixture.n_components
    kind = mixture.covariance_type
    if kind == "full":
        return covariances
    if kind == "tied":
        return np.repeat(covariances[None], k, axis=0)
    if kind == "diag":
        return np.stack([np.diag(own) for own in covariances])
    return np.stack([own * np.eye(d) for own in covariances])


def judge(mixture, X, ridge):
    """Log-likelihood, from the published parameters alone, and whether the fit is sound."""
    n, d = X.shape
    covariances = matrices(mixture, d)
    joint = np.stack(
        [
            np.log(max(weight, 1e-300))
            + multivariate_normal.logpdf(X, mean, covariance, allow_singular=True).reshape(n)
            for weight, mean, covariance in zip(
                mixture.weights_, mixture.means_, covariances, strict=True
            )
        ]
    )
    held = max(float(np.diagonal(np.linalg.inv(own)) @ ridge) for own in covariances)
    least = 3 * (d + 1) if mixture.covariance_type == "full" else 6
    sound = n * mixture.weights_.min() >= least and held <= HELD_UP
    return float(logsumexp(joint, axis=0).sum()), bool(sound)


def fit_sklearn(X, k, covariance_type, n_init, seed):
    mixture = GaussianMixture(k, covariance_type=covariance_type, n_init=n_init, random_state=seed)
    mixture.fit(X)
    return mixture, np.full(X.shape[1], mixture.reg_covar), float("nan")


def fit_ours(X, k, covariance_type, n_init, seed):
    mixture = GaussianMixtureEM(
        k, covariance_type=covariance_type, n_init=n_init, random_state=seed
    )
    mixture.fit(X)
    return mixture, 1e-6 * X.var(axis=0), sum(start.n_e_steps for start in mixture.restarts_)


METHODS = {
    "sklearn": (fit_sklearn, 1),
    "ours": (fit_ours, 1),
    "sklearn 10": (fit_sklearn, 10),
    "ours 10": (fit_ours, 10),
}


def run(method, X, problem, seed):
    fit, n_init = method
    begin = time.process_time()
    mixture, ridge, e_steps = fit(X, problem.n_components, problem.covariance_type, n_init, seed)
    milliseconds = 1e3 * (time.process_time() - begin)
    return Fit(*judge(mixture, X, ridge), milliseconds, e_steps)


def main(methods=METHODS):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="six data sets")
    parser.add_argument("--large", action="store_true", help="six large data sets")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", default="", help="methods, separated by commas")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    chosen = arguments.only or ("sklearn,ours" if arguments.large else ",".join(methods))
    names = [name for name in methods if name in chosen.split(",")]
    print(f"{'':20s}" + "".join(f"{name:>26s}" for name in names))
    print(f"{'':20s}" + f"{'gap  unsound   ms     E':>26s}" * len(names))
    gaps, times, steps, unsound = [], [], [], []
    with threadpool_limits(1):
        for problem in large() if arguments.large else problems(arguments.quick):
            X = np.ascontiguousarray(problem.rows(), dtype=np.float64)
            found = {
                name: [run(methods[name], X, problem, seed) for seed in range(arguments.seeds)]
                for name in names
            }
            every = [fit for fits in found.values() for fit in fits]
            # Large random covariances may be close to singular themselves.
            counted = [fit for fit in every if fit.sound or arguments.large]
            best = max((fit.log_likelihood for fit in counted), default=np.nan)
            gap = [
                np.mean([max(best - fit.log_likelihood, 0.0) for fit in found[name]])
                for name in names
            ]
            cost = [geometric_mean([fit.milliseconds for fit in found[name]]) for name in names]
            step = [np.mean([fit.e_steps for fit in found[name]]) for name in names]
            bad = [np.mean([not fit.sound for fit in found[name]]) for name in names]
            cells = zip(gap, bad, cost, step, strict=True)
            line = "".join(f"{g:9.2f}{b:5.2f}{c:8.1f}{e:4.0f}" for g, b, c, e in cells)
            print(f"{problem.name:20s}{line}", flush=True)
            times.append(cost)
            steps.append(step)
            unsound.append(bad)
            gaps.append(gap)
    gaps, times = np.array(gaps), np.array(times)
    told = np.isfinite(gaps).all(axis=1)
    print(f"\n{told.sum()} data sets with a sound fit, {len(told)} in all")
    for i, name in enumerate(names):
        own = gaps[told, i]
        line = f"mean gap {own.mean():8.2f}, 90 % {np.quantile(own, 0.9):8.2f}, within .5 nats"
        line += f" {np.mean(own < 0.5):.2f}, unsound {np.mean(unsound, axis=0)[i]:.2f}, "
        line += f"ms {geometric_mean(times[:, i]):7.1f}, E-steps {np.mean(steps, axis=0)[i]:5.0f}"
        for j, other in enumerate(names):
            if j != i:
                worst = (gaps[told, i] - gaps[told, j]).max()
                line += f"; beside {other}: {geometric_mean(times[:, j] / times[:, i]):.2f}x as "
                line += f"fast, at worst {worst:.2f} nats more"
        print(f"{name:12s} {line}")


if __name__ == "__main__":
    main()
