"""Tables of polars, column by column."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.columns import (
    NOT_A_TIME,
    PER_DAY,
    Column,
    Nature,
    Table,
    as_objects,
    filled,
    fits,
    to_ticks,
    widened,
)
from emlearn.data.frames import from_polars

Array = NDArray[Any]
Mask = NDArray[np.bool_]


class PolarsTable(Table):
    """Columns of a DataFrame of polars."""

    def __init__(self, X: Any):
        self.X = X
        self.names = list(X.columns)
        self.columns = [PolarsColumn(series) for series in X.get_columns()]

    def rebuilt(self, columns: list[Any], which: NDArray[np.intp]) -> Any:
        return sys.modules["polars"].DataFrame(columns)


class PolarsColumn(Column):
    """A Series of polars."""

    def __init__(self, series: Any):
        self.series = series
        self.dtype = dtype = series.dtype
        self.nature = _nature_in_polars(dtype)
        self.ordered = str(dtype).startswith("Enum")
        self.declared = tuple(dtype.categories.to_list()) if self.ordered else None

    def absent(self) -> Mask:
        absent = self.series.is_null()
        if self.dtype.is_float():
            absent = absent | self.series.is_nan().fill_null(True)
        return np.array(absent.to_numpy(), bool)

    def numbers(self) -> Array:
        return from_polars(self.series)

    def objects(self) -> Array:
        objects = np.empty(len(self.series), object)
        objects[:] = self.series.to_list()
        return as_objects(objects, self.absent())

    def ticks(self) -> tuple[NDArray[np.int64], int]:
        polars = sys.modules["polars"]
        unit = getattr(self.dtype, "time_unit", "D")
        ticks = self.series.to_physical().cast(polars.Int64).fill_null(NOT_A_TIME)
        return np.array(ticks.to_numpy()), PER_DAY[unit]

    def completed(self, holes: Mask, values: Array, dtype: Any) -> Any:
        if not holes.any():
            return self.series
        polars = sys.modules["polars"]
        own, kind = self.dtype, _kind_in_polars(self.dtype)
        if self.nature in ("text", "category"):
            values = np.array([str(value) for value in values], object)
        if self.declared is not None:
            known = getattr(dtype, "categories", ())
            levels = widened(self.declared, values, tuple(known))
            own = own if len(levels) == len(self.declared) else polars.Enum(levels)
        elif own == polars.Null:
            own = _polars_dtype(dtype)
        elif not fits(values, kind):
            if kind in "bi" and fits(values, "f"):
                own = polars.Float64
            else:
                own = _polars_dtype(dtype) if holes.all() else polars.String
        if kind in "iu" and own == self.dtype:
            least, largest = (int(bound) for bound in _limits(own))
            values = np.array([min(max(int(v), least), largest) for v in values], object)
        objects = np.full(len(holes), None, object)
        objects[holes] = values.tolist()
        inserted = polars.Series(self.series.name, objects.tolist(), dtype=own, strict=False)
        return self._merged(holes, inserted)

    def timed(self, holes: Mask, days: Array) -> Any:
        polars = sys.modules["polars"]
        ticks, per_day = self.ticks()
        ticks = filled(to_ticks(days, per_day), holes, ticks)
        inserted = polars.Series(self.series.name, ticks)
        if per_day == 1:
            inserted = inserted.cast(polars.Int32, strict=False)
        return self._merged(holes, inserted.cast(self.dtype))

    def _merged(self, holes: Mask, inserted: Any) -> Any:
        series = self.series
        if series.dtype != inserted.dtype:
            series = series.cast(inserted.dtype)
        return series.zip_with(sys.modules["polars"].Series(~holes), inserted)

    def replaced(self, values: Array) -> Any:
        return sys.modules["polars"].Series(self.series.name, values)


def _nature_in_polars(dtype: Any) -> Nature:
    names: dict[str, Nature] = {
        "Boolean": "boolean",
        "Categorical": "category",
        "Enum": "category",
        "String": "text",
        "Utf8": "text",
        "Date": "instant",
        "Datetime": "instant",
        "Duration": "duration",
    }
    name = str(dtype.base_type())
    if dtype.is_integer():
        return "integer"
    return "float" if dtype.is_numeric() else names.get(name, "objects")


def _kind_in_polars(dtype: Any) -> str:
    """The letter that numpy has for a kind of dtype; "O" for text and others."""
    if dtype.is_integer():
        return "i"
    if dtype.is_numeric():
        return "f"
    by_nature = {"boolean": "b", "instant": "M", "duration": "m"}
    return by_nature.get(_nature_in_polars(dtype), "O")


def _limits(dtype: Any) -> tuple[int, int]:
    bits = int("".join(letter for letter in str(dtype) if letter.isdigit()))
    unsigned = str(dtype).startswith("U")
    return (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _polars_dtype(dtype: Any) -> Any:
    """The dtype if it is one of polars; else None, which lets polars choose."""
    return dtype if hasattr(dtype, "base_type") else None
