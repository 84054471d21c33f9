"""Hidden Markov chains in logarithms, in numpy: slower, and nothing is lost.

The recursions go through time once, for all sequences together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent.chain.sequences import Sequences

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


def forward_backward_log(
    joint: Array, sequences: Sequences, start: Array, transition: Array, weight: Array
) -> tuple[Array, Array]:
    """As `emlearn.latent.chain.scaled.forward_backward_scaled`, of log-densities.

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
    xi : ndarray of shape (n_sequences, n_states, n_states)
        Expected numbers of transitions times the weight.
    """
    packed = sequences.packed
    order = packed.order
    x = joint[packed.rows]
    move = log_of(transition)
    alpha = np.empty_like(x)
    # Numbers stay about 0, which keeps their digits: `shift` is what was subtracted.
    shift = np.zeros(len(x))
    value = np.zeros(len(order))
    before = slice(0, 0)
    for t, now in enumerate(packed.steps):
        if t == 0:
            alpha[now] = log_of(start)
        else:
            n = now.stop - now.start
            alpha[now] = _log_sum(alpha[before][:n, :, None] + move, axis=1)
        alpha[now] += x[now]
        largest = alpha[now].max(axis=1)
        value[: len(largest)] += largest
        shift[now] = np.where(largest > -np.inf, largest, 0.0)
        alpha[now] -= shift[now, None]
        before = now
    total = _log_sum(alpha[packed.last], axis=1)
    value += total
    possible = value > -np.inf
    beta = np.where(possible, -total, 0.0)[:, None] * np.ones(len(start))
    xi = np.zeros((len(order), *transition.shape))
    factor = weight[order] * possible
    for t in range(len(packed.steps) - 1, -1, -1):
        now = packed.steps[t]
        n = now.stop - now.start
        beta_emission = x[now] + beta[:n] - shift[now, None]
        alpha[now] = np.exp(alpha[now] + beta[:n]) * factor[:n, None]
        if t > 0:
            past = packed.steps[t - 1]
            both = move + beta_emission[:, None, :]
            pair = np.exp(alpha[past][:n, :, None] + both)
            xi[:n] += pair * factor[:n, None, None]
            beta[:n] = _log_sum(both, axis=2)
    joint[packed.rows] = alpha
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return value[back], xi[back]
