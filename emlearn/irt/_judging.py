"""Standard errors and information criteria of a fitted test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from emlearn.data import read_weight
from emlearn.engine.fixed import n_held
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.engine.parameters import Public
from emlearn.irt._predicting import TraitEstimates


class FitCriteria(TraitEstimates):
    """How well the parameters are known, and how well they fit."""

    _axis_labels: Callable[[], dict[str, Any]]
    _held: Public

    def inference(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
        information: Kind = "observed",
    ) -> Inference:
        """Standard errors, intervals and tests of the published parameters.

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            The responses of the fit.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_persons,), default=None
            As for `fit`.
        groups : array-like of shape (n_persons,), default=None
            As for `fit`.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            As for `fit`.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            Where standard errors come from: second derivatives of the log-likelihood (plus log
            prior), squares of the scores of the persons, or both, which is valid also if the model
            is wrong.

        Returns
        -------
        inference : Inference
            Discriminations, difficulties (with several dimensions, intercepts), guessing, and what
            is estimated of the trait, with standard errors, covariance, intervals and tests.

        Raises
        ------
        ValueError
            If `information` is unknown, or the responses are invalid.
        """
        problem = self._fitted_problem(X, sample_weight, groups, covariates)
        return infer(problem, information)

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        sample_weight, groups, covariates = arguments
        params = self._params()
        persons = self._persons(X, groups, covariates)
        weight = read_weight(sample_weight, len(persons.codes))
        data = self._model.prepare(persons, weight)
        labels = self._axis_labels()
        if self.groups_ is not None:
            labels["group"] = [str(group) for group in self.groups_]
        return FittedProblem(self._model, data, params, fixed=self._held, labels=labels)

    def aic(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
    ) -> float:
        """Akaike information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            Responses.
        sample_weight : array-like of shape (n_persons,), default=None
            Weights of the persons.
        groups : array-like of shape (n_persons,), default=None
            See `transform`.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            See `transform`.

        Returns
        -------
        aic : float
            ``-2 log-likelihood + 2 n_parameters``.
        """
        total, _ = self._total(X, sample_weight, groups, covariates)
        return -2.0 * total + 2.0 * self._n_parameters()

    def bic(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
    ) -> float:
        """Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            Responses.
        sample_weight : array-like of shape (n_persons,), default=None
            Weights of the persons.
        groups : array-like of shape (n_persons,), default=None
            See `transform`.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            See `transform`.

        Returns
        -------
        bic : float
            ``-2 log-likelihood + log(sum of the weights) n_parameters``.
        """
        total, weight = self._total(X, sample_weight, groups, covariates)
        return -2.0 * total + float(np.log(weight)) * self._n_parameters()

    def _n_parameters(self) -> int:
        params = self._params()
        return self._model.n_parameters(params) - n_held(self._model, params, self._held)

    def _total(
        self, X: Any, sample_weight: Any, groups: Any, covariates: Any
    ) -> tuple[float, float]:
        """Log-likelihood and weight of all persons."""
        values = self.score_samples(X, groups=groups, covariates=covariates)
        weight = read_weight(sample_weight, len(values))
        if weight is None:
            return float(values.sum()), float(len(values))
        return float(weight @ values), float(weight.sum())
