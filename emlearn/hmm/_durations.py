r"""How long states last.

A chain stays in state k for a number of rows that is geometric: with a the probability of staying,

    P(D = d) = a^(d - 1) (1 - a),  E(D) = 1 / (1 - a),  sd(D) = sqrt(a) / (1 - a),

and the standard error of the estimated E(D) is se(a) / (1 - a)^2, by the delta method. The most
probable path shows the runs themselves. Their lengths are not geometric if the model is wrong
about durations; the first and the last run of a sequence are cut off by its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.data.summary import Summary, summary_table
from emlearn.hmm._rows import ChainRows, as_probabilities
from emlearn.latent import Sequences
from emlearn.latent.chain.recursions import forward_backward, viterbi
from emlearn.latent.chain.stationary import stationary_distribution

if TYPE_CHECKING:
    from pandas import DataFrame

Array = NDArray[Any]


@dataclass(frozen=True)
class StateRuns:
    """Runs of equal states in the most probable paths.

    Attributes
    ----------
    state : ndarray of shape (n_runs,)
        State of each run, or its label.
    sequence : ndarray of shape (n_runs,)
        Sequence that the run is in.
    start : ndarray of shape (n_runs,)
        Its first row, counted over all sequences.
    length : ndarray of shape (n_runs,)
        Its number of rows.
    cut : ndarray of bool of shape (n_runs,)
        Whether it is the first or the last run of its sequence, so that it may have been longer.
    """

    state: Array
    sequence: NDArray[np.intp]
    start: NDArray[np.intp]
    length: NDArray[np.intp]
    cut: NDArray[np.bool_]


@dataclass(frozen=True)
class StateDurations:
    """How long the states of a hidden Markov model last; see `HiddenMarkovEM.durations`.

    Attributes
    ----------
    states : ndarray of shape (n_components,)
        The states, or their labels.
    expected : ndarray of shape (n_components,)
        Expected number of rows from entering a state to leaving it, ``1 / (1 - a)``;
        infinity for a state that is never left.
    standard_error : ndarray of shape (n_components,) or None
        Standard errors of the expected durations. NaN where there is none, as for a probability
        of staying that is 0 or 1. None if no standard errors were asked for.
    stationary : ndarray of shape (n_components,) or None
        Fraction of the time in each state in the long run. None if it depends on the start.
    occupancy : ndarray of shape (n_components,)
        Fraction of the rows in each state, expected given the rows.
    runs : StateRuns
        Runs of the most probable paths.
    n_runs : ndarray of shape (n_components,)
        Number of runs of each state.
    mean_run : ndarray of shape (n_components,)
        Mean length of these runs, with those that are cut; 0 without a run.
    longest_run : ndarray of shape (n_components,)
        Length of the longest.
    """

    states: Array
    expected: Array
    standard_error: Array | None
    stationary: Array | None
    occupancy: Array
    runs: StateRuns
    n_runs: NDArray[np.intp]
    mean_run: Array
    longest_run: NDArray[np.intp]

    def _columns(self) -> dict[str, Array]:
        columns: dict[str, Array] = {"expected": self.expected}
        if self.standard_error is not None:
            columns["standard_error"] = self.standard_error
        if self.stationary is not None:
            columns["stationary"] = self.stationary
        columns |= {
            "occupancy": self.occupancy,
            "n_runs": self.n_runs,
            "mean_run": self.mean_run,
            "longest_run": self.longest_run,
        }
        return columns

    def to_frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each state. It needs pandas.

        Returns
        -------
        frame : DataFrame
            Durations, occupancy and runs.
        """
        import pandas as pd

        return pd.DataFrame(self._columns(), index=pd.Index(self.states, name="state"))

    def summary(self) -> Summary:
        """The same as text.

        Returns
        -------
        summary : str
            A table.
        """
        names = [f"state {state}" for state in self.states.tolist()]
        footer = (
            "expected: 1 / (1 - probability of staying), in rows. Runs are those of the most "
            "probable path."
        )
        return summary_table(names, self._columns(), footer)

    def __str__(self) -> str:
        return str(self.summary())


class ChainDurations(ChainRows):
    """How long states last."""

    def durations(
        self,
        X: ArrayLike,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
        standard_errors: bool = True,
    ) -> StateDurations:
        """How long the states last: expected durations, and runs of the most probable path.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows in any form that `fit` takes; those of the fit for standard errors.
        y : array-like of shape (n_samples,), default=None
            As for `fit`; for standard errors only.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            As for `fit`; for standard errors only.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.
        standard_errors : bool, default=True
            Whether to compute standard errors, from the observed information (see `inference`).

        Returns
        -------
        durations : StateDurations
            The durations; `summary` and `to_frame` make a table.

        Examples
        --------
        >>> from emlearn import HiddenMarkovEM
        >>> model = HiddenMarkovEM.from_parameters(
        ...     [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], {"rate": [[1.0], [9.0]]}, family="poisson"
        ... )
        >>> found = model.durations([[0], [1], [12], [8], [7]], standard_errors=False)
        >>> found.expected.round(3)
        array([10.,  5.])
        >>> found.runs.length
        array([2, 3])
        """
        joint, sequences = self._emission_log_density(X, lengths, sequence_ids)
        law = self._law_params()
        path, _ = viterbi(joint, sequences, *law)
        forward_backward(joint, sequences, *law)
        staying = np.diagonal(law.transmat)
        leaving = np.where(np.eye(len(staying), dtype=bool), 0.0, law.transmat).sum(axis=1)
        expected = np.divide(1.0, leaving, out=np.full(len(leaving), np.inf), where=leaving > 0.0)
        error = None
        if standard_errors:
            rows = (X, y, lengths, sample_weight)
            error = self._staying_errors(rows, sequence_ids) * np.square(expected)
            error = np.where(np.isfinite(error), error, np.nan)
        own = _runs(path, sequences)
        n_runs = np.bincount(own.state, minlength=len(staying))
        in_runs = np.bincount(path, minlength=len(staying))
        longest = np.zeros(len(staying), np.intp)
        np.maximum.at(longest, own.state, own.length)
        return StateDurations(
            self._named(np.arange(len(staying))),
            expected,
            error,
            stationary_distribution(law.transmat),
            as_probabilities(joint).mean(axis=0),
            StateRuns(self._named(own.state), own.sequence, own.start, own.length, own.cut),
            n_runs,
            in_runs / np.maximum(n_runs, 1),
            longest,
        )

    def _staying_errors(self, rows: tuple[Any, ...], sequence_ids: Any) -> Array:
        """Standard errors of the probabilities of staying."""
        inference: Any = self.inference(*rows, sequence_ids=sequence_ids)
        errors = np.asarray(inference.standard_errors["transmat"], np.float64)
        return np.diagonal(errors)


def _runs(path: NDArray[np.intp], sequences: Sequences) -> StateRuns:
    starts_run = np.append(True, path[1:] != path[:-1])
    starts_run[sequences.first] = True
    start = np.flatnonzero(starts_run)
    length = np.diff(np.append(start, len(path)))
    sequence = np.searchsorted(sequences.edges, start, side="right") - 1
    first = np.isin(start, sequences.first)
    last = np.isin(start + length - 1, sequences.last)
    return StateRuns(path[start], sequence, start, length, first | last)
