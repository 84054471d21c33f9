"""States of the rows of a fitted hidden Markov model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.hmm._rows import ChainRows, as_probabilities
from emlearn.latent import Sequences
from emlearn.latent.chain.filtering import filtered
from emlearn.latent.chain.log_space import log_of
from emlearn.latent.chain.recursions import forward_backward, viterbi

Array = NDArray[Any]


class ChainDecoding(ChainRows):
    """States of the rows: the most probable, and their probabilities."""

    def predict(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Most probable path of states through each sequence (Viterbi).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        states : ndarray of shape (n_samples,)
            Indices of the states, or their labels if `fit` was given labels (-1 for a state
            without a label). Ties between paths go to the lower state, starting from the
            last row.
        """
        return self.decode(X, lengths, sequence_ids=sequence_ids)[1]

    def decode(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        algorithm: str = "viterbi",
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> tuple[float, Array]:
        """States of the rows, and the probability of their path.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        algorithm : {"viterbi", "map"}, default="viterbi"
            "viterbi": the most probable path. "map": the most probable state of each single
            row. This has the smallest expected number of errors, but the path may contain
            transitions of probability zero.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        log_probability : float
            Joint log-density of the states and the rows, summed over the sequences. -inf
            for an impossible path.
        states : ndarray of shape (n_samples,)
            As returned by `predict`.
        """
        if algorithm not in _ALGORITHMS:
            raise ValueError(f"algorithm must be one of {sorted(_ALGORITHMS)}, got {algorithm!r}.")
        joint, sequences = self._emission_log_density(X, lengths, sequence_ids)
        score, states = _ALGORITHMS[algorithm](joint, sequences, *self._law_params())
        return score, self._named(states)

    def predict_proba(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Posterior probability of each state in each row, given the whole sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_components)
            Each row sums to one.
        """
        return as_probabilities(self._forward_backward(X, lengths, sequence_ids)[0])

    def filter(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Probability of each state in each row, given this row and those before it.

        `predict_proba` also uses the rows that follow, which are not known yet when a series is
        watched. In the last row of a sequence, both are the same.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_components)
            Each row sums to one.
        """
        joint, sequences = self._emission_log_density(X, lengths, sequence_ids)
        return filtered(joint, sequences, *self._law_params())


def _decode_viterbi(
    joint: Array, sequences: Sequences, startprob: Array, transmat: Array
) -> tuple[float, NDArray[np.intp]]:
    path, score = viterbi(joint, sequences, startprob, transmat)
    return float(score.sum()), path


def _decode_map(
    joint: Array, sequences: Sequences, startprob: Array, transmat: Array
) -> tuple[float, NDArray[np.intp]]:
    posterior = joint.copy()
    forward_backward(posterior, sequences, startprob, transmat)
    states = posterior.argmax(axis=0)
    score = joint[states, np.arange(len(states))].sum()
    score += log_of(startprob)[states[sequences.first]].sum()
    inner = np.delete(np.arange(len(states)), sequences.first)
    score += log_of(transmat)[states[inner - 1], states[inner]].sum()
    return float(score), states


_ALGORITHMS = {"viterbi": _decode_viterbi, "map": _decode_map}
