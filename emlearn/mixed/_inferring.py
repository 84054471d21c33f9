"""Errors of variances, fixed effects and heritabilities of a fitted mixed model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from emlearn.engine.estimates import Estimates
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.parameters import Public
from emlearn.mixed._data import MixedData
from emlearn.mixed._fixed_effects import satterthwaite
from emlearn.mixed._model import MixedModel, effects_axis
from emlearn.mixed._params import RESIDUAL, SMALLEST
from emlearn.mixed._terms import Design, Term


class MixedInferring:
    """Inference of `LinearMixedModelEM`."""

    fixed: dict[str, Any] | None
    boundary_: tuple[str, ...]
    fixed_effects_: Estimates
    variance_components_: dict[str, Any]
    _fingerprint: Any

    @abstractmethod
    def _check_fitted(self) -> None: ...

    @abstractmethod
    def _read_data(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, *, reset: bool
    ) -> tuple[Any, Design, MixedData]: ...

    @abstractmethod
    def _model(self, design: Design) -> MixedModel: ...

    @abstractmethod
    def _fixed(self, model: LatentVariableModel[Any, Any, Any], params: Any) -> Public: ...

    def inference(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        information: Kind = "observed",
    ) -> Inference:
        """Standard errors, intervals and tests of the variance components.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,)
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.
        groups : array-like of shape (n_samples,), default=None
            As for `fit`.
        information : "observed"
            Minus the second derivatives of the (restricted) log-likelihood. Rows are not
            independent, so there is no other.

        Returns
        -------
        inference : Inference
            The variance components, with standard errors, covariance, intervals, tests and a
            table. Intervals are on the scale of logarithms. A variance of 0 has no error, and a
            covariance that is otherwise singular those within singular covariances.

        Raises
        ------
        ValueError
            If `information` is not "observed", or the rows are invalid.
        """
        if information != "observed":
            raise ValueError(
                f"information must be 'observed', got {information!r}: the rows of a mixed model "
                "are not independent."
            )
        found = infer(self._fitted_problem(X, y, sample_weight, groups), information)
        if not self.boundary_:
            return found
        terms = ", ".join(self.boundary_)
        note = f"singular covariances of {terms}: errors are those within singular covariances"
        return replace(found, notes=(*found.notes, note))

    def _read_fitted(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[Design, MixedData]:
        """The rows of the fit once more."""
        _, design, data = self._read_data(X, y, sample_weight, groups, reset=False)
        if not np.allclose(data.fingerprint, self._fingerprint, rtol=1e-8, atol=1e-8):
            raise ValueError(
                "X, y and sample_weight must be the rows, responses and weights of the fit, which "
                "the errors of its estimates come from; these are others."
            )
        return design, data

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        y, sample_weight, groups = (*arguments, None, None, None)[:3]
        self._check_fitted()
        design, data = self._read_fitted(X, y, sample_weight, groups)
        model = self._model(design)
        like = model.initialize(data, np.random.default_rng(0))
        public = {name: np.asarray(value) for name, value in self.variance_components_.items()}
        params = model.from_public(public, like)
        fixed = self._fixed(model, params) if self.fixed else {}
        labels = {effects_axis(term.name): term.columns for term in design.terms}
        return FittedProblem(
            replace(model, least=SMALLEST), data, params, fixed=fixed, labels=labels
        )

    def fixed_effects(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        degrees_of_freedom: Literal["satterthwaite", "normal"] = "satterthwaite",
    ) -> Estimates:
        """Fixed effects with standard errors, t-tests and intervals.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,)
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.
        groups : array-like of shape (n_samples,), default=None
            As for `fit`.
        degrees_of_freedom : {"satterthwaite", "normal"}, default="satterthwaite"
            "satterthwaite": t distributions whose degrees of freedom follow from how uncertain
            the standard errors are because variances are estimated; as lmerTest has it. "normal":
            infinitely many.

        Returns
        -------
        estimates : Estimates
            Intercept and fixed effects; `degrees_of_freedom` has one number for each.

        Raises
        ------
        ValueError
            If `degrees_of_freedom` is unknown, or the rows are invalid.

        References
        ----------
        F. E. Satterthwaite (1946). "An approximate distribution of estimates of variance
        components". Biometrics Bulletin 2(6), 110-114.

        A. Kuznetsova, P. B. Brockhoff and R. H. B. Christensen (2017). "lmerTest package: tests
        in linear mixed effects models". Journal of Statistical Software 82(13).
        """
        self._check_fitted()
        if degrees_of_freedom == "normal":
            return self.fixed_effects_
        if degrees_of_freedom != "satterthwaite":
            raise ValueError(
                "degrees_of_freedom must be 'satterthwaite' or 'normal', got "
                f"{degrees_of_freedom!r}."
            )
        problem = self._fitted_problem(X, y, sample_weight, groups)
        return satterthwaite(problem, infer(problem), self.fixed_effects_)

    def heritability(
        self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> Estimates:
        """Heritability of each term with a kinship, with standard errors and intervals.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,)
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.
        groups : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        estimates : Estimates
            By the delta method; intervals are on the scale of logits. There is none for a term at
            a boundary, nor where the residual variance goes to 0.

        Raises
        ------
        ValueError
            If there is no term with a kinship and intercepts, or the rows are invalid.
        """
        self._check_fitted()
        _, design, _ = self._read_data(X, y, sample_weight, groups, reset=False)
        if not heritabilities(self.variance_components_, design):
            raise ValueError("There is no term with a kinship and intercepts, so no heritability.")
        inference = self.inference(X, y, sample_weight, groups)
        found = inference.function(lambda components: heritabilities(components, design))
        n = len(found.names)
        # With a covariance at a boundary, what is left of the errors is too small.
        near = np.array([name in self.boundary_ for name in found.names])
        # So it is with a residual variance that is as good as 0.
        near |= inference.remarks[-1] == "not identified"
        covariance = np.where(near[:, None] | near, np.nan, found.covariance)
        remarks = ("at a bound" if bound else "" for bound in near)
        return Estimates(
            found.names, found.estimate, covariance, np.zeros(n), np.ones(n), tuple(remarks)
        )


def heritabilities(components: Mapping[str, Any], design: Design) -> dict[str, float]:
    """Part of the variance of a row that is due to the intercepts of each term with a kinship."""
    parts = {term.name: _variance_of_rows(term, components[term.name]) for term in design.terms}
    total = float(np.asarray(components[RESIDUAL])) + sum(parts.values())
    return {
        term.name: parts[term.name] / total
        for term in design.terms
        if term.kinship is not None and _has_intercept(term)
    }


def _variance_of_rows(term: Term, covariance: Any) -> float:
    """Variance that a term adds to rows: where its slopes are 0, or on average of columns of X."""
    variance = float(np.asarray(covariance)[0, 0])
    if not term.grouped:
        return variance * float(np.square(term.basis).sum(axis=1).mean())
    return variance if _has_intercept(term) else 0.0


def _has_intercept(term: Term) -> bool:
    return term.grouped and bool((term.basis[:, 0] == 1.0).all())
