"""Forward and backward recursions with scaling, in numpy.

They pass through time once, for all sequences together. If there are few long sequences, they
are cut into pieces first. The matrix that leads from each state at the start of a piece to each
state at its end is computed for all pieces side by side. Multiplying the probabilities along
each sequence by these matrices gives the probabilities at both ends of every piece. Then each
piece is treated as a sequence of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent.chain.sequences import Packed, Sequences

Array = NDArray[Any]

#: Underflow is harmless unless a factor exceeds this.
LARGEST_FACTOR = 1e200


def forward_backward_scaled(
    density: Array, sequences: Sequences, start: Array, transition: Array, weight: Array
) -> tuple[Array, Array]:
    """Posterior probabilities, by recursions in which numbers below 1e-308 underflow.

    A number that underflows would have been multiplied by the factors of the backward
    recursion. So it has no influence unless these are huge. If they are, the log-likelihood
    of the sequence is NaN, and its other results may be NaN as well.

    Parameters
    ----------
    density : ndarray of shape (n_rows, n_states)
        Densities relative to the largest of each row. Overwritten by the posterior
        probabilities of the states times the weight of the sequence.
    sequences : Sequences
        Which rows form sequences.
    start : ndarray of shape (n_states,)
        Probabilities of the first state.
    transition : ndarray of shape (n_states, n_states)
        Probabilities of the next state (column) given the last one (row).
    weight : ndarray of shape (n_sequences,)
        Weights of the sequences.

    Returns
    -------
    log_likelihood : ndarray of shape (n_sequences,)
        Relative to the largest densities of the rows. NaN if relevant numbers underflow.
    xi : ndarray of shape (n_sequences, n_states, n_states)
        Expected numbers of transitions, times the weight.
    """
    pieces, owner = sequences.cut()
    shape = (len(pieces), len(start))
    if pieces is sequences:
        head, tail = np.broadcast_to(start, shape), np.ones(shape)
        between = np.zeros((*shape, len(start)))
    else:
        head, tail, between = _ends(density, pieces, owner, start, transition, weight)
    log_likelihood, xi = _recur(density, pieces, head, tail, transition, weight[owner])
    xi = xi * transition + between
    if pieces is sequences:
        return log_likelihood, xi
    first = np.searchsorted(owner, np.arange(len(sequences)))
    return np.add.reduceat(log_likelihood, first), np.add.reduceat(xi, first)


def _recur(
    density: Array, sequences: Sequences, head: Array, tail: Array, transition: Array, weight: Array
) -> tuple[Array, Array]:
    """`forward_backward_scaled`, given probabilities at the start and factors at the end of each.

    The caller has to multiply the xi by the transition probabilities.
    """
    packed = sequences.packed
    order = packed.order
    emission = density[packed.rows]
    state = np.empty_like(emission)
    scale = np.ones(len(emission))
    before = slice(0, 0)
    for t, now in enumerate(packed.steps):
        if t == 0:
            state[now] = head[order] * emission[now]
        else:
            n = now.stop - now.start
            scale[now] = 1.0 / state[before][:n].sum(axis=1)
            np.matmul(state[before][:n], transition, out=state[now])
            state[now] *= emission[now]
            state[now] *= scale[now, None]
        before = now
    backward = tail[order]
    final = state[packed.last]
    total = np.einsum("sk,sk->s", final, backward)
    beta = (weight[order] / total)[:, None] * backward
    check = beta.sum(axis=1)
    xi = np.zeros((len(order), *transition.shape))
    for t in range(len(packed.steps) - 1, -1, -1):
        now = packed.steps[t]
        n = now.stop - now.start
        if t > 0:
            past = packed.steps[t - 1]
            factor = beta[:n] * scale[now, None]
            check[:n] += factor.sum(axis=1)
            factor *= emission[now]
            xi[:n] += state[past][:n, :, None] * factor[:, None, :]
            state[now] *= beta[:n]
            beta[:n] = factor @ transition.T
        else:
            state[now] *= beta
    check += beta.sum(axis=1)
    density[packed.rows] = state
    log_scale = np.zeros(len(order))
    np.add.at(log_scale, _sequence_of(packed), np.log(scale))
    # The likelihood of a piece given those before it does not depend on the factors at its end.
    value = np.log(final.sum(axis=1)) - log_scale
    value[~(check <= LARGEST_FACTOR * weight[order])] = np.nan
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return value[back], xi[back]


def _sequence_of(packed: Packed) -> Array:
    """Place in `packed.order` of the sequence of each row, in the order of time."""
    return np.concatenate([np.arange(now.stop - now.start) for now in packed.steps])


def _ends(
    density: Array,
    pieces: Sequences,
    owner: Array,
    start: Array,
    transition: Array,
    weight: Array,
) -> tuple[Array, Array, Array]:
    """Probabilities at the start of each piece, factors at its end, transitions after it."""
    matrix, log_size = _through(density, pieces, transition)
    n_pieces, n_states = len(pieces), len(start)
    # Relative to the largest row, so that only negligible numbers underflow.
    largest = log_size.max(axis=1, initial=-np.inf, where=np.isfinite(log_size), keepdims=True)
    through = matrix * np.exp(log_size - largest)[:, :, None]
    head, tail = np.empty((n_pieces, n_states)), np.ones((n_pieces, n_states))
    filtered, backward = np.empty((n_pieces, n_states)), np.ones((n_pieces, n_states))
    for p in range(n_pieces):
        is_first = p == 0 or owner[p] != owner[p - 1]
        head[p] = start if is_first else filtered[p - 1] @ transition
        filtered[p] = head[p] @ through[p]
        filtered[p] /= filtered[p].sum()
    for p in range(n_pieces - 1, -1, -1):
        if p + 1 < n_pieces and owner[p] == owner[p + 1]:
            tail[p] = transition @ backward[p + 1]
        backward[p] = through[p] @ tail[p]
        backward[p] /= head[p] @ backward[p]
    between = np.zeros((n_pieces, n_states, n_states))
    inner = np.flatnonzero(owner[1:] == owner[:-1])
    joint = filtered[inner, :, None] * transition * backward[inner + 1, None, :]
    between[inner] = joint * (weight[owner[inner]] / joint.sum(axis=(1, 2)))[:, None, None]
    return head, tail, between


def _through(density: Array, pieces: Sequences, transition: Array) -> tuple[Array, Array]:
    """Matrices from the first state of each piece to its last, normalized, and log row sums."""
    packed = pieces.packed
    n_states = len(transition)
    shape = (len(pieces), n_states, n_states)
    matrix = np.zeros(shape)
    matrix[:] = np.eye(n_states)
    size = np.ones((len(packed.steps), *shape[:2]))
    emission = density[packed.rows, None, :]
    for t, now in enumerate(packed.steps):
        n = now.stop - now.start
        moved = matrix[:n]
        if t > 0:
            # One matrix product for all pieces together.
            moved = (moved.reshape(-1, n_states) @ transition).reshape(moved.shape)
        moved = moved * emission[now]
        total = moved.sum(axis=2, out=size[t, :n])
        np.divide(moved, np.where(total > 0.0, total, 1.0)[:, :, None], out=matrix[:n])
    log_size = np.log(size).sum(axis=0)
    back = np.empty_like(packed.order)
    back[packed.order] = np.arange(len(packed.order))
    return matrix[back], log_size[back]
