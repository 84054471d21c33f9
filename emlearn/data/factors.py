"""Levels of grouping factors: labels of columns, whatever their dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn._warnings import warn_user
from emlearn.data.columns import Column, sort_key
from emlearn.data.names import at_start

Array = NDArray[Any]
Codes = NDArray[np.intp]

# Whole numbers whose range is shorter than this many times their number are counted, not sorted.
_SHORT = 4


@dataclass(frozen=True)
class Factor:
    """A column of labels, or several columns that are one grouping factor together.

    Attributes
    ----------
    levels : ndarray of shape (n_levels,)
        Distinct labels, sorted: numbers before text. Tuples for several columns.
    index : ndarray of int of shape (n_samples,)
        Level of each row.
    label : str
        What messages call it.
    """

    levels: Array
    index: Codes
    label: str

    def places_in(self, levels: Array) -> Codes:
        """Position of the level of each row among other levels; -1 where it is not one."""
        known = {level: i for i, level in enumerate(levels.tolist())}
        own = self.levels.tolist()
        found = [known.get(level, -1) for level in own]
        if found and max(found) < 0:
            self._warn_of_types(own, known)
        return np.array(found, np.intp)[self.index]

    def _warn_of_types(self, own: list[Any], known: dict[Any, int]) -> None:
        """Warn if no level is known, but some would be as text."""
        texts = {str(level): level for level in known}
        same = next((level for level in own if str(level) in texts), None)
        if same is not None:
            warn_user(
                f"{at_start(self.label)} has the level {same!r}, which fit saw as "
                f"{texts[str(same)]!r}. These are different levels, so all are unknown: convert "
                "the column to the type it had in fit.",
                UserWarning,
            )

    def first_row(self, level: int) -> int:
        """The first row of a level, given by its position."""
        return int(np.argmax(self.index == level))


def read_factor(
    column: Column,
    label: str,
    *,
    whole: bool = True,
    noun: str = "group",
    rows: Codes | None = None,
) -> Factor:
    """Labels of a column.

    Labels are compared as Python objects: 1 and 1.0 are the same level, "1" is another.

    Parameters
    ----------
    column : Column
        The column: text, whole numbers, booleans, times, categories, or objects of any type that
        is hashable.
    label : str
        What messages call it.
    whole : bool, default=True
        Whether numbers must be whole: others are more often measured than labels.
    noun : str, default="group"
        What a label names, for messages.
    rows : ndarray of int, default=None
        Rows to read, all of which have a label; None means all rows of the column.

    Raises
    ------
    ValueError
        If a label is missing, or is a number that is not whole and must be.
    TypeError
        If a label is a list, a dict or the like.
    """
    if rows is None:
        absent = column.absent()
        if absent.any():
            raise ValueError(
                f"{at_start(label)}, row {int(np.argmax(absent))}, has no value. Rows need a "
                f"{noun}: leave such rows out, or give them a label of their own."
            )
    reading = _Reading(label, whole, noun, rows)
    values = column.numbers() if column.nature in ("float", "integer") else None
    # Integers that arrive as floats have lost digits.
    exact = {"float": "f", "integer": "iu"}.get(column.nature, "")
    if values is not None and values.dtype.kind in exact:
        return _factor_of_numbers(values if rows is None else values[rows], reading)
    objects = column.objects()
    return _factor_of_objects(objects if rows is None else objects[rows], reading)


def interaction(factors: Sequence[Factor]) -> Factor:
    """The factor whose levels are the combinations that occur, as tuples."""
    if len(factors) == 1:
        return factors[0]
    index, codes = factors[0].index, [np.arange(len(factors[0].levels))]
    for factor in factors[1:]:
        # Renumbered at each step, so that products stay below the square of the number of rows.
        pairs, index = np.unique(index * len(factor.levels) + factor.index, return_inverse=True)
        first, last = np.divmod(pairs, len(factor.levels))
        codes = [*(code[first] for code in codes), last]
    labels = [factor.levels[code].tolist() for factor, code in zip(factors, codes, strict=True)]
    levels = _objects(list(zip(*labels, strict=True)))
    names = " and ".join(factor.label for factor in factors)
    return Factor(levels, index.astype(np.intp), names)


class _Reading(NamedTuple):
    """How a column is read: see `read_factor`."""

    label: str
    whole: bool
    noun: str
    rows: Codes | None

    def not_whole(self, value: float, position: int) -> ValueError:
        """The error for a number that is no label."""
        row = position if self.rows is None else int(self.rows[position])
        what = "labels of groups" if self.noun == "group" else f"{self.noun}s"
        return ValueError(
            f"{at_start(self.label)}, row {row}, has {value:g}, but {what} are whole numbers, "
            "text, times or categories. If it is a label, convert the column to text; otherwise "
            f"take it out of the {self.noun}s."
        )


def _factor_of_numbers(values: Array, reading: _Reading) -> Factor:
    distinct, index = _distinct(values)
    factor = Factor(distinct, index, reading.label)
    wrong = np.flatnonzero(~(np.isfinite(distinct) & (distinct == np.rint(distinct))))
    if wrong.size:
        level = int(wrong[0])
        if reading.whole:
            raise reading.not_whole(float(distinct[level]), factor.first_row(level))
        return factor
    return replace(factor, levels=distinct if distinct.dtype.kind in "iu" else _integers(distinct))


def _distinct(values: Array) -> tuple[Array, Codes]:
    """Distinct numbers, sorted, and the position of each value among them."""
    if values.size and values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if high - low < _SHORT * values.size:
            # Counting is much faster than sorting.
            wide = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64, copy=False)
            least = wide.dtype.type(low)
            shifted = (wide - least).astype(np.intp)
            occurs = np.bincount(shifted, minlength=high - low + 1) > 0
            levels = (np.flatnonzero(occurs).astype(wide.dtype) + least).astype(values.dtype)
            return levels, (np.cumsum(occurs) - 1)[shifted]
    distinct, index = np.unique(values, return_inverse=True)
    return distinct, index.astype(np.intp)


def _factor_of_objects(values: Array, reading: _Reading) -> Factor:
    positions: dict[Any, int] = {}
    labels = values.tolist()
    try:
        index = np.array([positions.setdefault(v, len(positions)) for v in labels], np.intp)
    except TypeError:
        raise TypeError(
            f"{at_start(reading.label)} has lists, dicts or the like, which are no labels."
        ) from None
    distinct = [value.item() if isinstance(value, np.generic) else value for value in positions]
    for i, value in enumerate(distinct):
        if isinstance(value, float) and value.is_integer():
            distinct[i] = int(value)
        elif isinstance(value, float) and reading.whole:
            raise reading.not_whole(value, int(np.argmax(index == i)))
    order = _sorted_order(distinct)
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    levels = _as_array([distinct[i] for i in order])
    return Factor(levels, rank[index], reading.label)


def _integers(values: Array) -> Array:
    """Whole numbers as integers; as objects if they are too large."""
    if np.abs(values).max(initial=0.0) < 2.0**63:
        return values.astype(np.int64)
    return _objects([int(value) for value in values.tolist()])


def _sorted_order(labels: list[Any]) -> list[int]:
    positions = range(len(labels))
    try:
        return sorted(positions, key=lambda i: sort_key(labels[i]))
    except TypeError:  # labels of one type without an order
        return sorted(positions, key=lambda i: (type(labels[i]).__name__, repr(labels[i])))


def _as_array(levels: list[Any]) -> Array:
    """Integers as such; everything else as objects."""
    if set(map(type, levels)) == {int} and all(abs(level) < 2**63 for level in levels):
        return np.array(levels)
    return _objects(levels)


def _objects(levels: list[Any]) -> Array:
    array = np.empty(len(levels), object)
    for i, level in enumerate(levels):  # one by one, since a list of tuples would be a table
        array[i] = level
    return array
