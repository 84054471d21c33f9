"""What every method of a hidden Markov model reads: rows in sequences, and its own parameters."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from emlearn.data import classes_of, read_sequences
from emlearn.latent import ChainParams, Emissions, Sequences
from emlearn.latent.chain.recursions import forward_backward

Array = NDArray[Any]


class ChainRows(DensityMixin, BaseEstimator):
    """Rows and parameters of a fitted model, for the methods that use them."""

    sequence_column: str | int | None

    @abstractmethod
    def _read_rows(self, X: Any, *, reset: bool = False) -> Any:
        """The rows, as an array that the family accepts."""

    @abstractmethod
    def _emissions(self) -> Emissions:
        """The family at the published parameters."""

    @abstractmethod
    def _law_params(self) -> ChainParams:
        """The published probabilities of the chain."""

    def _read_sequences(
        self, X: Any, lengths: Any, sequence_ids: Any = None, *, reset: bool = False
    ) -> tuple[Any, Sequences]:
        """Rows of all sequences, and which of them form a sequence."""
        table, sizes = read_sequences(
            X, lengths, sequence_ids, sequence_column=self.sequence_column
        )
        rows = self._read_rows(table, reset=reset)
        return rows, Sequences.of_lengths(sizes)

    def _emission_log_density(
        self, X: Any, lengths: Any, sequence_ids: Any = None
    ) -> tuple[Array, Sequences]:
        """Log-densities (n_components, n_rows) of the rows, and their sequences."""
        check_is_fitted(self)
        rows, sequences = self._read_sequences(X, lengths, sequence_ids)
        return self._emissions().log_density(rows), sequences

    def _forward_backward(
        self, X: Any, lengths: Any, sequence_ids: Any = None
    ) -> tuple[Array, Array, Sequences]:
        """Posterior probabilities, log-likelihoods of the sequences, and the sequences."""
        joint, sequences = self._emission_log_density(X, lengths, sequence_ids)
        found = forward_backward(joint, sequences, *self._law_params())
        return joint, found.log_likelihood, sequences

    def _named(self, states: NDArray[np.intp]) -> Array:
        """Labels of the states, if `fit` was given labels."""
        classes = getattr(self, "classes_", None)
        return states if classes is None else classes_of(states, classes)


def as_probabilities(posterior: Array) -> Array:
    """Posterior probabilities (n_components, n_rows) as rows that sum to one."""
    probability = np.ascontiguousarray(posterior.T)
    # Where densities are so low that rounding swallows the transitions, they do not add up.
    total = probability.sum(axis=1)
    off = np.flatnonzero((np.abs(total - 1.0) > 1e-6) & (total > 0.0))
    probability[off] /= total[off, None]
    return probability
