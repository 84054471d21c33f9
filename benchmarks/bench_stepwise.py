"""Stepwise EM against the exact fit and scikit-learn's mini-batch k-means, with and without drift.

For several data sets and seeds: rows come in batches of 500. Printed are the mean log-likelihood of
rows held out, less that of the exact fit to all rows that came (nats a row, higher is better), for
each exponent; then the time of one pass, beside that of the exact fit and of one pass of
`MiniBatchKMeans`; then the same rows in calls of other sizes; then the log-likelihood of each next
batch while the centers move; then the imputer. Run with::

    python benchmarks/bench_stepwise.py
    python benchmarks/bench_stepwise.py compare --problems "2 columns" iris wine
    python benchmarks/bench_stepwise.py calls drift impute
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM, MissingDataImputerEM
from emlearn.engine import StepwisePlan

BATCH = 500
EXPONENTS = (0.6, 0.7, 0.8, 0.9, 1.0)
Maker = Callable[[np.random.Generator, int], np.ndarray]


def clusters(d: int, K: int, distance: float) -> Maker:
    """Clusters whose centers are a distance apart."""

    def make(rng: np.random.Generator, n: int) -> np.ndarray:
        own = np.random.default_rng(d * K)
        centers = own.normal(size=(K, d)) * distance / np.sqrt(2.0 * d)
        scales = own.uniform(0.5, 1.5, (K, d))
        labels = rng.choice(K, n, p=own.dirichlet(np.full(K, 3.0)))
        return centers[labels] + scales[labels] * rng.normal(size=(n, d))

    return make


def resampled(X: np.ndarray) -> Maker:
    """Rows of a real table, drawn again with a little noise."""
    scale = X.std(axis=0)

    def make(rng: np.random.Generator, n: int) -> np.ndarray:
        rows = X[rng.integers(len(X), size=n)]
        return rows + 0.3 * scale * rng.normal(size=rows.shape)

    return make


def problems() -> dict[str, tuple[Maker, int]]:
    """Data sets, and numbers of components."""
    # Few enough columns that most of the rows come after the burn-in.
    digits = PCA(12, random_state=0).fit_transform(load_digits().data)
    return {
        "2 columns, 3 apart": (clusters(2, 3, 6.0), 3),
        "2 columns, overlapping": (clusters(2, 3, 2.5), 3),
        "10 columns, 8 apart": (clusters(10, 8, 6.0), 8),
        "10 columns, overlapping": (clusters(10, 5, 3.0), 5),
        "50 columns": (clusters(50, 4, 6.0), 4),
        "iris": (resampled(load_iris().data), 3),
        "wine": (resampled(load_wine().data), 3),
        "digits, 12 components": (resampled(digits), 6),
    }


def streamed(estimator: object, rows: np.ndarray, size: int = BATCH) -> float:
    """Seconds of one pass."""
    start = time.perf_counter()
    for first in range(0, len(rows), size):
        estimator.partial_fit(rows[first : first + size])
    return time.perf_counter() - start


def compare(n_rows: int, seeds: range, chosen: list[str]) -> None:
    """Held-out log-likelihood by exponent, and times: the best of several."""
    print(
        f"\nHeld out, less the exact fit (nats a row), {n_rows} rows, worst of {len(seeds)} seeds"
    )
    heads = [f"{kappa:g}" for kappa in EXPONENTS] + ["average .6", "average .8"]
    print(f"{'':26}" + "".join(f"{head:>11}" for head in heads) + f"{'pass/fit':>10}{'pass/km':>9}")
    plans = [StepwisePlan(kappa) for kappa in EXPONENTS]
    plans += [StepwisePlan(0.6, average=True), StepwisePlan(0.8, average=True)]
    worst = np.zeros(len(plans))
    for name, (make, K) in problems().items():
        if chosen and not name.startswith(tuple(chosen)):
            continue
        gaps, ratios = [], []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            rows, held_out = make(rng, n_rows), make(rng, 5000)
            start = time.perf_counter()
            exact = GaussianMixtureEM(K, random_state=seed).fit(rows)
            fit_seconds, target = time.perf_counter() - start, exact.score(held_out)
            own, times = [], []
            for plan in plans:
                mixture = GaussianMixtureEM(K, random_state=seed, stepwise=plan)
                times.append(streamed(mixture, rows))
                own.append(mixture.score(held_out) - target)
            with threadpool_limits(1):
                kmeans = min(
                    streamed(MiniBatchKMeans(K, random_state=seed), rows) for _ in range(5)
                )
            # The exponent does not change the work.
            seconds = min(times)
            gaps.append(own)
            ratios.append((seconds / fit_seconds, seconds / kmeans))
        least = np.min(gaps, axis=0)
        worst = np.minimum(worst, least)
        ratio = np.median(ratios, axis=0)
        print(
            f"{name:26}"
            + "".join(f"{gap:11.4f}" for gap in least)
            + f"{ratio[0]:10.2f}{ratio[1]:9.2f}",
            flush=True,
        )
    print(f"{'worst':26}" + "".join(f"{gap:11.4f}" for gap in worst))


def other_calls(n_rows: int, seeds: range) -> None:
    """Held-out log-likelihood of the same rows in calls of other sizes."""
    sizes = (n_rows, 1000, 200, 50)
    print(
        f"\nThe same {n_rows} rows in calls of other sizes: held out, less the exact fit, worst of"
    )
    print(f"{len(seeds)} seeds (with a single call, it is the exact fit)")
    print(f"{'':26}" + "".join(f"{size:>11}" for size in sizes))
    for name in ("2 columns, 3 apart", "2 columns, overlapping", "iris"):
        make, K = problems()[name]
        gaps = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            rows, held_out = make(rng, n_rows), make(rng, 5000)
            target = GaussianMixtureEM(K, random_state=seed).fit(rows).score(held_out)
            own = []
            for size in sizes:
                mixture = GaussianMixtureEM(K, random_state=seed)
                streamed(mixture, rows, size)
                own.append(mixture.score(held_out) - target)
            gaps.append(own)
        print(f"{name:26}" + "".join(f"{gap:11.4f}" for gap in np.min(gaps, axis=0)), flush=True)


def follow_drift() -> None:
    """Log-likelihood of each next batch while the centers move."""
    print(
        "\nCenters that move by 6 standard deviations over 200 batches: mean log-likelihood of the"
    )
    print("next batch, before it is learned (nats a row)")
    rng = np.random.default_rng(0)
    batches = [
        rng.normal(size=(BATCH, 2))
        + np.array([[0.0, 0.0], [5.0, 0.0]])[rng.integers(2, size=BATCH)]
        + [0.0, 0.03 * t]
        for t in range(200)
    ]
    for label, plan in (
        ("no memory", StepwisePlan()),
        ("memory=20000", StepwisePlan(memory=20_000)),
        ("memory=5000", StepwisePlan(memory=5_000)),
        ("memory=1000", StepwisePlan(memory=1_000)),
    ):
        mixture = GaussianMixtureEM(2, random_state=0, stepwise=plan)
        scores = []
        for t, batch in enumerate(batches):
            if t >= 20:
                scores.append(mixture.score(batch))
            mixture.partial_fit(batch)
        print(f"{label:26}{np.mean(scores):11.4f}")
    exact = [
        GaussianMixtureEM(2, random_state=0).fit(np.concatenate(batches[:t])).score(batches[t])
        for t in range(20, 200, 20)
    ]
    print(f"{'exact fit to all so far':26}{np.mean(exact):11.4f}")


def impute() -> None:
    """One pass of the imputer against the exact fit."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50_000, 8)) @ rng.normal(size=(8, 8))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    start = time.perf_counter()
    exact = MissingDataImputerEM().fit(rows)
    fit_seconds = time.perf_counter() - start
    print(
        "\nImputer, 20 % missing: log-likelihood less the exact fit (nats a row), pass / fit time"
    )
    for kappa in EXPONENTS:
        imputer = MissingDataImputerEM(stepwise=StepwisePlan(kappa))
        seconds = streamed(imputer, rows)
        gap = imputer.score(rows) - exact.score(rows)
        print(f"{kappa:<26}{gap:11.6f}{seconds / fit_seconds:10.2f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["compare", "calls", "drift", "impute"])
    parser.add_argument("--problems", nargs="*", default=[], help="how their names begin")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if "compare" in arguments.parts:
        compare(20_000, range(2), arguments.problems)
    if "calls" in arguments.parts:
        other_calls(20_000, range(2))
    if "drift" in arguments.parts:
        follow_drift()
    if "impute" in arguments.parts:
        impute()


if __name__ == "__main__":
    main()
