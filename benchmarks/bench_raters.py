"""Raters: beside crowd-kit, ten million labels, and how the default prior was chosen.

    python benchmarks/bench_raters.py [--parts peer large prior] [--turns 5] [--labels 10000000]

peer    DawidSkene of crowd-kit and DawidSkeneEM without a prior and without acceleration, from the
        same votes and after the same number of EM steps: largest difference of a matrix, and
        the median ratio of the times of whole fits, which rivals make one after the other
large   seconds of a fit from a table of integers to the published classes, with the defaults, and
        GiB beyond the table at the peak (Linux), in a process of its own
prior   crowds of few labels: part of the items whose class is right, mean logarithm of the
        posterior of the right class, and error of the matrices (sum of absolute differences of a
        row, weighted by labels), for several priors and models of raters
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
from _measure import in_child, peak_beyond, seconds

from emlearn import DawidSkeneEM

SIZES = [(200, 20, 2, 3), (500, 50, 4, 3), (500, 30, 4, 5), (300, 40, 10, 5), (1000, 20, 3, 5)]
STRENGTHS = [(0.0, 0.7), *((s, a) for s in (1.0, 2.0, 4.0, 8.0) for a in (0.5, 0.7, 0.9))]
KINDS = ["full", "class_pooled", "homogeneous", "class_conditional", "one_coin"]


def even_table(n_labels, n_raters=1000, n_classes=5, per_item=10, low=0.4, high=0.9, seed=0):
    """Labels of raters of one accuracy each, as items, raters and labels; and the classes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(n_classes, size=n_labels // per_item)
    item = np.repeat(np.arange(len(classes)), per_item)
    rater = rng.integers(n_raters, size=len(item))
    right = rng.random(len(item)) < rng.uniform(low, high, n_raters)[rater]
    label = np.where(right, classes[item], rng.integers(n_classes, size=len(item)))
    return np.column_stack([item, rater, label]), classes


def peer(turns):
    try:
        import pandas as pd
        from crowdkit.aggregation import DawidSkene
    except ImportError:
        print("peer: crowd-kit is not installed")
        return
    print("peer: labels, raters, classes, steps; largest difference; seconds; ratio")
    for n_labels, n_raters, n_classes, per_item in (
        (3000, 30, 4, 3),
        (50_000, 200, 3, 5),
        (500_000, 1000, 5, 5),
    ):
        table, _ = even_table(n_labels, n_raters, n_classes, per_item, 0.3, 0.8)
        frame = pd.DataFrame(table, columns=["task", "worker", "label"])
        for n_iter in (10, 50):
            # It stops where the bound gains less than its tolerance, which is below all gains.
            rival = DawidSkene(n_iter=n_iter, tol=-np.inf)
            own = DawidSkeneEM(
                prior_strength=0.0, accelerate=None, tol=0.0, max_iter=n_iter, layout="long"
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs, ours = [], []
                for _ in range(turns if n_labels < 500_000 else min(turns, 2)):
                    theirs.append(seconds(lambda: rival.fit(frame)))  # noqa: B023  # called here
                    ours.append(seconds(lambda: own.fit(frame)))  # noqa: B023  # called here
            every = pd.MultiIndex.from_product([own.raters_, own.classes_])
            found = rival.errors_.reindex(every, fill_value=0.0)[list(own.classes_)].to_numpy()
            matrices = found.reshape(n_raters, n_classes, n_classes).transpose(0, 2, 1)
            difference = np.abs(matrices - own.confusion_matrices_).max()
            ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
            print(
                f"  {n_labels:7d} {n_raters:5d} {n_classes:2d} {n_iter:3d}   {difference:.1e}   "
                f"{statistics.median(theirs):7.3f} {statistics.median(ours):7.3f}   {ratio:6.1f}"
            )


def _fit_large(n_labels, per_item, low, high):
    def make():
        return even_table(n_labels, per_item=per_item, low=low, high=high)

    spent = []

    def fit(data):
        begin = time.perf_counter()
        model = DawidSkeneEM(layout="long").fit(data[0])
        spent.append(time.perf_counter() - begin)
        return model.n_iter_, model.converged_, float((model.labels_ == data[1]).mean())

    peak, (n_iter, converged, accuracy) = peak_beyond(make, fit)
    return spent[0], peak / 1024, n_iter, converged, accuracy


def large(n_labels):
    print("large: labels per item, accuracies; seconds, GiB, iterations, converged, right")
    for per_item, low, high in ((10, 0.4, 0.9), (5, 0.3, 0.8), (3, 0.3, 0.6)):
        found = in_child(_fit_large, n_labels, per_item, low, high)
        print(f"  {per_item:3d} {low:.1f}-{high:.1f}   " + "  ".join(f"{v:.4g}" for v in found))


def crowd(rng, n_items, n_raters, n_classes, per_item, accuracy, evenness, spread_evenly):
    """Table, classes, matrices and prevalence; one rater of ten guesses, and few give most labels.

    Accuracies are Beta(*accuracy): one for each rater, or for each class with uneven errors.
    """
    K = n_classes
    prevalence = rng.dirichlet(np.full(K, evenness))
    classes = rng.choice(K, n_items, p=prevalence)
    matrices = np.empty((n_raters, K, K))
    for r in range(n_raters):
        right = rng.beta(*accuracy, size=1 if spread_evenly else K) * np.ones(K)
        if rng.random() < 0.1:
            right = np.full(K, 1.0 / K)
        for j in range(K):
            wrong = np.full(K - 1, 1.0 / (K - 1))
            if not spread_evenly:
                wrong = rng.dirichlet(np.ones(K - 1))
            matrices[r, j] = np.insert(wrong * (1.0 - right[j]), j, right[j])
    activity = rng.pareto(1.5, n_raters) + 0.2
    rows = [
        (i, r, rng.choice(K, p=matrices[r, classes[i]]))
        for i in range(n_items)
        for r in rng.choice(n_raters, per_item, replace=False, p=activity / activity.sum())
    ]
    return np.array(rows), classes, matrices, prevalence


def prior(turns):
    cases = [
        (*size, accuracy, evenness, spread)
        for spread in (False, True)
        for size in SIZES
        for accuracy in ((7.0, 3.0), (5.0, 4.0))
        for evenness in (1.0, 5.0)
    ]
    settings = [{"prior_strength": s, "prior_accuracy": a} for s, a in STRENGTHS]
    settings += [{"confusion": kind} for kind in KINDS]
    settings += [{"confusion": "class_pooled", "pooling": n} for n in (3.0, 30.0)]
    settings += [{"prevalence_alpha": alpha} for alpha in (1.0, 10.0)]
    found = np.zeros((len(settings), 2, 3))
    majority = np.zeros(2)
    for c, case in enumerate(cases):
        for turn in range(turns):
            rng = np.random.default_rng(1000 * c + turn)
            table, classes, matrices, prevalence = crowd(rng, *case)
            n_items, K, spread = case[0], case[2], int(case[-1])
            votes = rng.random((n_items, K)) * 1e-6
            np.add.at(votes, (table[:, 0], table[:, 2]), 1.0)
            majority[spread] += (votes.argmax(axis=1) == classes).mean()
            for s, setting in enumerate(settings):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model = DawidSkeneEM(layout="long", classes=range(K), **setting).fit(table)
                p = model.label_probabilities_[np.arange(n_items), classes]
                off = np.abs(model.confusion_matrices_ - matrices[model.raters_]).sum(axis=2)
                found[s, spread] += (
                    (model.labels_ == classes).mean(),
                    np.log(np.maximum(p, 1e-6)).mean(),
                    np.average(off @ prevalence, weights=model.n_labels_),
                )
    n = turns * len(cases) / 2
    print(f"prior: {len(cases)} crowds, {turns} of each; raters with matrices, and with one coin")
    print(f"  {'majority':58s} {majority[0] / n:.3f}                 {majority[1] / n:.3f}")
    for setting, (uneven, even) in zip(settings, found / n, strict=True):
        numbers = "   ".join("{:.3f} {:7.3f} {:.3f}".format(*own) for own in (uneven, even))
        print(f"  {setting!s:58s} {numbers}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["peer", "large", "prior"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--labels", type=int, default=10_000_000)
    options = parser.parse_args()
    if "peer" in options.parts:
        peer(options.turns)
    if "large" in options.parts:
        large(options.labels)
    if "prior" in options.parts:
        prior(options.turns)


if __name__ == "__main__":
    main()
