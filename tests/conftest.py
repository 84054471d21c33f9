"""What the tests of all folders share."""

import itertools
import json
import os
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
from scipy.special import logsumexp

# Plots are drawn without a screen. This has to be said before matplotlib is imported.
os.environ.setdefault("MPLBACKEND", "Agg")

# No deadline: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("emlearn", deadline=None, max_examples=50)
hypothesis.settings.register_profile(
    "emlearn-ci",
    hypothesis.settings.get_profile("emlearn"),
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("emlearn-ci" if os.environ.get("CI") else "emlearn")

REFERENCE = Path(__file__).parent / "reference"


def pytest_report_header():
    import joblib
    import numpy
    import scipy
    import sklearn

    import emlearn
    from emlearn.kernels import compiled

    built = "no kernels" if compiled is None else f"kernels {compiled.__name__.rpartition('_')[2]}"
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (numpy, scipy, sklearn, joblib))
    return (
        f"emlearn {emlearn.__version__} from {Path(emlearn.__file__).parent}, {built}, {versions}"
    )


@pytest.fixture(scope="session")
def reference():
    """Function that loads published values by name: `reference("galaxies")["data"]`.

    A missing value is None; `np.array(data, dtype=float)` makes it NaN.
    """

    def load(name):
        return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))

    return load


# ---- Markov chains, path by path and step by step ---------------------------------------


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
    monkeypatch.setattr("emlearn.latent.chain.recursions.compiled", kernels)


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
