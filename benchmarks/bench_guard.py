"""The guard against spurious optima: rows that were not fitted, and known classes.

    python benchmarks/bench_guard.py             seven data sets, four splits, some minutes
    python benchmarks/bench_guard.py --quick     two splits of the smaller ones
    python benchmarks/bench_guard.py --covariance-type tied

A spurious optimum has a high likelihood because a component follows chance alignments of few
rows. So three quarters of the rows are fitted, and the others judge: their log-likelihood a row,
and the adjusted Rand index (ARI) of all rows against the known classes. Each split has its own
seed, the same for all methods. In the simulated sets, 15 of the 500 rows are a cluster of their
own, which a guard must not drop. "Small" is how many fits have a component of d + 2 rows or
fewer.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from _default_sets import scores, standardized
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM


class Problem(NamedTuple):
    """Rows with known classes, and the number of components to fit."""

    name: str
    rows: Callable[[], tuple[np.ndarray, np.ndarray]]
    n_components: int
    quick: bool = True


def few_among_many(seed, d, distance):
    """Two clusters of 485 rows in total, and 15 rows at a distance from both."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], [285, 200, 15])
    towards = np.linalg.qr(rng.standard_normal((d, d)))[0]
    means = distance * np.stack([np.zeros(d), towards[0], towards[1]])
    transforms = np.eye(d) + 0.3 * rng.standard_normal((3, d, d))
    noise = rng.standard_normal((500, d))
    return means[labels] + np.einsum("nij,nj->ni", transforms[labels], noise), labels


def real(rows, load):
    return rows(load), load().target


PROBLEMS = [
    Problem("wine, standardized", partial(real, standardized, load_wine), 3),
    Problem("cancer, PCA 10", partial(real, partial(scores, n_columns=10), load_breast_cancer), 3),
    Problem("digits, PCA 20", partial(real, partial(scores, n_columns=20), load_digits), 10, False),
    Problem("digits, PCA 40", partial(real, partial(scores, n_columns=40), load_digits), 10, False),
    Problem("15 of 500, d = 2", partial(few_among_many, 1, 2, 7.0), 3),
    Problem("15 of 500, d = 4", partial(few_among_many, 2, 4, 7.0), 3),
    Problem("15 of 500, d = 4, near", partial(few_among_many, 3, 4, 5.0), 3),
]

METHODS = {
    "emlearn": GaussianMixtureEM,
    "emlearn, search": partial(GaussianMixtureEM, init_params="search"),
    "scikit-learn": GaussianMixture,
}


def judge(method, X, classes, n_components, covariance_type, seed):
    """Log-likelihood a row of a quarter of the rows, ARI, and whether a component is small."""
    order = np.random.default_rng(seed).permutation(len(X))
    fitted, left = np.split(order, [3 * len(X) // 4])
    mixture = method(n_components, covariance_type=covariance_type, random_state=seed)
    mixture.fit(X[fitted])
    small = len(fitted) * mixture.weights_.min() <= X.shape[1] + 2
    return mixture.score(X[left]), adjusted_rand_score(classes, mixture.predict(X)), small


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two splits of the smaller sets")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--covariance-type", default="full")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    n_splits = 2 if arguments.quick else arguments.splits
    print("| |" + "".join(f" {name} | ARI | small |" for name in METHODS))
    print("|---|" + "---|---|---|" * len(METHODS))
    with threadpool_limits(1):
        for problem in PROBLEMS:
            if arguments.quick and not problem.quick:
                continue
            X, classes = problem.rows()
            line = f"| {problem.name} |"
            for method in METHODS.values():
                found = np.array(
                    [
                        judge(
                            method,
                            X,
                            classes,
                            problem.n_components,
                            arguments.covariance_type,
                            seed,
                        )
                        for seed in range(n_splits)
                    ]
                )
                score, agreement, small = found.mean(axis=0)
                line += f" {score:.3f} | {agreement:.2f} | {round(small * n_splits)} |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
