"""From a table to its schema: what each column is taken for."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.columns import Column, Table, sort_key
from emlearn.data.markers import Markers
from emlearn.data.names import at_start, label
from emlearn.data.schema import Clock, ColumnKind, MixedColumn, MixedSchema, column_numbers, present

Array = NDArray[Any]
Mask = NDArray[np.bool_]

# Whole numbers are levels if they are at most this many, each in this many rows on average.
_MOST_COUNTS, _ROWS_OF_COUNT = 8, 3
# A column with more levels holds identifiers or free text. The number of rows that a level needs
# on average is smaller if the user has declared the column.
_MOST_LEVELS, _ALWAYS_ALLOWED = 30, 5
_ROWS_OF_TEXT, _ROWS_OF_DECLARED = 10, 2


def may_be_mixed(table: Table) -> bool:
    """Whether dtypes leave open that a table has other columns than ordinary numbers."""
    if table.names is None:
        return bool(table.X.dtype.kind == "O")
    return any(column.nature != "float" for column in table.columns)


def learn_schema(
    table: Table,
    markers: Markers,
    listed: Mask,
    ordinal: Mask,
    *,
    by_dtype: bool,
    count_integers: bool,
) -> MixedSchema:
    """Schema of a table.

    Parameters
    ----------
    table : Table
        The table.
    markers : Markers
        What marks missing entries.
    listed, ordinal : ndarray of bool of shape (n_columns,)
        Columns that are categories, and ordered categories, because the user says so.
    by_dtype : bool
        Whether columns can be categories because of their dtype.
    count_integers : bool
        Whether columns of few whole numbers are ordered categories.

    Returns
    -------
    schema : MixedSchema
        The schema.
    """
    names, found = table.names, []
    chosen = listed | ordinal
    for j, column in enumerate(table.columns):
        if chosen[j] or (by_dtype and _is_categorical(column, markers)):
            found.append(_categories(column, j, names, markers, bool(chosen[j]), bool(ordinal[j])))
        elif column.nature in ("instant", "duration"):
            found.append(_times(column, j, names))
        else:
            kind: ColumnKind = "integer" if column.nature == "integer" else "continuous"
            found.append(MixedColumn(label(names, j), _key(names, j), kind, None, column.dtype))
    if count_integers:
        any_categories = any(own.levels is not None for own in found)
        frame = names is not None
        for j, (own, column) in enumerate(zip(found, table.columns, strict=True)):
            countable = any_categories or (frame and own.kind == "integer")
            if countable and own.levels is None and own.clock is None:
                found[j] = _counts(own, column, j, names, markers)
    return MixedSchema(tuple(found), None if names is None else tuple(names))


def _key(names: list[Any] | None, j: int) -> Any:
    return j if names is None else names[j]


def _is_categorical(column: Column, markers: Markers) -> bool:
    if column.nature in ("boolean", "category"):
        return True
    if column.nature not in ("text", "objects"):
        return False
    values = _observed(column, markers)
    types = set(map(type, values))
    if not types:
        return column.nature == "text"
    if any(issubclass(kind, (str, bytes)) for kind in types):
        # Text among many numbers is more often a marker or a mistake than a level.
        return not (_has_many_numbers(values) or _reads_as_numbers(values))
    return _are_booleans(types)


def _observed(column: Column, markers: Markers) -> Array:
    values = column.objects()
    values[markers.in_objects(values)] = None
    observed: Array = values[[value is not None for value in values]]
    return observed


def _are_booleans(types: set[type]) -> bool:
    return bool(types) and all(issubclass(kind, (bool, np.bool_)) for kind in types)


def _has_many_numbers(values: Array) -> bool:
    found = {value for value in values if isinstance(value, numbers.Real)}
    return len(found) > _MOST_COUNTS


def _reads_as_numbers(values: Array) -> bool:
    try:
        values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _categories(
    column: Column, j: int, names: Any, markers: Markers, chosen: bool, ordinal: bool
) -> MixedColumn:
    own_label = label(names, j)
    if column.nature in ("float", "integer"):
        numbers = column_numbers(column, j, names, markers)
        observed = _whole(numbers[~np.isnan(numbers)], column.nature == "integer")
    else:
        observed = present(column, j, names, markers)
        observed = observed[[value is not None for value in observed]]
    try:
        distinct = set(observed.tolist())
    except TypeError:
        raise TypeError(
            f"{at_start(own_label)} of X has lists, dicts or the like, which are neither "
            "numbers nor levels. Leave it out."
        ) from None
    declared = column.declared is not None or chosen
    _refuse_identifiers(own_label, len(distinct), len(observed), declared)
    if column.declared is not None:
        given = np.array([*column.declared, None], object)[:-1]
        levels = [
            v for v, marked in zip(given, markers.in_objects(given), strict=True) if not marked
        ]
    elif column.nature == "boolean" or _are_booleans(set(map(type, distinct))):
        levels = [False, True]
    else:
        levels = sorted(distinct, key=sort_key)
    counts = dict.fromkeys(levels, 0)
    for value in observed.tolist():
        counts[value] += 1
    return MixedColumn(
        own_label,
        _key(names, j),
        "ordered" if ordinal or column.ordered else "nominal",
        tuple(levels),
        column.dtype,
        tuple(counts.values()),
    )


def _whole(numbers: Array, integers: bool) -> Array:
    return numbers.astype(np.int64) if integers else numbers


def _refuse_identifiers(own_label: str, n_levels: int, n_rows: int, declared: bool) -> None:
    rows_of_level = _ROWS_OF_DECLARED if declared else _ROWS_OF_TEXT
    most = min(_MOST_LEVELS, max(_ALWAYS_ALLOWED, n_rows // rows_of_level))
    if n_levels <= most:
        return
    advice = (
        ""
        if declared or n_levels > _MOST_LEVELS
        else (
            " If its values are categories that you want to keep, list it in categorical_features, "
            f"or give it a dtype of categories (at most {_MOST_LEVELS} levels)."
        )
    )
    raise ValueError(
        f"{at_start(own_label)} of X has {n_levels} distinct values in {n_rows} rows, too many "
        f"for a column of categories (here at most {most}): it may hold identifiers or free text. "
        f"Leave it out, or group its rare values.{advice}"
    )


def _times(column: Column, j: int, names: Any) -> MixedColumn:
    ticks, per_day = column.ticks()
    known = ticks[~column.absent()]
    origin = int(known.min() // per_day) if known.size else 0
    whole = bool(known.size and not (known % per_day).any())
    clock = Clock(origin, column.nature == "duration", column.zone is not None, whole)
    return MixedColumn(
        label(names, j), _key(names, j), "continuous", None, column.dtype, clock=clock
    )


def _counts(own: MixedColumn, column: Column, j: int, names: Any, markers: Markers) -> MixedColumn:
    """The column as an ordered one if it has few whole numbers; otherwise as it is."""
    numbers = column_numbers(column, j, names, markers)
    levels, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    enough = 2 <= levels.size <= _MOST_COUNTS and counts.sum() >= _ROWS_OF_COUNT * levels.size
    if not enough or not (np.isfinite(levels) & (levels == np.rint(levels))).all():
        return own
    levels = _whole(levels, own.kind == "integer")
    return replace(
        own,
        kind="ordered",
        levels=tuple(levels.tolist()),
        counts=tuple(counts.tolist()),
        inferred=True,
    )
