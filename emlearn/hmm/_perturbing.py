"""Changes of a hidden Markov model from which EM may reach a better optimum.

What a poor optimum has wrong mostly is one state where two are needed, and two where one
would do. So a light state is taken away, and a heavy one is split in two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.distributions._labels import in_upper_half
from emlearn.hmm._data import SequenceData
from emlearn.hmm._sequences import Sequences
from emlearn.hmm._start import around
from emlearn.kernels.softmax import to_responsibilities

Array = NDArray[Any]

# Share of a row that goes to one side of a split. Not all of it: with maximum likelihood what
# a state has never seen it excludes for ever.
_MOST = 0.9


def split_state(
    data: SequenceData, family: Family, density: Array, smoothed: Array, rng: np.random.Generator
) -> Array | None:
    """Responsibilities, times weight, after one state was taken away and another split.

    The one is a light state by preference, the other a heavy one. It is split by a few
    rows in a row of its own, drawn at random: the half of its rows that a state around
    these explains best is given to the state that was taken away.

    Parameters
    ----------
    data : SequenceData
        The sequences.
    family : Family
        Family of the emissions.
    density : ndarray of shape (n_states, n_rows)
        Log-densities of the rows.
    smoothed : ndarray of shape (n_states, n_rows)
        Smoothed probabilities, times the weights of the rows.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    changed : ndarray of shape (n_states, n_rows) or None
        None if a row has no density without the state that was to be taken away.
    """
    weight = data.row_weight
    visits = smoothed.sum(axis=1) + 1e-3 * weight.sum()
    moved = int(rng.choice(len(visits), p=(1.0 / visits) / (1.0 / visits).sum()))
    # What the state had goes to the others, by what they would make of it as a mixture.
    others = density + np.log(visits)[:, None]
    others[moved] = -np.inf
    if not np.isfinite(others.max(axis=0)).all():
        return None
    to_responsibilities(others, np.ascontiguousarray(smoothed[moved]))
    changed = smoothed + others
    changed[moved] = 0.0
    home = changed.argmax(axis=0)
    chance = weight * np.bincount(home, weight)[home]
    center = int(rng.choice(len(home), p=chance / chance.sum()))
    split = home[center]
    share = around(center, data, 1) * weight
    params = family.start(data.rows, share[None], data.column_spec, rng)
    near = np.zeros((1, len(weight)))
    family.log_density(data.rows, family.precompute(params, data.column_spec), near)
    upper = in_upper_half(near[0] - density[split], changed[split])
    changed[moved] = changed[split] * np.where(upper, _MOST, 1.0 - _MOST)
    changed[split] -= changed[moved]
    return changed


def count_moves(responsibilities: Array, sequences: Sequences) -> tuple[Array, Array]:
    """Starts and transitions, as if the states of neighbouring rows were independent."""
    start = responsibilities[:, sequences.first].sum(axis=1)
    inner = np.ones(sequences.n_rows, bool)
    inner[sequences.first] = False
    after = np.flatnonzero(inner)
    share = responsibilities[:, after - 1] / responsibilities[:, after - 1].sum(axis=0)
    return start, share @ responsibilities[:, after].T
