"""Latent classes of items and answers, with default settings: StepMix."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
from _class_sets import problems
from threadpoolctl import threadpool_limits

from emlearn import FiniteMixtureEM
from peers import _optima
from peers._registry import Record, Settings, Subject, python_peer
from peers._tables import prose

#: The names of StepMix for our families.
MEASUREMENTS = {"categorical": "categorical", "bernoulli": "binary"}
QUICK = ("carcinoma, K = 3", "LSAT 6, K = 2")


def fit_ours(problem, X, seed, n_init):
    model = FiniteMixtureEM(
        problem.n_components, family=problem.family, n_init=n_init, random_state=seed
    ).fit(X)
    return float(model.log_likelihood_)


def fit_stepmix(problem, X, seed, n_init):
    from stepmix import StepMix

    holes = "_nan" if np.isnan(X).any() else ""
    model = StepMix(
        problem.n_components,
        measurement=MEASUREMENTS[problem.family] + holes,
        n_init=n_init,
        random_state=seed,
        verbose=0,
        progress_bar=0,
    ).fit(X)
    return float(model.score(X) * len(X))


METHODS = {
    "emlearn": partial(fit_ours, n_init=1),
    "emlearn, n_init=10": partial(fit_ours, n_init=10),
    "StepMix": partial(fit_stepmix, n_init=1),
    "StepMix, n_init=10": partial(fit_stepmix, n_init=10),
}
PAIRS = [
    ("emlearn", "StepMix"),
    ("emlearn, n_init=10", "StepMix, n_init=10"),
    ("emlearn", "StepMix, n_init=10"),
]
NOTE = prose(
    "Items with several levels, and answers that are yes or no, of benchmarks/_class_sets.py.",
    "emlearn maximizes the log-likelihood plus a weak log prior (alpha=0.01), StepMix the",
    "log-likelihood: so small gaps of emlearn are those of the prior.",
)
#: Problems with more entries are left out.
MOST_ENTRIES = 60_000
#: Seconds of one start of StepMix beyond which ten are not tried.
SLOW = 1.5


def chosen(quick):
    for problem in problems():
        if str(problem.family) in MEASUREMENTS and (not quick or problem.name in QUICK):
            # The same rows as in bench_class_starts.py.
            X = problem.rows(np.random.default_rng(100))
            if X.size <= MOST_ENTRIES:
                yield problem, X


def measure(settings: Settings) -> Iterator[Record]:
    seeds = 1 if settings.quick else 2
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for problem, X in chosen(settings.quick):
            spent = 0.0
            for name, fit in METHODS.items():
                if name.startswith("StepMix") and "StepMix" not in settings.peers:
                    continue
                own = {"problem": f"{problem.group}: {problem.name}", "method": name}
                if name == "StepMix, n_init=10" and spent > SLOW:
                    yield own | {"failed": f"not tried: one start takes {spent:.0f} s"}
                    continue
                for seed in range(seeds):
                    begin = time.process_time()
                    log_likelihood = fit(problem, X, seed)
                    spent = time.process_time() - begin
                    yield own | {
                        "seed": seed,
                        "log_likelihood": log_likelihood,
                        "sound": True,
                        "seconds": spent,
                    }


SUBJECT = Subject(
    "latent_classes",
    "Latent classes",
    (python_peer("StepMix", "stepmix"),),
    measure,
    partial(_optima.report, pairs=PAIRS, note=NOTE),
    _optima.draw,
    "Left: the fraction of fits that end within so many nats of the best; right: the mean gap "
    "beside the time of a fit.",
)
