"""Where mixtures of items, counts, documents and mixed tables start.

    python benchmarks/bench_class_starts.py [--seeds 3] [--sets WORD]

How far the objectives (log-likelihood + log prior) of some seeds are below the best that any way
of starting found, beside E-steps and processor time of a fit: the race of the default, the search
from short runs, and repeated single starts. Seeds and data sets are the same for all. E-steps on
parts of large data are not counted. E-steps and times are geometric means.
"""

import argparse
import time
import warnings
from collections import defaultdict

import numpy as np
from _class_sets import problems

from emlearn import FiniteMixtureEM

WAYS = {
    "race": {},
    "race, n_init=5": {"n_init": 5},
    "search": {"init_params": "search"},
    "search, n_init=5": {"init_params": "search", "n_init": 5},
    "rows, n_init=10": {"init_params": "rows", "n_init": 10},
}


def fit(problem, X, seed, settings):
    """Objective, E-steps and milliseconds."""
    begin = time.process_time()
    model = FiniteMixtureEM(
        problem.n_components, family=problem.family, random_state=seed, **settings
    ).fit(X)
    spent = 1e3 * (time.process_time() - begin)
    n_e_steps = sum(restart.n_e_steps for restart in model.restarts_)
    return float(model.history_["objective"][-1]), n_e_steps, spent


def compare(problem, n_seeds):
    """For each way: an array of gaps, E-steps and milliseconds, one line for each fit."""
    found = {way: [] for way in WAYS}
    for number in range(problem.n_sets):
        # The kinds of starts were chosen looking at other rows, with seeds from 0 on.
        X = problem.rows(np.random.default_rng(100 + number))
        own = {
            way: np.array([fit(problem, X, seed, settings) for seed in range(n_seeds)])
            for way, settings in WAYS.items()
        }
        best = max(values[:, 0].max() for values in own.values())
        for way, values in own.items():
            values[:, 0] = best - values[:, 0]
            found[way].extend(values)
    return {way: np.array(values) for way, values in found.items()}


def line(way, values):
    gap, n_e_steps, spent = values.T
    return (
        f"{way:18} {gap.mean():9.2f} {gap.max():9.2f} {np.mean(gap < 0.5):6.2f} "
        f"{np.exp(np.log(n_e_steps).mean()):8.0f} {np.exp(np.log(spent).mean()):8.1f}"
    )


def main():
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", default="", help="a word in the names of the data sets")
    options = parser.parse_args()
    groups = defaultdict(lambda: defaultdict(list))
    heading = f"{'':18} {'mean gap':>9} {'worst':>9} {'< 0.5':>6} {'E-steps':>8} {'ms':>8}"
    for problem in problems():
        if options.sets not in f"{problem.group} {problem.name}":
            continue
        print(f"\n{problem.group}: {problem.name}\n{heading}", flush=True)
        for way, values in compare(problem, options.seeds).items():
            print(line(way, values), flush=True)
            groups[problem.group][way].append(values)
            groups["all"][way].append(values)
    for group, ways in groups.items():
        print(f"\n{group}\n{heading}")
        for way, values in ways.items():
            print(line(way, np.concatenate(values)))


if __name__ == "__main__":
    main()
