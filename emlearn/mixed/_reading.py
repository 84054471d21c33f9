"""From tables to designs: what fit learns about X, and predict applies again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from emlearn.data.factors import Factor, read_factor
from emlearn.data.tables import table_of
from emlearn.mixed._columns import Columns
from emlearn.mixed._kinship import Kinship, as_kinship
from emlearn.mixed._options import INTERCEPT, TermOptions, read_blocks, read_fixed, read_options
from emlearn.mixed._terms import Design, Term

Array = NDArray[Any]
Floats = NDArray[np.float64]
Pattern = NDArray[np.bool_]


@dataclass(frozen=True)
class TermRecipe:
    """What fit learned about one random-effects term.

    Attributes
    ----------
    name, columns, levels, pattern, kinship, grouped
        As in `Term`.
    groups : tuple of int
        Positions of the columns of its labels; empty if labels are given to fit, or are none.
    """

    name: str
    columns: tuple[str, ...]
    levels: Array
    pattern: Pattern
    kinship: Kinship | None = None
    grouped: bool = True
    groups: tuple[int, ...] = ()

    def term(self, factor: Factor | None, basis: Floats) -> Term:
        """The term of some rows.

        Parameters
        ----------
        factor : Factor or None
            Labels of the rows. None: they are unknown, or the term has none.
        basis : ndarray of shape (n_samples, n_columns)
            Values of its columns.
        """
        if factor is not None:
            index = places(factor, self.levels, self.kinship)
        else:
            index = np.full(len(basis), -1 if self.grouped else 0, np.intp)
        return Term(
            self.name,
            self.columns,
            self.levels,
            index,
            basis,
            self.pattern,
            self.kinship,
            self.grouped,
        )


@dataclass(frozen=True)
class Recipe(ABC):
    """What fit learned about X: how a table becomes a `Design`.

    Attributes
    ----------
    terms : tuple of TermRecipe
        Random-effects terms.
    fixed_names : tuple of str
        Names of the columns with fixed effects, without the intercept.
    fit_intercept : bool
        Whether there is a fixed intercept.
    """

    terms: tuple[TermRecipe, ...]
    fixed_names: tuple[str, ...]
    fit_intercept: bool

    def apply(self, estimator: Any, X: Any, groups: Any = None) -> Design:
        """The design of new rows; levels that fit did not see have the index -1.

        Parameters
        ----------
        estimator : estimator
            The fitted estimator, with which the columns of X are compared.
        X : array-like or DataFrame of shape (n_samples, n_features)
            New rows.
        groups : array-like of shape (n_samples,), default=None
            Labels of the rows, if such were given to fit. Without them, groups are unknown.

        Raises
        ------
        ValueError
            If X has not the columns of fit, or an entry is invalid.
        """
        columns = self.open(estimator, X)
        return self.design(columns, self._factors(columns, groups))

    def open(self, estimator: Any, X: Any) -> Columns:
        """The columns of new rows."""
        return Columns(estimator, X, reset=False)

    def response(self, X: Any, y: Any) -> Any:
        """`y`, or what a formula says to take from X if `y` is None."""
        return y

    @abstractmethod
    def design(self, columns: Columns, factors: Sequence[Factor | None]) -> Design:
        """The design of the rows of some columns, whose groups are read already."""

    def _factors(self, columns: Columns, groups: Any) -> list[Factor | None]:
        given = None if groups is None else read_given(groups, columns.n_samples)
        if given is not None and not any(_is_given(term) for term in self.terms):
            raise ValueError(
                "groups are given, but there were none in fit. Pass groups to fit, too, or name "
                "columns of X in the parameter groups."
            )
        return [
            columns.factor(term.groups) if term.groups else given if _is_given(term) else None
            for term in self.terms
        ]


@dataclass(frozen=True)
class ColumnRecipe(Recipe):
    """A recipe of columns of X as they are.

    Attributes
    ----------
    fixed : tuple of int
        Positions of the columns with fixed effects.
    bases : tuple of tuple of int or None
        For each term the positions of its columns; None for the intercept.
    """

    fixed: tuple[int, ...]
    bases: tuple[tuple[int | None, ...], ...]

    def design(self, columns: Columns, factors: Sequence[Factor | None]) -> Design:
        """The design of the rows of some columns, whose groups are read already."""
        fixed = columns.numbers(self.fixed)
        bases = [self._basis(columns, basis) for basis in self.bases]
        found = zip(self.terms, factors, bases, strict=True)
        terms = tuple(recipe.term(factor, basis) for recipe, factor, basis in found)
        return Design(fixed, self.fixed_names, terms)

    @staticmethod
    def _basis(columns: Columns, basis: tuple[int | None, ...]) -> Floats:
        slopes = columns.numbers([j for j in basis if j is not None])
        if None not in basis:
            return slopes
        return np.column_stack((np.ones(columns.n_samples), slopes))


def learn_design(estimator: Any, X: Any, groups: Any = None) -> tuple[Recipe, Design]:
    """What fit learns about X, and the design of its rows.

    Parameters
    ----------
    estimator : estimator
        Has the parameters groups, random_slopes, random_intercept, covariance, kinship, Z,
        formula, fixed_columns and fit_intercept of `LinearMixedModelEM`. `n_features_in_` and
        `feature_names_in_` are set.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows to fit.
    groups : array-like of shape (n_samples,), default=None
        Labels of the rows: one more term, named "groups".

    Returns
    -------
    recipe : Recipe
        How to read other tables.
    design : Design
        The design of the rows of X.

    Raises
    ------
    ValueError
        If a parameter names a column or a term that does not exist, or says what cannot be; if
        an entry of X is invalid (the message names its column and row), or a level is not in a
        kinship.
    TypeError
        If X is sparse, or an entry is an object that cannot be read.
    ImportError
        If there is a formula, and formulaic is not installed.
    """
    if estimator.formula is not None:
        from emlearn.mixed._formula_design import learn_formula

        return learn_formula(estimator, X, groups)
    columns = Columns(estimator, X, reset=True)
    options = read_options(estimator, columns, groups is not None)
    blocks = read_blocks(estimator.Z, columns, [term.name for term in options])
    fixed = read_fixed(estimator.fixed_columns, columns, options, blocks)
    factors: list[Factor | None] = [
        columns.factor(own.groups) if own.groups else read_given(groups, columns.n_samples)
        for own in options
    ]
    terms, bases = [], []
    for own, factor in zip(options, factors, strict=True):
        terms.append(_grouped(own, factor, columns))
        bases.append((*((None,) if own.intercept else ()), *own.slopes))
    for name, listed in blocks.items():
        names = tuple(map(columns.name, listed))
        one_level = np.array([None], object)
        one_variance = np.ones((1, 1), bool)
        terms.append(TermRecipe(name, names, one_level, one_variance, grouped=False))
        bases.append(tuple(listed))
    recipe = ColumnRecipe(
        tuple(terms),
        tuple(map(columns.name, fixed)),
        estimator.fit_intercept,
        tuple(fixed),
        tuple(bases),
    )
    return recipe, recipe.design(columns, [*factors, *[None] * len(blocks)])


def learn_levels(factor: Factor, kinship: Any, name: str) -> tuple[Array, Kinship | None]:
    """Levels of a term, and its kinship.

    Raises
    ------
    ValueError
        If the kinship is invalid or lacks a level.
    """
    if kinship is None:
        return factor.levels, None
    kinship = as_kinship(kinship, name)
    unknown = np.flatnonzero(kinship.positions(factor.levels) < 0)
    if unknown.size:
        level = int(unknown[0])
        known = list(map(repr, kinship.levels[:6].tolist()))
        shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        advice = "add the level, or leave out its rows."
        if str(factor.levels[level]) in map(str, kinship.levels.tolist()):
            advice = "text and numbers are never the same level. Convert one of them."
        where = f"{factor.label} (row {factor.first_row(level)})"
        raise ValueError(
            f"Level {factor.levels.tolist()[level]!r} of {where} is not in the kinship of "
            f"{name!r}: of {len(factor.levels)} levels, {unknown.size} are missing. The kinship "
            f"has {shown}: {advice}"
        )
    return kinship.levels, kinship


def places(factor: Factor, levels: Array, kinship: Kinship | None) -> NDArray[np.intp]:
    """Position of the level of each row among the levels of a term; -1 if unknown."""
    if kinship is None:
        return factor.places_in(levels)
    return kinship.positions(factor.levels)[factor.index]


def read_given(groups: Any, n_samples: int) -> Factor:
    """Labels that are given as an array, one for each row.

    Raises
    ------
    ValueError
        If it is not a vector, its length is wrong, or a label is missing or not whole.
    """
    is_series = hasattr(groups, "to_frame")
    values = groups.to_frame() if is_series else groups
    if not is_series and not hasattr(groups, "columns"):
        array = np.asanyarray(groups, object if isinstance(groups, (list, tuple)) else None)
        if array.ndim == 1:
            array = array.reshape(-1, 1)
        values = array
    table = table_of(values)
    if len(table.columns) != 1:
        raise ValueError(
            f"groups must have one label for each row, but has shape {table.X.shape}. For several "
            "grouping factors, name columns of X in the parameter groups."
        )
    check_consistent_length(np.empty(n_samples), table.X)
    return read_factor(table.columns[0], "groups")


def _grouped(own: TermOptions, factor: Factor | None, columns: Columns) -> TermRecipe:
    assert factor is not None
    levels, kinship = learn_levels(factor, own.kinship, own.name)
    names = (*((INTERCEPT,) if own.intercept else ()), *map(columns.name, own.slopes))
    q = len(names)
    pattern = np.ones((q, q), bool) if own.correlated else np.eye(q, dtype=bool)
    return TermRecipe(own.name, names, levels, pattern, kinship, groups=own.groups)


def _is_given(term: TermRecipe) -> bool:
    return term.grouped and not term.groups
