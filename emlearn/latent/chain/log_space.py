"""Hidden Markov chains in log space, in numpy: slower, but without underflow.

The recursions pass through time once, for all sequences together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent.chain.sequences import Sequences

Array = NDArray[Any]


def log_of(probability: Array) -> Array:
    """Logarithms of probabilities; -inf for 0."""
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
    """`emlearn.latent.chain.scaled.forward_backward_scaled` for log-densities.

    Parameters
    ----------
    joint : ndarray of shape (n_rows, n_states)
        Log-densities without NaN and +inf. Overwritten by the posterior probabilities of the
        states times the weight of the sequence, which are 0 for an impossible sequence.
    sequences, start, transition, weight
        As for that function.

    Returns
    -------
    log_likelihood : ndarray of shape (n_sequences,)
        -inf for an impossible sequence.
    xi : ndarray of shape (n_sequences, n_states, n_states)
        Expected numbers of transitions, times the weight.
    """
    packed = sequences.packed
    order = packed.order
    x = joint[packed.rows]
    move = log_of(transition)
    alpha = np.empty_like(x)
    # `shift` is subtracted to keep the numbers near 0, where they have the most digits.
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
            joint_pair = np.exp(alpha[past][:n, :, None] + both)
            xi[:n] += joint_pair * factor[:n, None, None]
            beta[:n] = _log_sum(both, axis=2)
    joint[packed.rows] = alpha
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return value[back], xi[back]
