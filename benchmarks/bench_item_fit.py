"""How often tests of fit reject a model that holds, at the level of 5 %, in simulated studies.

    python benchmarks/bench_item_fit.py [--studies 500] [--persons 1000] [--items 10] [--jobs 2]

Each study draws persons from a standard normal trait and answers from one model, fits this model by
maximum likelihood, and tests the fit. Discriminations are uniform from 0.8 to 2, difficulties
standard normal; graded and partial credit items have three categories.

S-X2, LD-X2 and DIF are tests of each item or pair: their share is of all items or pairs of all
studies. M2 (C2 for three categories) is one test for each study. DIF divides the persons into two
groups by a coin and tests the first item. The last column is the share of persons with l_z* below
-1.645, at the parameters of the study. Beside each share is its standard error, from the spread
between studies.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from joblib import Parallel, delayed

from emlearn import ItemResponseEM
from emlearn.irt import (
    differential_functioning,
    item_fit,
    local_dependence,
    model_fit,
    person_fit,
)

LEVEL = 0.05
MODELS = ("1pl", "2pl", "3pl", "grm", "gpcm")
COLUMNS = ("S-X2", "M2", "LD-X2", "DIF", "l_z*")


def truth(model, n_items, seed):
    rng = np.random.default_rng(seed)
    slopes = 1.3 if model == "1pl" else rng.uniform(0.8, 2.0, n_items)
    if model in ("grm", "gpcm"):
        thresholds = np.sort(rng.normal(size=(n_items, 2)), axis=1) + np.array([-0.3, 0.3])
        return ItemResponseEM.from_parameters(slopes, thresholds, model=model, random_state=seed)
    guessing = np.full(n_items, 0.2) if model == "3pl" else None
    return ItemResponseEM.from_parameters(
        slopes, rng.normal(size=n_items), guessing=guessing, model=model, random_state=seed
    )


def study(model, n_persons, n_items, seed):
    """Shares of rejections of each test."""
    X, _ = truth(model, n_items, seed).sample(n_persons)
    fitted = ItemResponseEM(model, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.fit(X)
        groups = np.random.default_rng(seed).integers(0, 2, n_persons)
        dif = differential_functioning(fitted, X, groups, items=[0]).p_value[0]
    above = np.triu_indices(n_items, 1)
    items = item_fit(fitted, X)
    return (
        np.mean(items.p_value[items.df > 0] < LEVEL),
        model_fit(fitted, X).p_value < LEVEL,
        np.mean(local_dependence(fitted, X).p_value[above] < LEVEL),
        dif < LEVEL,
        np.mean(person_fit(fitted, X).lz_star < -1.645),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--persons", type=int, default=1000)
    parser.add_argument("--items", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    options = parser.parse_args()
    print(f"{options.studies} studies of {options.persons} persons and {options.items} items")
    print("model  " + "".join(f"{name:>16}" for name in COLUMNS) + "    seconds")
    for model in options.models:
        begin = time.perf_counter()
        found = np.array(
            Parallel(n_jobs=options.jobs)(
                delayed(study)(model, options.persons, options.items, seed)
                for seed in range(options.studies)
            ),
            dtype=float,
        )
        error = found.std(axis=0) / np.sqrt(len(found))
        cells = [f"{m:8.3f} ({e:.3f})" for m, e in zip(found.mean(axis=0), error, strict=True)]
        spent = time.perf_counter() - begin
        print(f"{model:6} " + "".join(f"{cell:>16}" for cell in cells) + f"{spent:11.0f}")


if __name__ == "__main__":
    main()
