"""Predictions, scores and samples of a fitted hidden Markov model."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn.data import check_one_for_each_row, classes_of, read_lengths, read_weight
from emlearn.latent import ChainParams, Emissions, Sequences
from emlearn.latent.chain.log_space import log_of
from emlearn.latent.chain.recursions import forward_backward, viterbi

Array = NDArray[Any]


class ChainDecoding(DensityMixin, BaseEstimator):
    """Predictions, scores and samples of a fitted model."""

    @abstractmethod
    def _read_rows(self, X: Any, *, reset: bool = False) -> Any:
        """The rows, as an array that the family accepts."""

    @abstractmethod
    def _emissions(self) -> Emissions:
        """The family at the published parameters."""

    @abstractmethod
    def _law_params(self) -> ChainParams:
        """The published probabilities of the chain."""

    def _emission_log_density(self, X: Any, lengths: Any) -> tuple[Array, Sequences]:
        """Log-densities (n_components, n_rows) of the rows, and their sequences."""
        check_is_fitted(self)
        X = self._read_rows(X)
        sequences = Sequences.of_lengths(read_lengths(lengths, X.shape[0]))
        return self._emissions().log_density(X), sequences

    def _forward_backward(self, X: Any, lengths: Any) -> tuple[Array, Array, Sequences]:
        """Posterior probabilities, log-likelihoods of the sequences, and the sequences."""
        joint, sequences = self._emission_log_density(X, lengths)
        found = forward_backward(joint, sequences, *self._law_params())
        return joint, found.log_likelihood, sequences

    def predict(self, X: ArrayLike, lengths: ArrayLike | None = None) -> Array:
        """Most probable path of states through each sequence (Viterbi).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.

        Returns
        -------
        states : ndarray of shape (n_samples,)
            Indices of the states, or their labels if `fit` was given labels (-1 for a state
            without a label). Ties between paths go to the lower state, starting from the
            last row.
        """
        return self.decode(X, lengths)[1]

    def decode(
        self, X: ArrayLike, lengths: ArrayLike | None = None, algorithm: str = "viterbi"
    ) -> tuple[float, Array]:
        """States of the rows, and the probability of their path.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        algorithm : {"viterbi", "map"}, default="viterbi"
            "viterbi": the most probable path. "map": the most probable state of each single
            row. This has the smallest expected number of errors, but the path may contain
            transitions of probability zero.

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
        joint, sequences = self._emission_log_density(X, lengths)
        score, states = _ALGORITHMS[algorithm](joint, sequences, *self._law_params())
        return score, self._named(states)

    def _named(self, states: NDArray[np.intp]) -> Array:
        """Labels of the states, if `fit` was given labels."""
        classes = getattr(self, "classes_", None)
        return states if classes is None else classes_of(states, classes)

    def predict_proba(self, X: ArrayLike, lengths: ArrayLike | None = None) -> Array:
        """Posterior probability of each state in each row, given the whole sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_components)
            Each row sums to one.
        """
        posterior = np.ascontiguousarray(self._forward_backward(X, lengths)[0].T)
        # Where densities are so low that rounding swallows the transitions, they do not add up.
        total = posterior.sum(axis=1)
        off = np.flatnonzero((np.abs(total - 1.0) > 1e-6) & (total > 0.0))
        posterior[off] /= total[off, None]
        return posterior

    def score_samples(self, X: ArrayLike, lengths: ArrayLike | None = None) -> Array:
        """Log-likelihood of each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.

        Returns
        -------
        log_likelihood : ndarray of shape (n_sequences,)
            Natural logarithm of the density of each sequence, in the units of X.
        """
        return self._forward_backward(X, lengths)[1]

    def score(
        self,
        X: ArrayLike,
        y: object = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Weighted mean log-likelihood per row, comparable between data of any length.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, one sequence after another.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.

        Returns
        -------
        log_likelihood : float
            In nats per row. (In hmmlearn, `score` is the sum over the rows.)
        """
        log_likelihood, n_rows = self._total(X, lengths, sample_weight, y)
        return log_likelihood / n_rows

    def _total(
        self, X: Any, lengths: Any, sample_weight: Any, y: Any = None
    ) -> tuple[float, float]:
        """Weighted log-likelihood and weighted number of rows."""
        _, log_likelihood, sequences = self._forward_backward(X, lengths)
        check_one_for_each_row(y, sequences.n_rows, sequences=True)
        weight = read_weight(sample_weight, len(sequences), "sequence")
        if weight is None:
            weight = np.ones(len(sequences))
        return float(weight @ log_likelihood), float(weight @ sequences.lengths)

    @abstractmethod
    def _n_parameters(self) -> int:
        """Number of free parameters."""

    def aic(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Akaike's information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.

        Returns
        -------
        aic : float
            -2 log-likelihood + 2 x number of parameters, not counting fixed zeros.
        """
        return -2.0 * self._total(X, lengths, sample_weight)[0] + 2.0 * self._n_parameters()

    def bic(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.

        Returns
        -------
        bic : float
            -2 log-likelihood + log(weighted number of rows) x number of parameters.
        """
        log_likelihood, n_rows = self._total(X, lengths, sample_weight)
        return -2.0 * log_likelihood + np.log(n_rows) * self._n_parameters()

    def sample(self, n_samples: int = 1, lengths: ArrayLike | None = None) -> tuple[Array, Array]:
        """Draw sequences from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows. Ignored if `lengths` is given.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means one sequence of `n_samples` rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, one sequence after another.
        states : ndarray of shape (n_samples,)
            Their states, or the labels of the states.
        """
        check_is_fitted(self)
        if lengths is None:
            if not isinstance(n_samples, Integral) or n_samples < 1:
                raise ValueError(
                    f"Invalid value for 'n_samples': {n_samples!r}. It must be an int >= 1."
                )
            lengths = [int(n_samples)]
        sequences = Sequences.of_lengths(read_lengths(lengths, None))
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(seed)
        states = _draw_states(sequences, *self._law_params(), rng)
        return self._emissions().sample(states, rng), self._named(states)


def _draw_states(
    sequences: Sequences, startprob: Array, transmat: Array, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw paths of chains, one step in time for all of them at once."""
    packed = sequences.packed
    states = np.empty(sequences.n_rows, np.intp)
    uniform = rng.random(sequences.n_rows)
    start, moves = _bounds(startprob), _bounds(transmat)
    at = np.zeros(len(sequences), np.intp)
    for t, now in enumerate(packed.steps):
        n = now.stop - now.start
        bounds = start if t == 0 else moves[at[:n]]
        at[:n] = (uniform[now, None] >= bounds).sum(axis=1)
        states[packed.rows[now]] = at[:n]
    return states


def _bounds(probability: Array) -> Array:
    """Upper bounds of the parts of the unit interval that belong to the states, but the last.

    Dividing by the rounded sum ensures that a state of probability 0 has an empty part.
    """
    edges = np.cumsum(probability, axis=-1)
    return edges[..., :-1] / edges[..., -1:]


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
