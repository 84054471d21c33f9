"""Hidden Markov chains in logarithms, in numpy: slower, and nothing is lost.

The recursions go through time once, for all sequences together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.hmm._sequences import Sequences

Array = NDArray[Any]


def log_of(probability: Array) -> Array:
    """Logarithms of probabilities, -inf of 0."""
    result = np.full(probability.shape, -np.inf)
    np.log(probability, out=result, where=probability > 0.0)
    return result


def _log_sum(values: Array, axis: int) -> Array:
    largest = values.max(axis=axis, keepdims=True)
    largest[largest == -np.inf] = 0.0
    total = np.exp(values - largest).sum(axis=axis)
    return log_of(total) + np.squeeze(largest, axis)


def smooth_careful(
    joint: Array, sequences: Sequences, start: Array, transition: Array, weight: Array
) -> tuple[Array, Array]:
    """As `emlearn.hmm._scaled.smooth_scaled`, of log-densities.

    Parameters
    ----------
    joint : ndarray of shape (n_rows, n_states)
        Log-densities, none of them NaN or +inf; overwritten by the smoothed probabilities
        times the weight of the sequence. Those of an impossible sequence are 0.
    sequences, start, transition, weight
        See there.

    Returns
    -------
    log_likelihood : ndarray of shape (n_sequences,)
        -inf for an impossible sequence.
    pairs : ndarray of shape (n_sequences, n_states, n_states)
        Expected numbers of transitions times the weight.
    """
    packed = sequences.packed
    order = packed.order
    x = joint[packed.rows]
    move = log_of(transition)
    state = np.empty_like(x)
    # Numbers stay about 0, which keeps their digits: `shift` is what was subtracted.
    shift = np.zeros(len(x))
    value = np.zeros(len(order))
    before = slice(0, 0)
    for t, now in enumerate(packed.steps):
        if t == 0:
            state[now] = log_of(start)
        else:
            n = now.stop - now.start
            state[now] = _log_sum(state[before][:n, :, None] + move, axis=1)
        state[now] += x[now]
        largest = state[now].max(axis=1)
        value[: len(largest)] += largest
        shift[now] = np.where(largest > -np.inf, largest, 0.0)
        state[now] -= shift[now, None]
        before = now
    total = _log_sum(state[packed.last], axis=1)
    value += total
    possible = value > -np.inf
    later = np.where(possible, -total, 0.0)[:, None] * np.ones(len(start))
    pairs = np.zeros((len(order), *transition.shape))
    factor = weight[order] * possible
    for t in range(len(packed.steps) - 1, -1, -1):
        now = packed.steps[t]
        n = now.stop - now.start
        ahead = x[now] + later[:n] - shift[now, None]
        state[now] = np.exp(state[now] + later[:n]) * factor[:n, None]
        if t > 0:
            past = packed.steps[t - 1]
            both = move + ahead[:, None, :]
            pair = np.exp(state[past][:n, :, None] + both)
            pairs[:n] += pair * factor[:n, None, None]
            later[:n] = _log_sum(both, axis=2)
    joint[packed.rows] = state
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return value[back], pairs[back]
