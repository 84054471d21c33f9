"""Arrays, column by column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.columns import Column, Nature, Table, as_objects, filled, fits, ordinary, within
from emlearn.data.markers import is_missing

Array = NDArray[Any]
Mask = NDArray[np.bool_]


class ArrayTable(Table):
    """Columns of a two-dimensional array."""

    def __init__(self, array: Array):
        if isinstance(array, np.ma.MaskedArray):
            mask = np.ma.getmaskarray(array)
            numeric = array.dtype.kind in "biuf"
            array = array.data.astype(np.result_type(array.dtype, "f2") if numeric else object)
            array[mask] = np.nan if numeric else None
        elif array.dtype.kind not in "biuf":
            array = array.astype(object)
        self.X = array
        self.names = None
        self.columns = [ArrayColumn(values) for values in array.T]

    def rebuilt(self, columns: list[Any], which: NDArray[np.intp]) -> Any:
        if not columns:
            return np.empty((self.X.shape[0], 0), self.X.dtype)
        dtypes = [column.dtype for column in columns]
        own = self.X.dtype
        objects = any(dtype.kind == "O" for dtype in [own, *dtypes])
        dtype = np.dtype(object) if objects else np.result_type(own, *dtypes)
        rebuilt = np.empty((self.X.shape[0], len(columns)), dtype)
        for j, column in enumerate(columns):
            rebuilt[:, j] = ordinary(column) if objects else column
        return rebuilt


class ArrayColumn(Column):
    """A column of an array of numbers or of objects."""

    declared = None
    ordered = False

    def __init__(self, values: Array):
        self.values = values
        self.dtype = values.dtype
        natures: dict[str, Nature] = {"b": "float", "f": "float", "i": "integer", "u": "integer"}
        self.nature = natures.get(values.dtype.kind, "objects")

    def absent(self) -> Mask:
        if self.values.dtype.kind == "O":
            return np.fromiter(map(is_missing, self.values), bool, len(self.values))
        return np.isnan(self.values)

    def numbers(self) -> Array:
        return self.values

    def objects(self) -> Array:
        return as_objects(ordinary(self.values), self.absent())

    def ticks(self) -> tuple[NDArray[np.int64], int]:
        raise NotImplementedError("Arrays of times are not read.")

    def completed(self, holes: Mask, values: Array, dtype: Any) -> Any:
        own, kind = self.values, self.dtype.kind
        if not holes.any():
            return own
        if kind == "O":
            return filled(ordinary(values), holes, own)
        if fits(values, kind):
            return filled(within(values, self.dtype), holes, own)
        if fits(values, "f"):
            return filled(values, holes, own.astype(np.float64))
        return filled(ordinary(values), holes, own.astype(object))

    def timed(self, holes: Mask, days: Array) -> Any:
        raise NotImplementedError("Arrays of times are not read.")

    def replaced(self, values: Array) -> Any:
        return values
