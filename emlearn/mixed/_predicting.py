"""Predictions of a fitted mixed model."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from emlearn.engine.threads import blas_limited
from emlearn.mixed._effects import RandomEffects
from emlearn.mixed._params import RESIDUAL
from emlearn.mixed._response import read_response
from emlearn.mixed._terms import Design, Term
from emlearn.mixed._uncertainty import Uncertainty

Array = NDArray[np.float64]
Use = Literal["known", "none"]


class MixedPredicting:
    """`predict` and `score` of `LinearMixedModelEM`."""

    random_effects: str
    coef_: Array
    intercept_: float
    variance_components_: dict[str, Any]
    random_effects_: dict[str, RandomEffects]
    _recipe: Any
    _uncertainty: Uncertainty

    @overload
    def predict(
        self,
        X: Any,
        *,
        return_std: Literal[False] = False,
        random_effects: Use | None = None,
        groups: Any = None,
    ) -> Array: ...

    @overload
    def predict(
        self,
        X: Any,
        *,
        return_std: Literal[True],
        random_effects: Use | None = None,
        groups: Any = None,
    ) -> tuple[Array, Array]: ...

    def predict(
        self,
        X: Any,
        *,
        return_std: bool = False,
        random_effects: Use | None = None,
        groups: Any = None,
    ) -> Array | tuple[Array, Array]:
        """Expected response of rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows, with the columns of the fit.
        return_std : bool, default=False
            Whether to return the standard deviation of a new response around its prediction, too.
            It includes the residual, the errors of the predicted effects, and all of a random
            effect that is not known; not that variances are estimated.
        random_effects : {"known", "none"}, default=None
            "known": add the random effects of levels that were seen in `fit`. "none": predict for
            a level that was never seen. None: as the hyperparameter says.
        groups : array-like of shape (n_samples,), default=None
            Levels of the rows, if such were given to `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Predictions.
        std : ndarray of shape (n_samples,)
            Only with `return_std`.

        Raises
        ------
        ValueError
            If `random_effects` is unknown, or X is invalid.
        """
        self._check_fitted()
        use = self.random_effects if random_effects is None else random_effects
        if use not in ("known", "none"):
            raise ValueError(f"random_effects must be 'known' or 'none', got {use!r}.")
        design = self._recipe.apply(self, X, groups)
        mean = design.fixed @ self.coef_ + self.intercept_
        if use == "known":
            for term in design.terms:
                mean += contribution(term, self.random_effects_[term.name].effects)
        if not return_std:
            return mean
        return mean, np.sqrt(self._variances(design, use))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Coefficient of determination of the predictions, as that of other regressors.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their responses. Rows in which it is NaN are left out, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            1 is perfect, 0 as good as the mean of y. `random_effects` says whether predictions
            are for known levels.

        Raises
        ------
        ValueError
            If X or y is invalid, or y is missing in all rows.
        """
        mean = self.predict(X)
        response = read_response(self._recipe.response(X, y), len(mean), type(self).__name__)
        rows = np.flatnonzero(~np.isnan(response))
        if sample_weight is not None:
            sample_weight = _safe_indexing(sample_weight, rows)
        return float(r2_score(response[rows], mean[rows], sample_weight=sample_weight))

    def _variances(self, design: Design, use: str) -> Array:
        columns = design.fixed
        if self._recipe.fit_intercept:
            columns = np.column_stack([np.ones(len(columns)), columns])
        index = [term.index if use == "known" else None for term in design.terms]
        with blas_limited():
            found = self._uncertainty.row_variances(
                columns, index, [term.basis for term in design.terms]
            )
        return found + float(self.variance_components_[RESIDUAL])

    def _check_fitted(self) -> None:
        check_is_fitted(self, "variance_components_")


def contribution(term: Term, effects: Array) -> Array:
    """What the random effects of a term add to each row; 0 for unknown levels."""
    if not term.grouped:
        found: Array = term.basis @ effects[:, 0]
        return found
    known = term.index >= 0
    own = effects[np.where(known, term.index, 0)] if len(effects) else np.zeros_like(term.basis)
    return np.where(known, (term.basis * own).sum(axis=1), 0.0)
