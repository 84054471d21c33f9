"""From formulas to designs, by formulaic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.columns import Column
from emlearn.data.factors import Factor, read_factor
from emlearn.data.frames import eager, is_pandas, is_polars
from emlearn.data.markers import Markers
from emlearn.data.names import at_start
from emlearn.data.schema import column_numbers
from emlearn.data.tables import table_of
from emlearn.mixed._columns import Columns
from emlearn.mixed._formula import (
    ParsedFormula,
    is_column,
    names_in,
    parse_formula,
    unquoted,
    with_backquotes,
    with_dot,
)
from emlearn.mixed._formulaic import Part, formula_of, formulas_of, import_formulaic, matrix_of
from emlearn.mixed._options import TermOptions, check_names, set_kinships
from emlearn.mixed._reading import Recipe, TermRecipe, learn_levels
from emlearn.mixed._terms import Design

Array = NDArray[Any]
Floats = NDArray[np.float64]

_EXCLUDED = {
    "groups": None,
    "random_slopes": None,
    "random_intercept": True,
    "covariance": "full",
    "Z": None,
    "fixed_columns": None,
}


@dataclass(frozen=True)
class Variable:
    """A column that a formula computes with.

    Attributes
    ----------
    name : str
        Its name.
    position : int
        Its position in X.
    levels : ndarray of shape (n_levels,), or None
        Levels of fit, of which no row may have another; None for numbers.
    numeric : bool
        Whether the levels are numbers that the formula makes categories: ``C(name)``.
    """

    name: str
    position: int
    levels: Array | None
    numeric: bool = False

    def values(self, columns: Columns) -> Any:
        """Values of some rows: numbers, or a categorical column of pandas.

        Raises
        ------
        ValueError
            If an entry is no finite number, or its level was not seen in fit.
        """
        if self.levels is None:
            return columns.numbers([self.position])[:, 0]
        factor = _factor(columns, self.position)
        codes = factor.places_in(self.levels)
        if (codes < 0).any():
            row = int(np.argmax(codes < 0))
            shown = ", ".join(map(repr, self.levels[:10].tolist()))
            raise ValueError(
                f"{at_start(factor.label)}, row {row}, has the level "
                f"{factor.levels.tolist()[factor.index[row]]!r}, which was not seen in fit. Its "
                f"levels are {shown}{', ...' if len(self.levels) > 10 else ''}. Effects of new "
                "levels are known only of random effects: leave out the row, or fit with it."
            )
        if self.numeric:
            return self.levels[codes]
        return import_module("pandas").Categorical.from_codes(codes, self.levels)


@dataclass(frozen=True)
class FormulaRecipe(Recipe):
    """A recipe of a formula.

    Attributes
    ----------
    left : str or None
        The left side of the formula.
    dropped : tuple of str
        Columns of the response, which are no features.
    variables : tuple of Variable
        Columns that the formula computes with.
    fixed : formulaic.ModelSpec
        How to compute the fixed part.
    bases : tuple of tuple of formulaic.ModelSpec
        For each term how to compute its parts.
    """

    left: str | None
    dropped: tuple[str, ...]
    variables: tuple[Variable, ...]
    fixed: Any
    bases: tuple[tuple[Any, ...], ...]

    def open(self, estimator: Any, X: Any) -> Columns:
        """The columns of new rows, without those of the response."""
        return Columns(estimator, _without(X, self.dropped), reset=False)

    def design(self, columns: Columns, factors: Sequence[Factor | None]) -> Design:
        """The design of the rows of some columns, whose groups are read already."""
        columns.refuse_missing([own.position for own in self.variables])
        frame = _frame(self.variables, columns)
        fixed = Part.of(self.fixed, frame).without_intercept()
        terms = []
        for recipe, factor, specs in zip(self.terms, factors, self.bases, strict=True):
            parts = [Part.of(spec, frame).values for spec in specs]
            terms.append(recipe.term(factor, np.hstack(parts)))
        return Design(fixed.values, self.fixed_names, tuple(terms))

    def response(self, X: Any, y: Any) -> Any:
        """`y` if it is given; otherwise the left side, computed from the columns of X.

        Raises
        ------
        ValueError
            If `y` is given and the left side is not just a name.
        """
        if self.left is None or (y is not None and is_column(self.left)):
            return y
        if y is None:
            return _left_side(self.left, X)
        raise ValueError(
            f"y is given, but the left side of the formula, {self.left!r}, says how to compute "
            "it. Leave one out: pass y=None, or a formula without a left side."
        )


def learn_formula(estimator: Any, X: Any, groups: Any) -> tuple[FormulaRecipe, Design]:
    """What fit learns about X from a formula, and the design; see `learn_design`."""
    _refuse_others(estimator, groups)
    parsed = parse_formula(with_backquotes(estimator.formula, getattr(eager(X), "columns", ())))
    dropped = _columns_of_response(parsed, X)
    columns = Columns(estimator, _without(X, dropped), reset=True)
    names = columns.names
    if names is None:
        raise ValueError(
            "The formula has names of columns, but those of X have none. Pass a DataFrame."
        )
    parsed = _expanded(parsed, names)
    text = " + ".join([parsed.fixed, *(part.expression for part in parsed.random)])
    used = [columns.position(name, "formula") for name in names_in(text, names)]
    columns.refuse_missing(used)
    variables = tuple(_variable(columns, j, text) for j in used)
    frame = _frame(variables, columns)

    fixed = Part.of(formula_of(parsed.fixed), frame, columns.listed())
    options, parts = _random(parsed, frame, columns)
    set_kinships(options, estimator.kinship)
    factors = [columns.factor(own.groups) for own in options]
    found = list(zip(options, factors, parts, strict=True))
    recipes = tuple(_term(own, factor, several) for own, factor, several in found)
    recipe = FormulaRecipe(
        recipes,
        fixed.without_intercept().names,
        fixed.has_intercept,
        parsed.response,
        dropped,
        variables,
        fixed.spec,
        tuple(tuple(part.spec for part in several) for several in parts),
    )
    terms = tuple(
        own.term(factor, np.hstack([part.values for part in several]))
        for own, (_, factor, several) in zip(recipes, found, strict=True)
    )
    return recipe, Design(fixed.without_intercept().values, recipe.fixed_names, terms)


def _random(
    parsed: ParsedFormula, frame: Any, columns: Columns
) -> tuple[list[TermOptions], list[list[Part]]]:
    """The terms, and the parts of each: those of one group are one term."""
    options: dict[str, TermOptions] = {}
    parts: dict[str, list[Part]] = {}
    for random in parsed.random:
        name = ":".join(random.groups)
        positions = tuple(columns.position(own, "formula") for own in random.groups)
        options.setdefault(name, TermOptions(name, positions, [name, random.groups]))
        own = [Part.of(formula, frame, columns.listed()) for formula in formulas_of(random)]
        parts.setdefault(name, []).extend(own)
    check_names(list(options))
    return list(options.values()), list(parts.values())


def _refuse_others(estimator: Any, groups: Any) -> None:
    for name, default in _EXCLUDED.items():
        value = getattr(estimator, name)
        if value is not default and not (isinstance(default, str) and value == default):
            raise ValueError(
                f"{name} and formula are given, but the formula says it all. Leave one out."
            )
    if groups is not None:
        raise ValueError(
            "groups and formula are given. Add a column of groups to X, and (1 | column) to the "
            "formula."
        )
    if not estimator.fit_intercept:
        raise ValueError(
            "fit_intercept is False, but with a formula that is written as '0 +' in the formula: "
            "'y ~ 0 + x'."
        )


def _expanded(parsed: ParsedFormula, names: list[Any]) -> ParsedFormula:
    """The formula with names in place of the dot."""
    grouping = {name for part in parsed.random for name in part.groups}
    others = [name for name in names if name not in grouping]
    random = [p._replace(expression=with_dot(p.expression, others)) for p in parsed.random]
    return parsed._replace(fixed=with_dot(parsed.fixed, others), random=tuple(random))


def _term(own: TermOptions, factor: Factor, parts: list[Part]) -> TermRecipe:
    names = tuple(name for part in parts for name in part.names)
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(
                f"The formula has the random effect {name!r} of {own.name!r} twice. Write '0 +' "
                f"in one of the parts: (0 + x | {own.name})."
            )
    if not names:
        raise ValueError(f"The formula has no random effects of {own.name!r}: (0 | {own.name}).")
    sizes = [len(part.names) for part in parts]
    block = np.repeat(np.arange(len(parts)), sizes)
    levels, kinship = learn_levels(factor, own.kinship, own.name)
    pattern = block[:, None] == block
    return TermRecipe(own.name, names, levels, pattern, kinship, groups=own.groups)


# ---- the response ---------------------------------------------------------------------


def _columns_of_response(parsed: ParsedFormula, X: Any) -> tuple[str, ...]:
    """Columns of X that only the left side has."""
    X = eager(X)
    if parsed.response is None or not (is_pandas(X) or is_polars(X)):
        return ()
    right = " + ".join([parsed.fixed, *(part.expression for part in parsed.random)])
    names = [name for name in X.columns if isinstance(name, str)]
    kept = {*names_in(right, names), *(name for part in parsed.random for name in part.groups)}
    return tuple(name for name in names_in(parsed.response, names) if name not in kept)


def _without(X: Any, names: tuple[str, ...]) -> Any:
    """X without those of the columns that it has."""
    X = eager(X)
    if is_pandas(X) or is_polars(X):
        found = [name for name in names if name in X.columns]
        return X.drop(columns=found) if is_pandas(X) else X.drop(found)
    return X


def _left_side(left: str, X: Any) -> Floats:
    """Values of the left side, NaN where a column is missing."""
    table = table_of(X)
    if table.names is None:
        raise ValueError(
            f"y is None, and the left side of the formula, {left!r}, has names of columns, but "
            "those of X have none. Pass y, or a DataFrame."
        )
    used = names_in(left, table.names)
    if is_column(left) and not used:
        raise ValueError(
            f"y is None, and X has no column {unquoted(left)!r}, the left side of the formula."
        )
    positions = [table.names.index(name) for name in used]
    values = [column_numbers(table.columns[j], j, table.names, Markers()) for j in positions]
    if is_column(left):
        return values[0]
    frame = _in_pandas(dict(zip(used, values, strict=True)), len(table.X))
    # In braces it is an expression of Python: y / 2 is no nesting.
    spec = formula_of("0 + {" + left + "}")
    found = matrix_of(spec, frame, f"The columns of X are: {', '.join(map(repr, table.names))}.")
    return np.asarray(found, np.float64)[:, 0]


# ---- variables ------------------------------------------------------------------------


def _variable(columns: Columns, position: int, text: str) -> Variable:
    column, name = columns.column(position), columns.name(position)
    numeric = not _is_categorical(column)
    called = re.search(rf"\bC\(\s*`?{re.escape(name)}`?\s*[,)]", text)
    if numeric and not called:
        return Variable(name, position, None)
    levels = _factor(columns, position).levels
    if column.declared is not None:
        seen = set(levels.tolist())
        ordered = [level for level in column.declared if level in seen]
        levels = np.array([*ordered, None], object)[:-1]
    return Variable(name, position, levels, numeric)


def _is_categorical(column: Column) -> bool:
    if column.nature in ("text", "category"):
        return True
    types = set(map(type, column.objects())) if column.nature == "objects" else ()
    return any(issubclass(kind, (str, bytes)) for kind in types)


def _factor(columns: Columns, position: int) -> Factor:
    label = f"{columns.label(position)} of X"
    return read_factor(columns.column(position), label, whole=False)


def _frame(variables: Sequence[Variable], columns: Columns) -> Any:
    return _in_pandas({own.name: own.values(columns) for own in variables}, columns.n_samples)


def _in_pandas(values: dict[str, Any], n_rows: int) -> Any:
    import_formulaic()
    return import_module("pandas").DataFrame(values, index=range(n_rows))
