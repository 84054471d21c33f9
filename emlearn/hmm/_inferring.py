"""Standard errors of the parameters of a hidden Markov model."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from emlearn.data import check_one_for_each_row, read_weight
from emlearn.data.resampling import check_copies
from emlearn.data.sequences import joined_labels
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.hmm._rows import ChainRows
from emlearn.latent import ChainLaw, Observations
from emlearn.latent.estimator import LabelEstimator


class ChainInference(LabelEstimator, ChainRows):
    """Standard errors, intervals and tests."""

    n_components: int | None

    @abstractmethod
    def _law(self, n: int) -> ChainLaw:
        """The law of the states that the hyperparameters describe."""

    def inference(  # type: ignore[override]  # the arguments are those of fit
        self,
        X: ArrayLike,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
        information: Kind = "observed",
    ) -> Inference:
        """Standard errors, intervals and tests of the published parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,), default=None
            As for `fit`.
        lengths : array-like of shape (n_sequences,), default=None
            As for `fit`.
        sample_weight : array-like of shape (n_sequences,), default=None
            As for `fit`.
        sequence_ids : array-like of shape (n_samples,), default=None
            As for `fit`.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            Where standard errors come from. "observed": minus the second derivatives of the
            objective (log-likelihood plus log prior). "empirical": the sum of squares of the
            scores of the sequences, which should be many. "sandwich": from both, valid also if
            the model is wrong.

        Returns
        -------
        inference : Inference
            The parameters with standard errors, covariance, intervals, tests and a table.

        Raises
        ------
        ValueError
            If `information` is unknown, the rows are invalid, or there are fewer sequences than
            parameters for "empirical" and "sandwich".
        """
        problem = self._fitted_problem(X, y, lengths, sample_weight, sequence_ids)
        return infer(problem, information)

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        y, lengths, sample_weight, *rest = arguments
        check_is_fitted(self)
        rows, sequences = self._read_sequences(X, lengths, *rest)
        n_rows = sequences.n_rows
        weight = read_weight(sample_weight, len(sequences), "sequence")
        y = joined_labels(y, X, sequences.lengths)
        check_one_for_each_row(y, n_rows, sequences=True)
        check_copies(weight, "sequence")
        labels = self._labels_of_fit(y, n_rows, self.n_components)
        law, params = self._law(len(self.startprob_)), self._law_params()
        return self._problem_of(law, params, Observations(rows, labels, sequences), weight)
