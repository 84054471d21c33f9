"""Likelihoods and information criteria of a fitted hidden Markov model."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.data import check_one_for_each_row, read_weight
from emlearn.data.sequences import joined_labels
from emlearn.hmm._rows import ChainRows

Array = NDArray[Any]


class ChainScoring(ChainRows):
    """Likelihoods and information criteria."""

    def score_samples(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Log-likelihood of each sequence.

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
        log_likelihood : ndarray of shape (n_sequences,)
            Natural logarithm of the density of each sequence, in the units of X.
        """
        return self._forward_backward(X, lengths, sequence_ids)[1]

    def score(
        self,
        X: ArrayLike,
        y: object = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> float:
        """Weighted mean log-likelihood per row, comparable between data of any length.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        log_likelihood : float
            In nats per row. (In hmmlearn, `score` is the sum over the rows.)
        """
        log_likelihood, n_rows = self._total(X, lengths, sample_weight, sequence_ids, y)
        return log_likelihood / n_rows

    def _total(
        self, X: Any, lengths: Any, sample_weight: Any, sequence_ids: Any, y: Any = None
    ) -> tuple[float, float]:
        """Weighted log-likelihood and weighted number of rows."""
        _, log_likelihood, sequences = self._forward_backward(X, lengths, sequence_ids)
        y = joined_labels(y, X, sequences.lengths)
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
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> float:
        """Akaike's information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        aic : float
            -2 log-likelihood + 2 x number of parameters, not counting fixed zeros.
        """
        total = self._total(X, lengths, sample_weight, sequence_ids)[0]
        return -2.0 * total + 2.0 * self._n_parameters()

    def bic(
        self,
        X: ArrayLike,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> float:
        """Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another; or a list of sequences, or an array of three
            dimensions.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        bic : float
            -2 log-likelihood + log(weighted number of rows) x number of parameters.
        """
        log_likelihood, n_rows = self._total(X, lengths, sample_weight, sequence_ids)
        return -2.0 * log_likelihood + float(np.log(n_rows)) * self._n_parameters()
