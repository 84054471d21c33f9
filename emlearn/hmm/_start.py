"""Where EM starts for a hidden Markov model: responsibilities of the states.

Only the contract of a family is used, so that a new family needs no start of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emlearn.data import check_responsibilities
from emlearn.hmm._data import SequenceData

Array = NDArray[Any]

# Rows of a state that is drawn: so many before and after one of them, as states last.
_REACH = 2


class Draw(Protocol):
    """A strategy of initialisation."""

    def __call__(self, data: SequenceData, n_states: int, rng: np.random.Generator) -> Array:
        """Responsibilities (n_states, n_rows), without the weights of the rows."""
        ...


def around(center: int, data: SequenceData, n_states: int) -> Array:
    """Responsibilities of a state: by half the rows about one of them, by half all rows.

    The common half keeps the state from excluding what the few rows do not show, and
    makes its parameters exist in families where they are not enough.
    """
    weight = data.row_weight
    sequences = data.observed.sequences
    own = int(np.searchsorted(sequences.edges, center, side="right")) - 1
    begin = max(center - _REACH, int(sequences.first[own]))
    end = min(center + _REACH, int(sequences.last[own])) + 1
    share = np.full(len(weight), 0.5 / n_states)
    share[begin:end] += 0.5 / n_states * weight.sum() / weight[begin:end].sum()
    return share


@dataclass(frozen=True)
class RowsStart:
    """Each state starts about a few rows, drawn at random."""

    def __call__(self, data: SequenceData, n_states: int, rng: np.random.Generator) -> Array:
        """See `Draw`."""
        weight = data.row_weight
        centers = rng.choice(len(weight), n_states, p=weight / weight.sum())
        return np.stack([around(center, data, n_states) for center in centers])


@dataclass(frozen=True)
class RandomStart:
    """Random responsibilities: all states start near the average row."""

    def __call__(self, data: SequenceData, n_states: int, rng: np.random.Generator) -> Array:
        """See `Draw`."""
        responsibilities = rng.exponential(size=(n_states, data.observed.sequences.n_rows))
        return responsibilities / responsibilities.sum(axis=0)


@dataclass(frozen=True)
class GivenStart:
    """Responsibilities (n_samples, n_components) given by the user."""

    responsibilities: Array

    def __call__(self, data: SequenceData, n_states: int, rng: np.random.Generator) -> Array:
        """See `Draw`."""
        return self.responsibilities[data.given_rows].T


@dataclass(frozen=True)
class CallableStart:
    """Responsibilities from a function of the user's: ``function(X, n_components, rng)``."""

    function: Callable[[Any, int, np.random.Generator], Any]

    def __call__(self, data: SequenceData, n_states: int, rng: np.random.Generator) -> Array:
        """See `Draw`."""
        given = self.function(data.observed.X, n_states, rng)
        return check_responsibilities(given, (data.observed.sequences.n_rows, n_states)).T


STARTS: dict[str, Draw] = {"rows": RowsStart(), "random": RandomStart()}
#: Of what a search makes its short runs.
SEARCH_START: Draw = STARTS["rows"]
