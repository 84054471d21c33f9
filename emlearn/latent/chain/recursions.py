"""Hidden Markov chains: expectations and most probable paths, given log-densities.

Compiled if possible. The recursions are scaled. Sequences in which scaling loses relevant
numbers are computed again in log space.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels import compiled
from emlearn.latent.chain.log_space import forward_backward_log
from emlearn.latent.chain.scaled import forward_backward_scaled
from emlearn.latent.chain.sequences import Sequences
from emlearn.latent.chain.viterbi import find_viterbi_paths

Array = NDArray[Any]


class Posterior(NamedTuple):
    """Expected starts and transitions of the chains, given all rows.

    Attributes
    ----------
    start : ndarray of shape (n_states,)
        Expected number of sequences that start in each state.
    transition : ndarray of shape (n_states, n_states)
        Expected number of transitions.
    log_likelihood : ndarray of shape (n_sequences,)
        Log-likelihood of each sequence: -inf for an impossible one, NaN if a log-density is
        NaN or +inf.
    """

    start: Array
    transition: Array
    log_likelihood: Array


def forward_backward(
    joint: Array,
    sequences: Sequences,
    start: Array,
    transition: Array,
    weight: Array | None = None,
) -> Posterior:
    """Probabilities of the states of each row given the whole sequence.

    Parameters
    ----------
    joint : ndarray of shape (n_states, n_rows)
        Log-densities of the rows, C-contiguous, float64. Overwritten by the probabilities
        times the weight of the sequence, which are 0 for an impossible sequence.
    sequences : Sequences
        Which rows form sequences.
    start : ndarray of shape (n_states,)
        Probabilities of the first state.
    transition : ndarray of shape (n_states, n_states)
        Probabilities of the next state (column) given the last one (row).
    weight : ndarray of shape (n_sequences,), default=None
        Positive weights of both expectations. None means 1 each.

    Returns
    -------
    posterior : Posterior
        Sums over the sequences. The log-likelihoods are not weighted.

    References
    ----------
    L. E. Baum, T. Petrie, G. Soules and N. Weiss (1970). "A maximization technique
    occurring in the statistical analysis of probabilistic functions of Markov chains".
    Annals of Mathematical Statistics 41(1), 164-171.

    L. R. Rabiner (1989). "A tutorial on hidden Markov models and selected applications in
    speech recognition". Proceedings of the IEEE 77(2), 257-286.
    """
    if compiled is None:
        return _forward_backward(joint, sequences, start, transition, weight)
    found = Posterior(np.empty_like(start), np.empty_like(transition), np.empty(len(sequences)))
    compiled.forward_backward(
        joint,
        sequences.edges,
        start,
        transition,
        weight,
        found.log_likelihood,
        found.start,
        found.transition,
    )
    return found


def _forward_backward(
    joint: Array, sequences: Sequences, start: Array, transition: Array, weight: Array | None
) -> Posterior:
    """`forward_backward` in numpy."""
    weight = np.ones(len(sequences)) if weight is None else weight
    shift = joint.max(axis=0)
    valid = np.logical_and.reduceat(shift < np.inf, sequences.first)
    with np.errstate(all="ignore"):
        density = np.exp((joint - np.where(shift > -np.inf, shift, 0.0)).T)
        log_likelihood, xi = forward_backward_scaled(density, sequences, start, transition, weight)
        log_likelihood += np.add.reduceat(shift, sequences.first)
    failed = ~np.isfinite(log_likelihood)
    if failed.any():
        in_log_space = np.flatnonzero(failed & valid)
        part, rows = sequences.select(np.flatnonzero(failed))
        density[rows] = 0.0
        xi[failed] = 0.0
        log_likelihood[failed] = np.nan
        if in_log_space.size:
            part, rows = sequences.select(in_log_space)
            x = np.ascontiguousarray(joint[:, rows].T)
            log_likelihood[in_log_space], xi[in_log_space] = forward_backward_log(
                x, part, start, transition, weight[in_log_space]
            )
            density[rows] = x
    joint[...] = density.T
    return Posterior(joint[:, sequences.first].sum(axis=1), xi.sum(axis=0), log_likelihood)


def viterbi(
    joint: Array, sequences: Sequences, start: Array, transition: Array
) -> tuple[Array, Array]:
    """The most probable path of states through each sequence.

    Parameters
    ----------
    joint : ndarray of shape (n_states, n_rows)
        Log-densities of the rows, C-contiguous, float64, without NaN and +inf.
    sequences, start, transition
        As in `forward_backward`.

    Returns
    -------
    path : ndarray of shape (n_rows,)
        States. Ties between paths go to the lower state, starting from the last row.
    score : ndarray of shape (n_sequences,)
        Joint log-density of the path and the rows; -inf if no path is possible.

    References
    ----------
    A. J. Viterbi (1967). "Error bounds for convolutional codes and an asymptotically
    optimum decoding algorithm". IEEE Transactions on Information Theory 13(2), 260-269.
    """
    if compiled is None:
        return find_viterbi_paths(np.ascontiguousarray(joint.T), sequences, start, transition)
    path = np.empty(sequences.n_rows, np.int64)
    score = np.empty(len(sequences))
    compiled.viterbi(joint, sequences.edges, start, transition, path, score)
    return path.astype(np.intp, copy=False), score
