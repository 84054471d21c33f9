"""Forward and backward recursions with scaling, in numpy.

They go through time once, for all sequences together. Few long sequences are cut into
pieces first: how a piece leads from each state at its begin to each state at its end is
found for all pieces side by side, then these matrices are multiplied with the
probabilities along each sequence, and then each piece is a sequence of its own, with
known probabilities at both ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent.chain.sequences import Packed, Sequences

Array = NDArray[Any]

#: The recursions have lost nothing unless a factor exceeds this.
LARGEST = 1e200


def forward_backward_scaled(
    density: Array, sequences: Sequences, start: Array, transition: Array, weight: Array
) -> tuple[Array, Array]:
    """Posterior probabilities, by recursions in which numbers below 1e-308 are lost.

    What is lost would have been multiplied by the factors of the backward recursion, so
    it had no influence as long as these are not huge. Where they are, the log-likelihood
    is NaN, and so may be the rest of that sequence.

    Parameters
    ----------
    density : ndarray of shape (n_rows, n_states)
        Densities relative to the largest of each row; overwritten by the smoothed
        probabilities times the weight of the sequence.
    sequences : Sequences
        Which rows form sequences.
    start : ndarray of shape (n_states,)
        Probabilities of the states at first.
    transition : ndarray of shape (n_states, n_states)
        Probabilities of the states after each state.
    weight : ndarray of shape (n_sequences,)
        Weights of the sequences.

    Returns
    -------
    log_likelihood : ndarray of shape (n_sequences,)
        Relative to the largest densities of the rows; NaN where numbers were lost.
    xi : ndarray of shape (n_sequences, n_states, n_states)
        Expected numbers of transitions times the weight.
    """
    pieces, owner = sequences.cut()
    shape = (len(pieces), len(start))
    if pieces is sequences:
        begin, end = np.broadcast_to(start, shape), np.ones(shape)
        between = np.zeros((*shape, len(start)))
    else:
        begin, end, between = _ends(density, pieces, owner, start, transition, weight)
    log_likelihood, xi = _recur(density, pieces, begin, end, transition, weight[owner])
    xi = xi * transition + between
    if pieces is sequences:
        return log_likelihood, xi
    first = np.searchsorted(owner, np.arange(len(sequences)))
    return np.add.reduceat(log_likelihood, first), np.add.reduceat(xi, first)


def _recur(
    density: Array, sequences: Sequences, begin: Array, end: Array, transition: Array, weight: Array
) -> tuple[Array, Array]:
    """As `forward_backward_scaled`, with probabilities at the begin and factors at the end of each.

    The xi still have to be multiplied by the transition probabilities.
    """
    packed = sequences.packed
    order = packed.order
    emission = density[packed.rows]
    state = np.empty_like(emission)
    scale = np.ones(len(emission))
    before = slice(0, 0)
    for t, now in enumerate(packed.steps):
        if t == 0:
            state[now] = begin[order] * emission[now]
        else:
            n = now.stop - now.start
            scale[now] = 1.0 / state[before][:n].sum(axis=1)
            np.matmul(state[before][:n], transition, out=state[now])
            state[now] *= emission[now]
            state[now] *= scale[now, None]
        before = now
    backward = end[order]
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
    # With factors at the end the sum of the last probabilities is what counts.
    value = np.log(final.sum(axis=1)) - log_scale
    value[~(check <= LARGEST * weight[order])] = np.nan
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return value[back], xi[back]


def _sequence_of(packed: Packed) -> Array:
    """Of each row in the order of time, its sequence's place in the order."""
    return np.concatenate([np.arange(now.stop - now.start) for now in packed.steps])


def _ends(
    density: Array,
    pieces: Sequences,
    owner: Array,
    start: Array,
    transition: Array,
    weight: Array,
) -> tuple[Array, Array, Array]:
    """Probabilities at the begin of each piece, factors at its end, transitions behind it."""
    matrix, log_size = _through(density, pieces, transition)
    n_pieces, n_states = len(pieces), len(start)
    # Rows relative to the largest: no number is lost that counts beside it.
    largest = log_size.max(axis=1, initial=-np.inf, where=np.isfinite(log_size), keepdims=True)
    through = matrix * np.exp(log_size - largest)[:, :, None]
    begin, end = np.empty((n_pieces, n_states)), np.ones((n_pieces, n_states))
    filtered, backward = np.empty((n_pieces, n_states)), np.ones((n_pieces, n_states))
    for p in range(n_pieces):
        is_first = p == 0 or owner[p] != owner[p - 1]
        begin[p] = start if is_first else filtered[p - 1] @ transition
        filtered[p] = begin[p] @ through[p]
        filtered[p] /= filtered[p].sum()
    for p in range(n_pieces - 1, -1, -1):
        if p + 1 < n_pieces and owner[p] == owner[p + 1]:
            end[p] = transition @ backward[p + 1]
        backward[p] = through[p] @ end[p]
        backward[p] /= begin[p] @ backward[p]
    between = np.zeros((n_pieces, n_states, n_states))
    inner = np.flatnonzero(owner[1:] == owner[:-1])
    joint = filtered[inner, :, None] * transition * backward[inner + 1, None, :]
    between[inner] = joint * (weight[owner[inner]] / joint.sum(axis=(1, 2)))[:, None, None]
    return begin, end, between


def _through(density: Array, pieces: Sequences, transition: Array) -> tuple[Array, Array]:
    """How each piece leads from its first state to its last; rows sum to one, and log-sums."""
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
            # One product of two matrices, not one for each piece.
            moved = (moved.reshape(-1, n_states) @ transition).reshape(moved.shape)
        moved = moved * emission[now]
        total = moved.sum(axis=2, out=size[t, :n])
        np.divide(moved, np.where(total > 0.0, total, 1.0)[:, :, None], out=matrix[:n])
    log_size = np.log(size).sum(axis=0)
    back = np.empty_like(packed.order)
    back[packed.order] = np.arange(len(packed.order))
    return matrix[back], log_size[back]
