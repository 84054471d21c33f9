"""The rows of a fit of `LinearMixedModelEM`, as its model reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from emlearn.data import read_weight
from emlearn.mixed._data import MixedData, mixed_data
from emlearn.mixed._model import MixedModel
from emlearn.mixed._params import RESIDUAL
from emlearn.mixed._reading import Recipe, learn_design, read_given
from emlearn.mixed._resampling import MixedResampling, MixedRows
from emlearn.mixed._response import read_response
from emlearn.mixed._terms import Design

Array = NDArray[np.float64]


class MixedReading:
    """How `LinearMixedModelEM` reads rows, and what its model of them is."""

    fixed: dict[str, Any] | None
    method: str
    weights: str
    _recipe: Recipe

    def _read_data(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, *, reset: bool
    ) -> tuple[Recipe, Design, MixedData]:
        """How tables are read, the design of the rows that count, and their data."""
        rows = self._rows(X, y, sample_weight, groups, reset=reset)
        parts = (rows.recipe, rows.design)
        return *parts, self._data(*parts, rows.response, rows.weight)

    def _rows(self, X: Any, y: Any, sample_weight: Any, groups: Any, *, reset: bool) -> MixedRows:
        recipe, design = self._design(X, groups, reset=reset)
        response = read_response(recipe.response(X, y), len(design.fixed), type(self).__name__)
        weight = read_weight(sample_weight, len(response), any_scale=self.weights == "precision")
        used = ~np.isnan(response)
        if weight is not None:
            used &= weight > 0.0
        rows = np.flatnonzero(used)
        if not used.all():
            # Levels that only these rows have are not seen.
            X, response = _safe_indexing(X, rows), response[rows]
            groups = None if groups is None else _safe_indexing(groups, rows)
            weight = None if weight is None else weight[rows]
            recipe, design = self._design(X, groups, reset=reset)
        return MixedRows(recipe, design, response, weight, rows)

    def _data(
        self, recipe: Recipe, design: Design, response: Array, weight: Array | None
    ) -> MixedData:
        columns = design.fixed
        if recipe.fit_intercept:
            columns = np.column_stack([np.ones(len(columns)), columns])
        precision = self.weights == "precision"
        return mixed_data(columns, design.terms, response, weight, precision_weights=precision)

    def _resampling(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, kind: str
    ) -> MixedResampling:
        """How the bootstrap resamples the rows of the fit."""
        if kind == "bayesian":
            raise ValueError(
                "kind='bayesian' weighs the units, but a random effect has no parts: use "
                "kind='nonparametric', which draws levels, or 'parametric'."
            )
        given = any(term.grouped and not term.groups for term in self._recipe.terms)
        rows = self._rows(X, y, sample_weight, groups if given else None, reset=False)
        factor = None
        if groups is not None and not given:
            if kind == "parametric":
                raise ValueError(
                    "groups are not part of the model, so responses drawn from it do not depend "
                    "on them: leave them out."
                )
            factor = read_given(groups, len(X))
            factor = replace(
                factor, index=np.unique(factor.index[rows.used], return_inverse=True)[1]
            )
        return MixedResampling(self, rows, kind, factor)

    def _require_identified(self, design: Design, data: MixedData) -> None:
        """Raise ValueError if a term has more random effects than rows, or dependent columns."""
        held, n_rows = self.fixed or {}, len(data.response)
        for j, own in zip(data.order, data.designs, strict=True):
            term, q = design.terms[j], len(design.terms[j].columns)
            if not term.grouped or q == 1 or term.name in held or RESIDUAL in held:
                continue
            if own.dependent:
                raise ValueError(
                    f"The column {term.columns[own.dependent[0]]!r} of the random effects of "
                    f"{term.name!r} is constant or depends on their other columns, so that its "
                    "variance is not identified. Leave it out of random_slopes."
                )
            n_effects = len(term.levels) * q
            if n_effects >= n_rows and term.kinship is None:
                raise ValueError(
                    f"The term {term.name!r} has {n_effects} random effects ({q} for each of "
                    f"{len(term.levels)} levels), and there are only {n_rows} rows: they can "
                    "explain any y, so that the residual variance is not identified. Use "
                    "fewer random_slopes, or hold the variance of 'residual' with `fixed`."
                )

    def _design(self, X: Any, groups: Any, *, reset: bool) -> tuple[Recipe, Design]:
        if reset:
            return learn_design(self, X, groups)
        return self._recipe, self._recipe.apply(self, X, groups)

    def _model(self, design: Design) -> MixedModel:
        names = tuple(term.name for term in design.terms)
        patterns = tuple(
            term.pattern if term.grouped else np.ones((1, 1), bool) for term in design.terms
        )
        return MixedModel(names, patterns, self.method == "reml")
