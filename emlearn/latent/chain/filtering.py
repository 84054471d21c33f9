"""Probabilities of the states given the rows so far: the forward recursion, in log space.

One pass through time for all sequences together. As in `emlearn.latent.chain.scaled`, few long
sequences are cut into pieces side by side. A smoothed probability is a product in which what
vanishes by underflow can be bounded; a filtered one is not, since the rows that would revive a
state are still to come. So logarithms are kept. A step costs one matrix product, and only rows in
which a sum of it underflows are added up term by term.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent.chain.log_space import log_of
from emlearn.latent.chain.sequences import Sequences

Array = NDArray[Any]

# Sums of probabilities relative to the largest that are below this are added up again.
_WEAK = 1e-280


def filtered(joint: Array, sequences: Sequences, start: Array, transition: Array) -> Array:
    """Probabilities of the states of each row given it and the rows before it.

    Parameters
    ----------
    joint : ndarray of shape (n_states, n_rows)
        Log-densities of the rows, without NaN and +inf.
    sequences : Sequences
        Which rows form sequences.
    start : ndarray of shape (n_states,)
        Probabilities of the first state.
    transition : ndarray of shape (n_states, n_states)
        Probabilities of the next state (column) given the last one (row).

    Returns
    -------
    probability : ndarray of shape (n_rows, n_states)
        Each row sums to one; 0 from the row on at which a sequence is impossible.
    """
    pieces, owner = sequences.cut()
    density = np.ascontiguousarray(joint.T)
    head = np.broadcast_to(log_of(start), (len(pieces), len(start)))
    if pieces is not sequences:
        head = _heads(density, pieces, owner, head, transition)
    packed = pieces.packed
    emission = density[packed.rows]
    state = np.empty_like(emission)
    before = slice(0, 0)
    for t, now in enumerate(packed.steps):
        n = now.stop - now.start
        moved = head[packed.order] if t == 0 else _moved(state[before][:n], transition)
        state[now] = _relative(moved + emission[now])[0]
        before = now
    np.exp(state, out=state)
    total = state.sum(axis=1, keepdims=True)
    state /= np.where(total > 0.0, total, 1.0)
    probability = np.empty_like(state)
    probability[packed.rows] = state
    return probability


def _relative(state: Array) -> tuple[Array, Array]:
    """Logarithms relative to the largest of each row, and that."""
    largest = state.max(axis=1)
    finite = np.where(largest > -np.inf, largest, 0.0)
    return state - finite[:, None], largest


def _moved(state: Array, transition: Array) -> Array:
    """Logarithms of the probabilities one transition later; `state` is as from `_relative`."""
    sums = np.exp(state) @ transition
    moved = log_of(sums)
    weak = np.flatnonzero((sums < _WEAK).any(axis=1))
    if weak.size:
        terms = state[weak][:, :, None] + log_of(transition)
        largest = terms.max(axis=1, keepdims=True)
        largest[largest == -np.inf] = 0.0
        moved[weak] = log_of(np.exp(terms - largest).sum(axis=1)) + largest[:, 0]
    return moved


def _heads(density: Array, pieces: Sequences, owner: Array, start: Array, transition: Array) -> Any:
    """Log-probabilities of the states before the first row of each piece."""
    packed, n_states = pieces.packed, density.shape[1]
    # From each state at the first row of a piece to each at its last, relative, and the size.
    through = np.zeros((len(pieces), n_states, n_states))
    through[:] = log_of(np.eye(n_states))
    size = np.zeros((len(pieces), n_states))
    for t, now in enumerate(packed.steps):
        n = now.stop - now.start
        moved = through[:n].reshape(-1, n_states)
        if t > 0:
            moved = _moved(moved, transition)
        moved = moved.reshape(n, n_states, n_states) + density[packed.rows[now], None, :]
        relative, largest = _relative(moved.reshape(-1, n_states))
        through[:n] = relative.reshape(moved.shape)
        size[:n] += largest.reshape(n, n_states)
    place = np.empty_like(packed.order)
    place[packed.order] = np.arange(len(packed.order))
    head = np.array(start)
    for p in range(1, len(pieces)):
        if owner[p] != owner[p - 1]:
            continue
        reached = (head[p - 1] + size[place[p - 1]])[:, None] + through[place[p - 1]]
        largest = reached.max(axis=0)
        finite = np.where(largest > -np.inf, largest, 0.0)
        last = log_of(np.exp(reached - finite).sum(axis=0)) + finite
        head[p] = _moved(_relative(last[None])[0], transition)[0]
    return head
