"""Hidden Markov models with default settings: hmmlearn."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from bench_default_fit import HELD_UP
from bench_hmm import chains
from bench_hmm_starts import REFERENCE, simulate
from threadpoolctl import threadpool_limits

from emlearn import HiddenMarkovEM
from emlearn.datasets import load_old_faithful
from peers import _optima
from peers._registry import Record, Settings, Subject, python_peer
from peers._tables import prose


class Problem(NamedTuple):
    """A sequence, or several of equal length, and the model to be fitted."""

    name: str
    rows: Callable[[], np.ndarray]
    n_states: int
    family: str = "gaussian"
    length: int | None = None

    def lengths(self, X):
        return None if self.length is None else [self.length] * (len(X) // self.length)


def earthquakes():
    return np.array(json.loads(REFERENCE.read_text())["counts"])[:, None]


def lasting(n_states, probability):
    """Transition probabilities of states that last."""
    other = (1.0 - probability) / (n_states - 1)
    return np.full((n_states, n_states), other) + (probability - other) * np.eye(n_states)


def simulated(seed, transmat, n, d, distance):
    return lambda: simulate(transmat, n, d, distance, np.random.default_rng(seed))


def short(n_states, d, n_sequences, length):
    lengths = np.full(n_sequences, length)
    return lambda: chains(1, lengths, n_states, d)[0]


ALTERNATING = np.array([[0.1, 0.9], [0.85, 0.15]])
PROBLEMS = [
    Problem("earthquakes, 3 states", earthquakes, 3, "poisson"),
    Problem("earthquakes, 4 states", earthquakes, 4, "poisson"),
    Problem("Old Faithful, 2 states", lambda: load_old_faithful().data, 2),
    Problem("Old Faithful, 3 states", lambda: load_old_faithful().data, 3),
    Problem("lasting, 3 states, 1 column", simulated(0, lasting(3, 0.96), 1000, 1, 2.0), 3),
    Problem("alternating, 2 states, 1 column", simulated(1, ALTERNATING, 800, 1, 1.0), 2),
    Problem("4 states, 8 columns", simulated(2, lasting(4, 0.7), 600, 8, 10.0), 4),
    Problem("4 states, 20 columns", simulated(3, lasting(4, 0.7), 600, 20, 10.0), 4),
    Problem("6 states, 2 columns", simulated(4, lasting(6, 0.9), 2000, 2, 4.0), 6),
    Problem("60 sequences of 10", short(4, 3, 60, 10), 4, length=10),
    Problem("20 sequences of 100", short(4, 3, 20, 100), 4, length=100),
]
QUICK = ("earthquakes, 3 states", "alternating, 2 states, 1 column")


def fit_ours(problem, X, seed, n_init):
    model = HiddenMarkovEM(
        problem.n_states, family=problem.family, n_init=n_init, random_state=seed
    )
    return model.fit(X, lengths=problem.lengths(X))


def fit_hmmlearn(problem, X, seed, n_init, **settings):
    """The best of several fits: hmmlearn has no number of starts."""
    from hmmlearn.hmm import GaussianHMM, PoissonHMM

    make = {
        "gaussian": partial(GaussianHMM, covariance_type="full"),
        "poisson": PoissonHMM,
    }[problem.family]
    lengths = problem.lengths(X)
    models = [
        make(problem.n_states, random_state=n_init * seed + i, **settings).fit(X, lengths)
        for i in range(n_init)
    ]
    return max(models, key=lambda model: model.score(X, lengths))


METHODS = {
    "emlearn": partial(fit_ours, n_init=1),
    "emlearn, n_init=10": partial(fit_ours, n_init=10),
    "hmmlearn": partial(fit_hmmlearn, n_init=1),
    "hmmlearn, best of 10, n_iter=100": partial(fit_hmmlearn, n_init=10, n_iter=100),
}
PAIRS = [
    ("emlearn", "hmmlearn"),
    ("emlearn", "hmmlearn, best of 10, n_iter=100"),
    ("emlearn, n_init=10", "hmmlearn, best of 10, n_iter=100"),
]


NOTE = prose(
    "Gaussian states have full covariances. By default hmmlearn makes up to ten iterations from",
    "one start, and has a weak prior of the covariances. It has no number of starts, so the best",
    "of ten fits with up to 100 iterations is shown, too.",
)


def is_sound(problem, model, X):
    """Whether all states have enough rows, and no covariance matrix is nearly singular."""
    counts = model.predict_proba(X, lengths=problem.lengths(X)).sum(axis=0)
    if problem.family != "gaussian":
        return bool(counts.min() >= 3)
    covariances = getattr(model, "covars_", None)
    if covariances is None:
        covariances = model.covariances_
    held = [np.diagonal(np.linalg.inv(own)) @ (1e-6 * X.var(axis=0)) for own in covariances]
    return bool(counts.min() >= 3 * (X.shape[1] + 1) and max(held) <= HELD_UP)


def measure(settings: Settings) -> Iterator[Record]:
    logging.getLogger("hmmlearn").setLevel(logging.CRITICAL)
    chosen = [p for p in PROBLEMS if not settings.quick or p.name in QUICK]
    seeds = 1 if settings.quick else 2
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for problem in chosen:
            X = problem.rows()
            for name, fit in METHODS.items():
                if name.startswith("hmmlearn") and "hmmlearn" not in settings.peers:
                    continue
                for seed in range(seeds):
                    own = {"problem": problem.name, "method": name, "seed": seed}
                    begin = time.process_time()
                    try:
                        model = fit(problem, X, seed)
                    except (ValueError, np.linalg.LinAlgError) as error:
                        yield own | {"failed": str(error)}
                        continue
                    spent = time.process_time() - begin
                    yield own | {
                        "log_likelihood": score(problem, model, X),
                        "sound": is_sound(problem, model, X),
                        "seconds": spent,
                    }


def score(problem, model, X):
    """Log-likelihood of all sequences: hmmlearn scores the sum, we the mean of a row."""
    if isinstance(model, HiddenMarkovEM):
        return float(model.log_likelihood_)
    return float(model.score(X, problem.lengths(X)))


SUBJECT = Subject(
    "markov_models",
    "Hidden Markov models",
    (python_peer("hmmlearn", "hmmlearn"),),
    measure,
    partial(_optima.report, pairs=PAIRS, note=NOTE),
    _optima.draw,
    "Left: the fraction of fits that end within so many nats of the best; right: the mean gap "
    "beside the time of a fit.",
)
