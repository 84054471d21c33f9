"""Most probable paths through hidden Markov chains, in numpy.

As in `emlearn.latent.chain.scaled`, few long sequences are cut into pieces side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent.chain.log_space import log_of
from emlearn.latent.chain.sequences import Packed, Sequences

Array = NDArray[Any]


def find_viterbi_paths(
    joint: Array, sequences: Sequences, start: Array, transition: Array
) -> tuple[Array, Array]:
    """Most probable path of states through each sequence.

    Ties between paths go to the lower state, starting from the last row.

    Parameters
    ----------
    joint : ndarray of shape (n_rows, n_states)
        Log-densities without NaN and +inf.
    sequences : Sequences
        Which rows form sequences.
    start : ndarray of shape (n_states,)
        Probabilities of the first state.
    transition : ndarray of shape (n_states, n_states)
        Probabilities of the next state (column) given the last one (row).

    Returns
    -------
    path : ndarray of shape (n_rows,)
        States.
    score : ndarray of shape (n_sequences,)
        Joint log-density of the path and the rows.
    """
    move = log_of(transition)
    pieces, owner = sequences.cut()
    n_pieces, n_states = len(pieces), len(start)
    is_first = np.append(True, owner[1:] != owner[:-1])
    head = np.broadcast_to(log_of(start), (n_pieces, n_states))
    if pieces is not sequences:
        head = _heads(joint, pieces, is_first, head, move)
    state, best = _forward(joint[pieces.packed.rows], pieces.packed, head, move)
    # The best path through each piece, for every state in which it may end.
    traces = _trace(pieces.packed, best)
    last = state[pieces.packed.last]
    place = np.empty(n_pieces, np.intp)
    place[pieces.packed.order] = np.arange(n_pieces)
    end = np.empty(n_pieces, np.intp)
    for p in range(n_pieces - 1, -1, -1):
        reach = last[place[p]]
        if p + 1 < n_pieces and not is_first[p + 1]:
            reach = reach + move[:, traces[place[p + 1], end[p + 1]]]
        end[p] = reach.argmax()
    path = np.empty(sequences.n_rows, np.intp)
    in_order = end[pieces.packed.order]
    for now in pieces.packed.steps:
        n = now.stop - now.start
        path[pieces.packed.rows[now]] = traces[now, :][np.arange(n), in_order[:n]]
    is_last = np.append(is_first[1:], True)
    score = last[place, end][is_last]
    return path, score


def _forward(x: Array, packed: Packed, head: Array, move: Array) -> tuple[Array, Array]:
    """Log-probability of the best path to each state, and the state before it."""
    state = np.empty_like(x)
    best = np.zeros(x.shape, np.intp)
    before = slice(0, 0)
    for t, now in enumerate(packed.steps):
        if t == 0:
            state[now] = head[packed.order]
        else:
            n = now.stop - now.start
            moved = state[before][:n, :, None] + move
            best[now] = moved.argmax(axis=1)
            state[now] = moved.max(axis=1)
        state[now] += x[now]
        before = now
    return state, best


def _trace(packed: Packed, best: Array) -> Array:
    """State of each row (in the order of time), for each state in which its piece may end."""
    traces = np.empty_like(best)
    n_states = best.shape[1]
    at = np.tile(np.arange(n_states), (len(packed.order), 1))
    for now in packed.steps[::-1]:
        n = now.stop - now.start
        traces[now] = at[:n]
        at[:n] = np.take_along_axis(best[now], at[:n], axis=1)
    return traces


def _heads(joint: Array, pieces: Sequences, is_first: Array, start: Array, move: Array) -> Array:
    """Log-probability of the best path to each state before the first row of each piece."""
    packed = pieces.packed
    n_states = len(move)
    through = np.full((len(pieces), n_states, n_states), -np.inf)
    through[:, np.arange(n_states), np.arange(n_states)] = 0.0
    for t, now in enumerate(packed.steps):
        n = now.stop - now.start
        if t > 0:
            through[:n] = (through[:n, :, :, None] + move).max(axis=2)
        through[:n] += joint[packed.rows[now], None, :]
    place = np.empty_like(packed.order)
    place[packed.order] = np.arange(len(packed.order))
    head = np.array(start)
    for p in range(1, len(pieces)):
        if not is_first[p]:
            end = (head[p - 1][:, None] + through[place[p - 1]]).max(axis=0)
            head[p] = (end[:, None] + move).max(axis=0)
    return head
