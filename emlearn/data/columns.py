"""Columns of tables of any library: what they hold, and the same with holes filled."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mask = NDArray[np.bool_]

#: What the dtype of a column tells about it. Only looking shows what "objects" are.
Nature = Literal[
    "float", "integer", "boolean", "category", "instant", "duration", "text", "objects"
]

PER_DAY = {"D": 1, "s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400 * 10**9}
NOT_A_TIME = np.iinfo(np.int64).min


class Column(ABC):
    """A column of a table.

    Attributes
    ----------
    nature : str
        What its dtype tells about it.
    dtype : object
        Its dtype.
    declared : tuple or None
        Levels that its dtype declares, in their order.
    ordered : bool
        Whether the declared levels are ordered.
    """

    nature: Nature
    dtype: Any
    declared: tuple[Any, ...] | None
    ordered: bool

    @abstractmethod
    def absent(self) -> Mask:
        """Which entries are NaN, None, null and the like."""

    @abstractmethod
    def numbers(self) -> Array:
        """Entries as an array that `to_floats` reads."""

    @abstractmethod
    def objects(self) -> Array:
        """Entries as Python objects, None where they are absent."""

    @abstractmethod
    def ticks(self) -> tuple[NDArray[np.int64], int]:
        """Times as integers, and how many of these units are a day."""

    @property
    def zone(self) -> Any:
        """The time zone of times; None if they have none."""
        return getattr(self.dtype, "tz", None) or getattr(self.dtype, "time_zone", None)

    @abstractmethod
    def completed(self, holes: Mask, values: Array, dtype: Any) -> Any:
        """The column with values in its holes, in its own dtype if that can hold them.

        `dtype` is for a column of nothing, whose own dtype tells nothing.
        """

    @abstractmethod
    def timed(self, holes: Mask, days: Array) -> Any:
        """The column with times in its holes, given in days."""

    @abstractmethod
    def replaced(self, values: Array) -> Any:
        """A column of these numbers with the name and rows of this one."""


class Table(ABC):
    """A table, column by column.

    Attributes
    ----------
    names : list or None
        Names of the columns.
    X : DataFrame or ndarray
        The table in memory.
    columns : list of Column
        Its columns.
    """

    names: list[Any] | None
    X: Any
    columns: Sequence[Column]

    @abstractmethod
    def rebuilt(self, columns: list[Any], which: NDArray[np.intp]) -> Any:
        """A table of the same kind from completed columns, which are some of its columns."""


def filled(values: Array, holes: Mask, into: Array) -> Array:
    """A copy of `into` with values in its holes."""
    copy = into.copy()
    copy[holes] = values
    return copy


def fits(values: Array, kind: str) -> bool:
    """Whether an array of a kind of dtype can hold the values."""
    if kind in "mM":
        return all(isinstance(value, (datetime.date, datetime.timedelta)) for value in values)
    if kind not in "biuf":
        return True
    numeric = values.dtype.kind in "biuf" or all(
        isinstance(value, (int, float, np.number, np.bool_)) for value in values
    )
    if not numeric or kind == "f":
        return numeric
    whole = values.astype(np.float64)
    if kind == "b":
        return bool(np.isin(whole, (0.0, 1.0)).all())
    return bool((whole == np.rint(whole)).all())


def within(values: Array, dtype: Any) -> Array:
    """Numbers in the dtype of a column, at its limits if they are beyond."""
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(values.astype(np.float64), limits.min, limits.max)
        # Above 2**53, the largest integer is rounded up.
        beyond = values >= float(limits.max)
        return np.where(beyond, limits.max, np.where(beyond, 0, values).astype(dtype))
    return values.astype(dtype)


def as_objects(values: Array, absent: Mask) -> Array:
    """Values as objects, None where they are absent."""
    values = values.astype(object)
    values[absent] = None
    return values


def ordinary(values: Array) -> Array:
    """Objects of Python instead of numpy's numbers."""
    objects = np.empty(len(values), object)
    objects[:] = values.tolist()
    return objects


def to_ticks(days: Array, per_day: int) -> NDArray[np.int64]:
    """Days in integer units; whole days exactly, and at most what an integer holds."""
    most = (2**63 - 1) // per_day - 1
    days = np.clip(days, -most, most)
    whole = np.floor(days)
    parts = np.rint((days - whole) * per_day).astype(np.int64)
    return np.asarray(whole.astype(np.int64) * per_day + parts)


def widened(own: Sequence[Any], values: Array, known: Sequence[Any]) -> list[Any]:
    """Levels with those of the values: in the order of the known levels if these have all."""
    needed = set(own).union(values.tolist())
    if len(needed) == len(own):
        return list(own)
    if needed <= set(known):
        return [level for level in known if level in needed]
    return [*own, *sorted(needed.difference(own), key=sort_key)]


def sort_key(value: Any) -> tuple[str, Any]:
    """Sorts values of several types: numbers before text."""
    number = isinstance(value, (int, float, np.number, np.bool_))
    return ("", value) if number else (type(value).__name__, value)
