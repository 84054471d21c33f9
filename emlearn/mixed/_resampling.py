"""New data for the bootstrap: levels that are drawn, or responses from the fitted model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.factors import Factor
from emlearn.mixed._covariance import square_root
from emlearn.mixed._gram import Array
from emlearn.mixed._params import RESIDUAL
from emlearn.mixed._predicting import contribution
from emlearn.mixed._reading import Recipe
from emlearn.mixed._terms import Design, Term

Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MixedRows:
    """The rows of a fit.

    Attributes
    ----------
    recipe : Recipe
        How they were read.
    design : Design
        Their design.
    response : ndarray of shape (n_rows,)
        Their responses.
    weight : ndarray of shape (n_rows,) or None
        Their weights > 0.
    used : ndarray of int of shape (n_rows,)
        Their positions in X.
    """

    recipe: Recipe
    design: Design
    response: Array
    weight: Array | None
    used: Codes


class MixedResampling:
    """Refits of a mixed model to resamples of the rows of a fit.

    Parameters
    ----------
    full : LinearMixedModelEM
        The fit.
    rows : MixedRows
        Its rows.
    kind : {"nonparametric", "parametric"}
        Whether whole levels are drawn, or responses.
    groups : Factor or None
        What is drawn as a whole. None: the levels of the coarsest grouping factor, or rows if
        there is none.

    Raises
    ------
    ValueError
        If no part of the rows is independent of the others, or weights are no numbers of copies.
    """

    def __init__(self, full: Any, rows: MixedRows, kind: str, groups: Factor | None):
        self._full = full
        self._rows = rows
        self._kind = kind
        n_rows = len(rows.response)
        self._unit_of_row: Codes = np.arange(n_rows)
        self.what = "row"
        if kind == "parametric":
            self._require_counts()
        elif rows.design.terms:
            self._unit_of_row, self.what = _units(rows.design.terms, groups), "level"
        elif groups is not None:
            self._unit_of_row, self.what = groups.index, "group"
        self.n_units = int(self._unit_of_row.max()) + 1

    def fit_copies(self, refit: Any, copies: Array) -> Any:
        """Fit to so many copies of each unit; each copy has levels of its own."""
        rows, order = self._rows, np.argsort(self._unit_of_row, kind="stable")
        sizes = np.bincount(self._unit_of_row, minlength=self.n_units)
        starts = np.cumsum(sizes) - sizes
        drawn = np.repeat(np.arange(self.n_units), copies.astype(np.intp))
        taken = np.concatenate([order[starts[u] : starts[u] + sizes[u]] for u in drawn])
        draw = np.repeat(np.arange(len(drawn)), sizes[drawn])
        # Equal units follow each other.
        copy = np.arange(len(drawn)) - np.searchsorted(drawn, drawn)
        terms = tuple(_redrawn(term, taken, draw, copy) for term in rows.design.terms)
        levels = [term.levels for term in terms]
        recipes = zip(rows.recipe.terms, levels, strict=True)
        recipe = replace(
            rows.recipe, terms=tuple(replace(own, levels=found) for own, found in recipes)
        )
        design = replace(rows.design, fixed=rows.design.fixed[taken], terms=terms)
        weight = None if rows.weight is None else rows.weight[taken]
        return self._fit(refit, recipe, design, rows.response[taken], weight)

    def fit(self, refit: Any, rng: np.random.Generator) -> Any:
        """Fit to responses that are drawn from the model."""
        rows, full = self._rows, self._full
        design, weight = self._drawn_design
        response = design.fixed @ full.coef_ + full.intercept_
        for term, root in zip(design.terms, self._roots, strict=True):
            half = square_root(np.asarray(full.variance_components_[term.name]))
            n = len(term.levels) if term.grouped else len(term.columns)
            effects = rng.standard_normal((n if root is None else root.shape[1], len(half))) @ half
            response += contribution(term, effects if root is None else root @ effects)
        error = np.sqrt(full.variance_components_[RESIDUAL]) * rng.standard_normal(len(response))
        response += error if weight is None else error / np.sqrt(weight)
        return self._fit(refit, rows.recipe, design, response, weight)

    @staticmethod
    def _fit(
        refit: Any, recipe: Recipe, design: Design, response: Array, weight: Array | None
    ) -> Any:
        return refit._fit_data(recipe, design, refit._data(recipe, design, response, weight))

    @cached_property
    def _drawn_design(self) -> tuple[Design, Array | None]:
        """The design of the drawn responses; numbers of copies are rows of their own."""
        design, weight = self._rows.design, self._rows.weight
        if weight is None or self._full.weights == "precision":
            return design, weight
        taken = np.repeat(np.arange(len(weight)), weight.astype(np.intp))
        terms = tuple(
            replace(term, index=term.index[taken], basis=term.basis[taken]) for term in design.terms
        )
        return replace(design, fixed=design.fixed[taken], terms=terms), None

    @cached_property
    def _roots(self) -> list[Array | None]:
        kinships = [term.kinship for term in self._rows.design.terms]
        return [None if kinship is None else kinship.square_root() for kinship in kinships]

    def _require_counts(self) -> None:
        weight = self._rows.weight
        if weight is None or self._full.weights == "precision":
            return
        if (weight != np.floor(weight)).any():
            raise ValueError(
                "kind='parametric' draws as many rows as there are copies, so sample_weight must "
                "hold integers: use kind='nonparametric', or weights='precision' if the weights "
                "are no numbers of copies."
            )


def _units(terms: tuple[Term, ...], groups: Factor | None) -> Codes:
    """Unit of each row: a group, or a level of the coarsest term."""
    for term in terms:
        if not term.grouped or term.kinship is not None:
            kind = "are related by its kinship" if term.grouped else "concern all rows"
            raise ValueError(
                f"The random effects of {term.name!r} {kind}, so no part of the rows can be drawn "
                "without the others: use kind='parametric'."
            )
    if groups is not None:
        found, what = groups.index, "groups"
    else:
        coarsest = min(terms, key=lambda term: len(np.unique(term.index)))
        found, what = coarsest.index, repr(coarsest.name)
    for term in terms:
        pairs = np.unique(np.column_stack([term.index, found]), axis=0)
        repeated = pairs[1:, 0] == pairs[:-1, 0]
        if repeated.any():
            level = term.levels.tolist()[pairs[np.argmax(repeated), 0]]
            raise ValueError(
                f"The level {level!r} of {term.name!r} has rows in several levels of {what}, so "
                "that these are not independent and cannot be drawn one by one: use "
                "kind='parametric'."
            )
    _, index = np.unique(found, return_inverse=True)
    return index.astype(np.intp)


def _redrawn(term: Term, taken: Codes, draw: Codes, copy: Codes) -> Term:
    """A term of drawn rows: the same level in two draws is two levels."""
    n_levels = len(term.levels)
    codes, index = np.unique(draw * n_levels + term.index[taken], return_inverse=True)
    labels = term.levels.tolist()
    levels = np.empty(len(codes), object)
    for i, code in enumerate(codes.tolist()):
        own, again = labels[code % n_levels], int(copy[code // n_levels])
        levels[i] = (own, again) if again else own
    return replace(term, levels=levels, index=index.astype(np.intp), basis=term.basis[taken])
