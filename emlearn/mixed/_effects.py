"""Predicted random effects."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.mixed._equations import Equations
from emlearn.mixed._gram import Array
from emlearn.mixed._terms import Term
from emlearn.mixed._uncertainty import Uncertainty


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """Best linear unbiased predictions (BLUP) of the random effects of a term.

    Attributes
    ----------
    levels : ndarray of shape (n_levels,)
        Identifiers of the levels; of a kinship, also those without observations.
    columns : tuple of str
        Names of the random effects of a level: "intercept", or names of columns.
    effects : ndarray of shape (n_levels, n_columns)
        The predictions.
    variances : ndarray of shape (n_levels, n_columns, n_columns)
        Prediction error variances: covariances of the errors of the predictions. They include
        that the fixed effects are estimated, as is usual in breeding.
    conditional_variances : ndarray of shape (n_levels, n_columns, n_columns)
        The same at known fixed effects, as lme4 has them.
    reliabilities : ndarray of shape (n_levels, n_columns)
        Squared correlations of predictions and true effects, ``1 - PEV / variance``, with the
        variance of the effect before any observation: that of the term times the diagonal of its
        kinship. 0 is no information, and where the variance is 0.
    """

    levels: NDArray[Any]
    columns: tuple[str, ...]
    effects: Array
    variances: Array
    conditional_variances: Array
    reliabilities: Array

    @property
    def accuracies(self) -> Array:
        """Correlations of predictions and true effects, (n_levels, n_columns)."""
        found: Array = np.sqrt(self.reliabilities)
        return found

    @property
    def standard_errors(self) -> Array:
        """Standard deviations of the errors of the predictions, (n_levels, n_columns)."""
        found: Array = np.sqrt(np.diagonal(self.variances, axis1=1, axis2=2))
        return found

    def of(self, level: Any) -> Array:
        """Predictions for one level.

        Parameters
        ----------
        level : object
            Its identifier.

        Returns
        -------
        effects : ndarray of shape (n_columns,)
            The predictions.

        Raises
        ------
        KeyError
            If there is no such level.
        """
        for i, known in enumerate(self.levels.tolist()):
            if known == level:
                found: Array = self.effects[i]
                return found
        raise KeyError(f"no level {level!r}")

    def to_frame(self) -> Any:
        """The predictions as a DataFrame of pandas.

        Returns
        -------
        frame : DataFrame
            One row for each level; for each column the predicted effect and, with the suffix
            " std error", its standard error.
        """
        pandas = importlib.import_module("pandas")
        table: dict[str, Any] = {}
        for j, name in enumerate(self.columns):
            table[name] = self.effects[:, j]
            table[f"{name} std error"] = self.standard_errors[:, j]
        return pandas.DataFrame(table, index=list(self.levels.tolist()))

    def __repr__(self) -> str:
        return f"RandomEffects({len(self.levels)} levels, columns={self.columns})"


def random_effects(
    term: Term, at: int, equations: Equations, uncertainty: Uncertainty
) -> RandomEffects:
    """Predictions for one term.

    Parameters
    ----------
    term : Term
        The term.
    at : int
        Its number in the order of the equations.
    equations : Equations
        At the estimates.
    uncertainty : Uncertainty
        Their errors.
    """
    fitted = uncertainty.terms[at]
    start = sum(layout.size for layout in equations.layouts[:at])
    estimated = equations.effects[start : start + fitted.layout.size].reshape(fitted.layout)
    if fitted.root is not None:
        estimated = fitted.root @ estimated
    root = uncertainty.unit * (fitted.transform @ fitted.factor)
    effects = estimated @ root.T
    variances, conditional = uncertainty.level_variances(at)
    before = np.square(root).sum(axis=1) * uncertainty.residual
    if fitted.diagonal is not None:
        before = fitted.diagonal[:, None] * before
    unknown = np.divide(
        np.diagonal(variances, axis1=1, axis2=2),
        before,
        out=np.ones_like(effects),
        where=before > 0,
    )
    levels, columns = term.levels, term.columns
    if not term.grouped:
        levels, columns = np.array(term.columns, object), ("effect",)
    return RandomEffects(
        levels, columns, effects, variances, conditional, np.clip(1.0 - unknown, 0.0, 1.0)
    )
