"""Tables of pandas, column by column."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.columns import (
    PER_DAY,
    Column,
    Nature,
    Table,
    as_objects,
    filled,
    fits,
    ordinary,
    to_ticks,
    widened,
    within,
)
from emlearn.data.frames import from_pandas

Array = NDArray[Any]
Mask = NDArray[np.bool_]


class PandasTable(Table):
    """Columns of a DataFrame of pandas."""

    def __init__(self, X: Any):
        self.X = X
        self.names = list(X.columns)
        self.columns = [PandasColumn(X.iloc[:, j]) for j in range(X.shape[1])]

    def rebuilt(self, columns: list[Any], which: NDArray[np.intp]) -> Any:
        pandas = sys.modules["pandas"]
        frame = pandas.DataFrame(dict(enumerate(columns)), index=self.X.index)
        frame.columns = self.X.columns[which]
        return frame


class PandasColumn(Column):
    """A Series of pandas."""

    def __init__(self, series: Any):
        self.series = series
        self.dtype = dtype = series.dtype
        self.nature = _nature_in_pandas(dtype)
        category = self.nature == "category"
        self.declared = tuple(dtype.categories.tolist()) if category else None
        self.ordered = bool(category and dtype.ordered)

    def absent(self) -> Mask:
        return np.asarray(self.series.isna(), bool)

    def numbers(self) -> Array:
        return from_pandas(self.series)

    def objects(self) -> Array:
        return as_objects(np.asarray(self.series.astype(object)), self.absent())

    def ticks(self) -> tuple[NDArray[np.int64], int]:
        series = self.series
        if self.zone is not None:
            series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        if self._is_of_arrow:
            series = series.astype(self.dtype.numpy_dtype)
        return series.to_numpy().view(np.int64), PER_DAY[self._unit]

    @property
    def zone(self) -> Any:
        return getattr(self.dtype.pyarrow_dtype, "tz", None) if self._is_of_arrow else super().zone

    @property
    def _is_of_arrow(self) -> bool:
        return hasattr(self.dtype, "pyarrow_dtype")

    @property
    def _unit(self) -> str:
        own = self.dtype.numpy_dtype if self._is_of_arrow else self.dtype
        return str(getattr(own, "unit", None) or np.datetime_data(own)[0])

    def completed(self, holes: Mask, values: Array, dtype: Any) -> Any:
        if not holes.any():
            return self.series
        if self.nature == "category":
            return self._categorical(holes, values, dtype)
        series = self.series
        if self.nature == "text":
            values = np.array([str(value) for value in values], object)
        if type(self.dtype).__name__ == "SparseDtype":
            series = series.sparse.to_dense()
        kind = series.dtype.kind
        nothing = holes.all() and kind == "f" and getattr(dtype, "kind", "") == "b"
        if nothing or not fits(values, kind):
            numeric = kind in "biu" and fits(values, "f")
            if numeric:
                numpys = isinstance(series.dtype, np.dtype)
                series = series.astype(np.float64 if numpys else "Float64")
            elif holes.all() and _is_dtype_of_pandas(dtype):
                return self._like(values, object).astype(dtype)
            else:
                series = series.astype(object)
        array = series.array.copy()
        if series.dtype.kind in "biuf":
            own = getattr(series.dtype, "numpy_dtype", series.dtype)
            array[holes] = within(values, own)
        else:
            array[holes] = ordinary(values)
        completed = self._like(array, series.dtype)
        return completed if series is self.series else _sparse_again(completed, self.dtype)

    def _categorical(self, holes: Mask, values: Array, dtype: Any) -> Any:
        """A category that is no level of the dtype is appended, or put where fit has it."""
        pandas, own = sys.modules["pandas"], self.dtype
        levels = widened(self.declared or (), values, getattr(dtype, "categories", ()))
        if len(levels) > len(own.categories):
            own = pandas.CategoricalDtype(levels, ordered=own.ordered)
        codes = own.categories.get_indexer(self.series.astype(object))
        codes[holes] = own.categories.get_indexer(ordinary(values))
        return self._like(pandas.Categorical.from_codes(codes, dtype=own))

    def timed(self, holes: Mask, days: Array) -> Any:
        pandas = sys.modules["pandas"]
        ticks, per_day = self.ticks()
        ticks = filled(to_ticks(days, per_day), holes, ticks)
        if self.nature == "duration":
            times = pandas.array(ticks.view(f"m8[{self._unit}]"))
        else:
            times = pandas.DatetimeIndex(ticks.view(f"M8[{self._unit}]"))
            if self.zone is not None:
                times = times.tz_localize("UTC").tz_convert(self.zone)
        completed = self._like(times)
        return completed.astype(self.dtype) if self._is_of_arrow else completed

    def replaced(self, values: Array) -> Any:
        return self._like(values)

    def _like(self, values: Any, dtype: Any = None) -> Any:
        index, name = self.series.index, self.series.name
        return sys.modules["pandas"].Series(values, index, dtype=dtype, name=name)


def _is_dtype_of_pandas(dtype: Any) -> bool:
    extensions = sys.modules["pandas"].api.extensions
    return isinstance(dtype, (np.dtype, extensions.ExtensionDtype))


def _nature_in_pandas(dtype: Any) -> Nature:
    name = type(dtype).__name__
    by_name: dict[str, Nature] = {
        "CategoricalDtype": "category",
        "StringDtype": "text",
        "SparseDtype": "float",
    }
    by_kind: dict[str, Nature] = {
        "b": "boolean",
        "i": "integer",
        "u": "integer",
        "f": "float",
        "M": "instant",
        "m": "duration",
    }
    return by_name.get(name) or by_kind.get(dtype.kind, "objects")


def _sparse_again(series: Any, dtype: Any) -> Any:
    return series.astype(dtype) if type(dtype).__name__ == "SparseDtype" else series
