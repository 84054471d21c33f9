"""What the tests of hidden Markov models share: enumeration of all paths."""

import itertools
from importlib import import_module
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import logsumexp

from emlearn.hmm import _chain


class Enumerated(NamedTuple):
    """What follows from the sum over all paths through the states of one sequence."""

    smoothed: np.ndarray
    start: np.ndarray
    transition: np.ndarray
    log_likelihood: float
    best_score: float


def _enumerate_paths(joint, startprob, transmat):
    """All paths through the states, one by one; joint has shape (n_states, n_rows)."""
    n_states, n_rows = joint.shape
    with np.errstate(divide="ignore"):
        log_start, log_move = np.log(startprob), np.log(transmat)
    paths = np.array(list(itertools.product(range(n_states), repeat=n_rows)))
    score = log_start[paths[:, 0]] + joint[paths, np.arange(n_rows)].sum(axis=1)
    score += log_move[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    with np.errstate(divide="ignore"):
        log_likelihood = logsumexp(score)
    share = np.zeros(len(score))
    if log_likelihood > -np.inf:
        share = np.exp(score - log_likelihood)
    smoothed = np.stack([share @ (paths == k) for k in range(n_states)])
    transition = np.array(
        [
            [(share @ ((paths[:, :-1] == i) & (paths[:, 1:] == j))).sum() for j in range(n_states)]
            for i in range(n_states)
        ]
    )
    return Enumerated(smoothed, smoothed[:, 0], transition, log_likelihood, score.max())


@pytest.fixture(scope="session")
def enumerate_paths():
    """Function that sums over all paths: `enumerate_paths(joint, startprob, transmat)`."""
    return _enumerate_paths


@pytest.fixture(scope="session")
def draw_chains():
    """Function that draws states: `draw_chains(rng, lengths, startprob, transmat)`."""
    return _draw_chains


@pytest.fixture(params=["numpy", "base", "v3", "v4"])
def recursions(request, monkeypatch):
    """The tests that use it run in numpy and with the kernels of each instruction set."""
    kernels = None
    if request.param != "numpy":
        base = pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
        names = ["base", "v3", "v4"]
        if names.index(request.param) > names.index(base.level()):
            pytest.skip(f"this processor cannot run {request.param}")
        kernels = import_module(f"emlearn.kernels._{request.param}")
    monkeypatch.setattr(_chain, "compiled", kernels)


def _draw_chains(rng, lengths, startprob, transmat):
    """States of Markov chains, one sequence after another, one step at a time."""
    states = []
    for length in lengths:
        state = rng.choice(len(startprob), p=startprob)
        states.append(state)
        for _ in range(length - 1):
            state = rng.choice(len(startprob), p=transmat[state])
            states.append(state)
    return np.array(states)


@pytest.fixture(scope="session")
def gaussian_chains():
    """Rows of three Gaussian states in two columns: sequences of many lengths."""
    rng = np.random.default_rng(3)
    lengths = np.concatenate([[1, 1, 2, 40], rng.integers(1, 20, size=30)])
    transmat = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.25, 0.05, 0.7]])
    states = _draw_chains(rng, lengths, [0.5, 0.3, 0.2], transmat)
    means = np.array([[0.0, 0.0], [3.0, 1.0], [0.0, 4.0]])
    X = means[states] + rng.standard_normal((len(states), 2)) * [1.0, 0.7]
    return X, lengths, states
