"""What the parameters of a mixed model say about its terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emlearn.mixed._columns import Columns

#: Name of the term of labels that are given to fit.
GIVEN = "groups"
#: Name of the random intercept among the columns of a term.
INTERCEPT = "intercept"
#: Key of the residual variance among the variance components.
RESIDUAL = "residual"


@dataclass
class TermOptions:
    """What the user says about one grouping factor.

    Attributes
    ----------
    name : str
        Name of the term.
    groups : tuple of int
        Positions of its columns in X; empty for labels that are given to fit.
    keys : list
        By what dicts may call it, besides its name.
    slopes : list of int
        Positions of the columns with random slopes.
    intercept : bool
        Whether it has random intercepts.
    correlated : bool
        Whether the effects of a level are correlated.
    kinship : object
        How its levels are related.
    """

    name: str
    groups: tuple[int, ...]
    keys: list[Any] = field(default_factory=list)
    slopes: list[int] = field(default_factory=list)
    intercept: bool = True
    correlated: bool = True
    kinship: Any = None


def read_options(estimator: Any, columns: Columns, given: bool) -> list[TermOptions]:
    """Grouped terms from the parameters of an estimator.

    Parameters
    ----------
    estimator : estimator
        Has the parameters groups, random_slopes, random_intercept, covariance and kinship.
    columns : Columns
        The columns of X.
    given : bool
        Whether labels of groups are given to fit.

    Raises
    ------
    ValueError
        If a parameter names a column or a term that does not exist, or says what cannot be.
    """
    terms = _named_terms(estimator.groups, columns)
    if given:
        terms.append(TermOptions(GIVEN, (), [GIVEN]))
    check_names([term.name for term in terms])
    _set_slopes(terms, estimator.random_slopes, columns)
    for term, value in _by_term(terms, estimator.random_intercept, "random_intercept"):
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(
                f"random_intercept must be True, False or a dict of these. Got {value!r}."
            )
        term.intercept = bool(value)
    for term, value in _by_term(terms, estimator.covariance, "covariance"):
        if value not in ("full", "diag"):
            raise ValueError(
                f"covariance must be 'full', 'diag' or a dict of these. Got {value!r}."
            )
        term.correlated = value == "full"
    set_kinships(terms, estimator.kinship)
    for term in terms:
        if not (term.intercept or term.slopes):
            raise ValueError(
                f"The term {term.name!r} has no random effects: random_intercept is False, and it "
                "has no columns in random_slopes. Give it some, or take it out of groups."
            )
    return terms


def read_blocks(Z: Any, columns: Columns, taken: Iterable[str]) -> dict[str, list[int]]:
    """Positions of the columns of each term of `Z`."""
    if Z is None:
        return {}
    if not isinstance(Z, dict):
        raise ValueError(
            "Z must be a dict from names of terms to lists of columns of X, such as "
            f"{{'markers': ['m1', 'm2']}}. Got {type(Z).__name__}."
        )
    check_names([*taken, *map(_term_name, Z)])
    return {name: _column_list(listed, columns, f"Z[{name!r}]") for name, listed in Z.items()}


def read_fixed(
    fixed_columns: Any, columns: Columns, terms: list[TermOptions], blocks: dict[str, list[int]]
) -> list[int]:
    """Positions of the columns with fixed effects."""
    used = {j: f"groups ({term.name!r})" for term in terms for j in term.groups}
    for term in terms:
        _refuse_used(term.slopes, used, columns, "random_slopes")
    for name, listed in blocks.items():
        _refuse_used(listed, used, columns, f"Z[{name!r}]")
    used.update({j: f"Z ({name!r})" for name, listed in blocks.items() for j in listed})
    if fixed_columns is None:
        return [j for j in range(columns.n_features) if j not in used]
    fixed = _column_list(fixed_columns, columns, "fixed_columns", empty=True)
    _refuse_used(fixed, used, columns, "fixed_columns")
    return fixed


def check_names(names: list[str]) -> None:
    """Raise ValueError if names of terms are reserved or repeated."""
    for i, name in enumerate(names):
        if name == RESIDUAL:
            raise ValueError(
                f"No term can have the name {RESIDUAL!r}, which is that of the residual variance. "
                "Rename the column, or give the term another name: groups={'name': column}."
            )
        if name in names[:i]:
            raise ValueError(
                f"Two terms have the name {name!r}. Name each differently, such as "
                "groups={'genetic': 'animal', 'permanent': 'animal'}."
            )


def set_kinships(terms: list[TermOptions], kinship: Any) -> None:
    """Set the kinships of terms, from one for the only term or a dict."""
    if kinship is None:
        return
    if not isinstance(kinship, dict) and len(terms) != 1:
        raise _needs_dict(terms, "kinship")
    for term, value in _by_term(terms, kinship, "kinship"):
        if len(term.groups) > 1 and value is not None:
            raise ValueError(
                f"The term {term.name!r} has a kinship and several columns. A kinship is of the "
                "levels of one column: make one column of them."
            )
        term.kinship = value


# ---- groups ---------------------------------------------------------------------------


def _named_terms(groups: Any, columns: Columns) -> list[TermOptions]:
    if groups is None:
        return []
    if isinstance(groups, dict):
        return [
            _term(spec, columns, name=_term_name(name), parameter=f"groups[{name!r}]")
            for name, spec in groups.items()
        ]
    # A name of a column can be a tuple.
    several = isinstance(groups, list) or (isinstance(groups, np.ndarray) and groups.ndim == 1)
    return [_term(spec, columns) for spec in (groups if several else [groups])]


def _term(
    spec: Any, columns: Columns, *, name: str | None = None, parameter: str = "groups"
) -> TermOptions:
    several = isinstance(spec, tuple) and not _is_name(spec, columns)
    parts = list(spec) if several else [spec]
    if not parts:
        raise ValueError(f"{parameter} has an empty tuple. An interaction is of several columns.")
    positions = [columns.position(_hashable(part, parameter), parameter) for part in parts]
    _refuse_repeated(positions, columns, f"The tuple {spec!r} in {parameter}")
    own = ":".join(map(columns.name, positions)) if name is None else name
    return TermOptions(own, tuple(positions), [own] if name is not None else [own, spec])


def _is_name(spec: Any, columns: Columns) -> bool:
    return columns.names is not None and spec in columns.names


def _hashable(part: Any, parameter: str) -> Any:
    try:
        hash(part)
    except TypeError:
        raise ValueError(
            f"{parameter} must have names or numbers of columns, or tuples of these. Got "
            f"{type(part).__name__}. Labels of rows are given to fit: fit(X, y, groups=...)."
        ) from None
    return part


def _term_name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"Names of terms are text. Got {name!r}.")
    return name


# ---- what belongs to a term -----------------------------------------------------------


def _set_slopes(terms: list[TermOptions], slopes: Any, columns: Columns) -> None:
    if slopes is None:
        return
    if not isinstance(slopes, dict) and len(terms) != 1:
        raise _needs_dict(terms, "random_slopes")
    for term, listed in _by_term(terms, slopes, "random_slopes"):
        term.slopes = _column_list(listed, columns, "random_slopes", empty=True)


def _by_term(terms: list[TermOptions], value: Any, parameter: str) -> list[tuple[TermOptions, Any]]:
    """Terms with their values: those in a dict, or one value for all."""
    if not isinstance(value, dict):
        return [(term, value) for term in terms]
    return [(_find(terms, key, parameter), own) for key, own in value.items()]


def _find(terms: list[TermOptions], key: Any, parameter: str) -> TermOptions:
    for term in terms:
        if key in term.keys:
            return term
    raise ValueError(f"{parameter} has the key {key!r}, which is no term. {_listed(terms)}")


def _needs_dict(terms: list[TermOptions], parameter: str) -> ValueError:
    if not terms:
        return ValueError(f"{parameter} is for the terms of groups, but there are none.")
    return ValueError(
        f"{parameter} must be a dict, since there are several terms: "
        f"{parameter}={{{terms[0].name!r}: ...}}. {_listed(terms)}"
    )


def _listed(terms: list[TermOptions]) -> str:
    if not terms:
        return "There are no terms: name columns in groups."
    return f"The terms are: {', '.join(repr(term.name) for term in terms)}."


def _column_list(
    listed: Any, columns: Columns, parameter: str, *, empty: bool = False
) -> list[int]:
    """Positions of listed columns."""
    if isinstance(listed, (str, dict)) or not hasattr(listed, "__iter__"):
        raise ValueError(f"{parameter} must be a list of columns of X. Got {listed!r}.")
    positions = [columns.position(_hashable(own, parameter), parameter) for own in listed]
    if not positions and not empty:
        raise ValueError(f"{parameter} is an empty list. Name columns of X, or leave it out.")
    _refuse_repeated(positions, columns, parameter)
    return positions


def _refuse_repeated(positions: list[int], columns: Columns, parameter: str) -> None:
    if len(set(positions)) < len(positions):
        repeated = next(j for i, j in enumerate(positions) if j in positions[:i])
        raise ValueError(f"{parameter} has {columns.label(repeated)} twice.")


def _refuse_used(
    positions: list[int], used: dict[int, str], columns: Columns, parameter: str
) -> None:
    for j in positions:
        if j in used:
            raise ValueError(
                f"{parameter} has {columns.label(j)}, which is also in {used[j]}. Take it out of "
                "one, or add a copy of the column under another name."
            )
