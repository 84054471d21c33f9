"""How often the best optimum is found: the search beside repeated starts and scikit-learn.

    python benchmarks/bench_local_optima.py             30 data sets, some twenty minutes
    python benchmarks/bench_local_optima.py --quick     8 data sets, a few minutes

The data are overlapping Gaussian mixtures. The best optimum known of each is the highest
objective that anything found here, two thorough searches included. Three comparisons:
repeated starts at the E-steps that a search spends (the same on any machine), and
scikit-learn's repeated starts at the same time and until it gets as far. For the last,
scikit-learn gets more and more starts, and ours more and more effort: a start from k-means,
three fast searches, then default ones, each with another seed; for comparison, default
searches from the first on. BLAS has one thread everywhere.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from _problems import overlapping
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM

SHAPES = [(2, 5, 500), (2, 8, 800), (3, 6, 800), (4, 5, 1000), (5, 4, 1000), (6, 6, 1500)]
SAME = 0.1  # nats: two runs found the same optimum
CLOSE = 1e-6  # nats a row


def fit_search(X, k, seed, **settings):
    settings = {"init_params": "search", "reg_covar": 1e-6, **settings}
    mixture = GaussianMixtureEM(k, random_state=seed, **settings).fit(X)
    return mixture.history_["objective"][-1], sum(r.n_e_steps for r in mixture.restarts_)


def fit_growing(X, k, seed):
    """The effort that grows: what the fit with this number is."""
    if seed == 0:
        return fit_search(X, k, seed, init_params="kmeans")[0]
    return fit_search(X, k, seed, search="fast" if seed < 4 else "default")[0]


def repeated(X, k, init_params, e_steps):
    """Best of as many starts as fit into a number of E-steps."""
    best, spent, seed = -np.inf, 0, 0
    while spent < e_steps:
        value, cost = fit_search(X, k, seed, init_params=init_params)
        best, spent, seed = max(best, value), spent + cost, seed + 1
    return best


def fit_sklearn(X, k, seed, **settings):
    mixture = GaussianMixture(k, random_state=seed, **settings).fit(X)
    # The objective of GaussianMixtureEM: the log-likelihood with the term of the ridge.
    trace = np.trace(mixture.precisions_, axis1=1, axis2=2)
    joint = mixture._estimate_weighted_log_prob(X) - 0.5e-6 * trace
    return float(np.logaddexp.reduce(joint, axis=1).sum())


def until(fit, target, seconds):
    """Time until one of a series of fits reaches the target, the best value, the time spent."""
    start, best, seed = time.perf_counter(), -np.inf, 0
    while True:
        best = max(best, fit(seed))
        seed += 1
        spent = time.perf_counter() - start
        if best >= target or spent >= seconds:
            return spent, best


def report_times(name, times, patience):
    """Ratio of the times to the best optimum; where scikit-learn gave up it is a lower bound."""
    reached = [(ours[0], theirs) for ours, theirs, target in times if ours[1] >= target]
    targets = [target for ours, _, target in times if ours[1] >= target]
    given_up = sum(theirs[1] < t for (_, theirs), t in zip(reached, targets, strict=True))
    if reached:
        ratio = np.array([theirs[0] / ours for ours, theirs in reached])
        print(
            f"time to the best optimum, scikit-learn / {name}: geometric mean "
            f"{np.exp(np.log(ratio).mean()):.1f}, median {np.median(ratio):.1f}, over "
            f"{len(ratio)} of {len(times)} data sets where ours was there within {patience:g} s; "
            f"a lower bound, since scikit-learn gave up on {given_up} of them"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer data sets, less patience")
    quick = parser.parse_args().quick
    n_data, patience = (8, 8.0) if quick else (30, 40.0)
    warnings.simplefilter("ignore", ConvergenceWarning)
    values, times = [], []
    for number in range(n_data):
        d, k, n = SHAPES[number % len(SHAPES)]
        X = overlapping(1000 + number, d, k, n, (1.5, 2.0, 2.5)[number % 3])
        start = time.perf_counter()
        found, e_steps = fit_search(X, k, 0)
        seconds = time.perf_counter() - start
        row = {
            "search (default)": found,
            "one k-means start": fit_search(X, k, 0, init_params="kmeans")[0],
            "repeated k-means": repeated(X, k, "kmeans", e_steps),
            "repeated k-means++": repeated(X, k, "k-means++", e_steps),
            "scikit-learn, one start": fit_sklearn(X, k, 0),
            "scikit-learn, equal time": until(
                lambda seed, X=X, k=k: fit_sklearn(X, k, seed), np.inf, seconds
            )[1],
        }
        known = max(*row.values(), *(fit_search(X, k, s, search="thorough")[0] for s in (1, 2)))
        target = known - CLOSE * n
        ours = until(lambda seed, X=X, k=k: fit_growing(X, k, seed), target, patience)
        alike = until(lambda seed, X=X, k=k: fit_search(X, k, seed)[0], target, patience)
        exact = {"tol": 1e-8, "max_iter": 10_000}
        theirs = until(
            lambda seed, X=X, k=k, exact=exact: fit_sklearn(X, k, seed, **exact), target, patience
        )
        known = max(known, ours[1], alike[1], theirs[1])
        values.append({name: known - value for name, value in row.items()})
        times.append((ours, alike, theirs, target))
        marks = ["" if best >= target else " (gave up)" for _, best in (ours, alike, theirs)]
        print(
            f"d={d} K={k} n={n}: {e_steps} E-steps, {seconds:.2f} s; to the best optimum: "
            f"growing effort {ours[0]:.3f} s{marks[0]}, default searches {alike[0]:.3f} s"
            f"{marks[1]}, scikit-learn {theirs[0]:.3f} s{marks[2]}",
            flush=True,
        )
    print(f"\n{'gap to the best optimum known (nats)':38}{'mean':>9}{'median':>9}{'found':>8}")
    for name in values[0]:
        gap = np.array([row[name] for row in values])
        print(f"{name:38}{gap.mean():9.2f}{np.median(gap):9.2f}{(gap < SAME).mean():8.0%}")
    print()
    for which, name in enumerate(("growing effort", "default searches")):
        report_times(name, [(row[which], *row[2:]) for row in times], patience)
    print("reach: mean gap <= 1/5 and found >= 2x scikit-learn at equal time; time ratio >= 20")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
