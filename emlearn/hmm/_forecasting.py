r"""What comes next: expected rows, and the states that they come from.

Given the rows up to time t, the state h steps later has probabilities

    p = f_t A^h,

with f_t the filtered probabilities and A the transitions; before the first row of a sequence, the
state of row t has the probabilities pi A^t. With means m_k and variances v_k of a column, its
expectation and variance are those of a mixture,

    E = sum_k p_k m_k,   V = sum_k p_k (v_k + (m_k - E)^2).
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.hmm._rows import ChainRows
from emlearn.latent import ChainParams, Sequences
from emlearn.latent.chain.filtering import filtered
from emlearn.latent.chain.recursions import forward_backward

Array = NDArray[Any]


class ChainForecasting(ChainRows):
    """Expected rows, given those before."""

    def predict_ahead(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        steps: int = 1,
        return_std: bool = False,
        sequence_ids: ArrayLike | None = None,
    ) -> Any:
        """Expected value of each row, given the rows up to `steps` before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        steps : int, default=1
            How far ahead, at least 1. The first `steps` rows of a sequence are expected from the
            start probabilities alone.
        return_std : bool, default=False
            Whether to return standard deviations too.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        expected : ndarray of shape (n_samples, n_features)
            Expected rows. NaN in columns without a mean, such as those of categories.
        std : ndarray of shape (n_samples, n_features)
            Standard deviations of the rows about them. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If no column has a mean, because all are categories; see `predict_ahead_proba`.
        """
        probability = self.predict_ahead_proba(X, lengths, steps=steps, sequence_ids=sequence_ids)
        return self._expected(probability, return_std, "predict_ahead")

    def predict_ahead_proba(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        steps: int = 1,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Probability of each state in each row, given the rows up to `steps` before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        steps : int, default=1
            How far ahead, at least 1.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_components)
            Each row sums to one.
        """
        steps = _read_steps(steps)
        joint, sequences = self._emission_log_density(X, lengths, sequence_ids)
        law = self._law_params()
        now = filtered(joint, sequences, *law)
        return _ahead(now, sequences, law, steps)

    def forecast(
        self,
        steps: int,
        X: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        *,
        return_std: bool = False,
        sequence_ids: ArrayLike | None = None,
    ) -> Any:
        """Expected values of the rows that follow each sequence.

        Parameters
        ----------
        steps : int
            Number of rows to expect after each sequence, at least 1.
        X : array-like of shape (n_samples, n_features) or list of these, default=None
            The sequences, in any form that `fit` takes. None means those of the fit, from the
            state in which they ended.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        return_std : bool, default=False
            Whether to return standard deviations too.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        expected : ndarray of shape (n_sequences * steps, n_features)
            Expected rows, one sequence after another. NaN in columns without a mean, such as
            those of categories.
        std : ndarray of shape (n_sequences * steps, n_features)
            Standard deviations of the rows about them. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If no column has a mean, because all are categories; see `forecast_proba`. Also if X
            is None and there was no fit.

        Examples
        --------
        >>> from emlearn import HiddenMarkovEM
        >>> model = HiddenMarkovEM.from_parameters(
        ...     [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], {"rate": [[1.0], [9.0]]}, family="poisson"
        ... )
        >>> model.forecast(3, [[0], [1], [12], [8]]).round(2)
        array([[7.4 ],
               [6.28],
               [5.5 ]])
        """
        probability = self.forecast_proba(steps, X, lengths, sequence_ids=sequence_ids)
        return self._expected(probability, return_std, "forecast")

    def forecast_proba(
        self,
        steps: int,
        X: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Probability of each state in the rows that follow each sequence.

        Parameters
        ----------
        steps : int
            Number of rows after each sequence, at least 1.
        X : array-like of shape (n_samples, n_features) or list of these, default=None
            As for `forecast`.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        probabilities : ndarray of shape (n_sequences * steps, n_components)
            Each row sums to one.
        """
        steps = _read_steps(steps)
        state = self._last_state(X, lengths, sequence_ids)
        transmat = self._law_params().transmat
        found = np.empty((len(state), steps, len(transmat)))
        for step in range(steps):
            state = state @ transmat
            found[:, step] = state
        return found.reshape(-1, len(transmat))

    def _last_state(self, X: Any, lengths: Any, sequence_ids: Any = None) -> Array:
        """Probabilities of the last state of each sequence, (n_sequences, n_components)."""
        if X is None:
            check_is_fitted(self)
            if lengths is not None or sequence_ids is not None:
                raise ValueError("lengths and sequence_ids belong to X, which is None.")
            kept: Array | None = getattr(self, "last_state_proba_", None)
            if kept is None:
                raise ValueError(
                    "There is no fit whose sequences could be continued: the model was made from "
                    "parameters. Pass the sequences as X."
                )
            return kept
        joint, _, sequences = self._forward_backward(X, lengths, sequence_ids)
        return last_of_each(joint, sequences)

    def _expected(self, probability: Array, return_std: bool, method: str) -> Any:
        """Means of mixtures of the states, and their deviations if these are asked for."""
        emissions = self._emissions()
        moments = emissions.family.moments(emissions.params, emissions.column_spec)
        if moments is None:
            raise ValueError(
                f"{method} gives expected values, and no column has one: {emissions.family!r} has "
                f"no means. Use {method}_proba, the probabilities of the states, with "
                "component_params_."
            )
        impossible = np.flatnonzero(~(probability.sum(axis=1) > 0.0))
        if impossible.size:
            raise ValueError(
                f"Row {impossible[0]} of the result has no expected value: the rows before it have "
                "probability 0 in the model, because of transitions of probability 0."
            )
        mean, variance = moments
        expected = probability @ mean
        if not return_std:
            return expected
        # About the mean over the states, so that large means do not cancel.
        center = mean.mean(axis=0)
        second = probability @ (variance + np.square(mean - center))
        return expected, np.sqrt(np.maximum(second - np.square(expected - center), 0.0))


def last_of_each(joint: Array, sequences: Sequences) -> Array:
    """Rows that sum to one, from the posterior probabilities of the last row of each sequence."""
    last = np.ascontiguousarray(joint[:, sequences.last].T)
    total = last.sum(axis=1, keepdims=True)
    return np.asarray(last / np.where(total > 0.0, total, 1.0))


def last_states(joint: Array, sequences: Sequences, law: ChainParams) -> Array:
    """Probabilities of the last state of each sequence, given log-densities of the rows."""
    forward_backward(joint, sequences, *law)
    return last_of_each(joint, sequences)


def _read_steps(steps: Any) -> int:
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps must be an int >= 1, got {steps!r}.")
    return int(steps)


def _ahead(now: Array, sequences: Sequences, law: ChainParams, steps: int) -> Array:
    """States of each row given the rows up to `steps` before it."""
    time = np.arange(sequences.n_rows) - np.repeat(sequences.first, sequences.lengths)
    ahead = np.empty_like(now)
    later = np.flatnonzero(time >= steps)
    ahead[later] = now[later - steps] @ np.linalg.matrix_power(law.transmat, steps)
    state = law.startprob
    for t in range(min(steps, int(sequences.lengths.max()))):
        ahead[time == t] = state
        state = state @ law.transmat
    return ahead
