"""Columns of data frames, as arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

Array = NDArray[Any]


def eager(X: Any) -> Any:
    """A table in memory; tables of pyarrow and similar libraries become pandas DataFrames.

    Raises
    ------
    ValueError
        If X is a Series, or is lazy and must be computed first.
    """
    name = type(X).__name__
    if is_pandas(X) or is_polars(X):
        return X
    if name == "Series" and hasattr(X, "to_frame"):
        raise ValueError(
            "Expected 2D array, got a Series instead, which is one column. Reshape your data: "
            "pass X.to_frame()."
        )
    if name == "LazyFrame" and hasattr(X, "collect"):
        raise ValueError("X is a LazyFrame, which is not in memory yet. Pass X.collect().")
    if hasattr(X, "columns") and hasattr(X, "compute"):
        raise ValueError(f"X is a {name}, which is not in memory yet. Pass X.compute().")
    if hasattr(X, "columns") and hasattr(X, "to_pandas"):
        return eager(X.to_pandas())
    return X


def is_pandas(X: Any) -> bool:
    """Whether X is a DataFrame of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.DataFrame)


def is_polars(X: Any) -> bool:
    """Whether X is a DataFrame of polars."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(X, polars.DataFrame)


def columns_of(X: Any) -> list[Array]:
    """Columns of a DataFrame as arrays, with NaN, None or pandas.NA for missing values."""
    if is_polars(X):
        return [from_polars(column) for column in X.get_columns()]
    return [from_pandas(X.iloc[:, i]) for i in range(X.shape[1])]


def whole_block(X: Any) -> Array | None:
    """The array of a pandas DataFrame whose columns all have the same numeric numpy dtype."""
    if not is_pandas(X) or not X.shape[1]:
        return None
    first, *others = X.dtypes
    if isinstance(first, np.dtype) and first.kind in "biuf" and all(d == first for d in others):
        block: Array = X.to_numpy()
        return block
    return None


def sparse_block(X: Any) -> Any:
    """CSR form of a pandas DataFrame whose columns are all sparse with fill value 0."""
    if not is_pandas(X) or not X.shape[1]:
        return None
    zeros = [getattr(dtype, "fill_value", None) == 0 for dtype in X.dtypes]
    if not (hasattr(X, "sparse") and all(zeros)):
        return None
    # The conversion of pandas refuses older versions of scipy.
    columns = [X.iloc[:, j].array for j in range(X.shape[1])]
    rows = [column.sp_index.to_int_index().indices for column in columns]
    values = np.concatenate([np.asarray(column.sp_values) for column in columns])
    starts = np.cumsum([0, *map(len, rows)])
    return csc_array((values, np.concatenate(rows), starts), shape=X.shape).tocsr()


def require_distinct_names(X: Any) -> None:
    """Raise ValueError if two columns of a DataFrame have the same name."""
    seen: set[Any] = set()
    for name in X.columns:
        if name in seen:
            raise ValueError(
                f"Two columns of X are named {name!r}. Names must differ: rename one, or pass "
                "X.to_numpy()."
            )
        seen.add(name)


def from_pandas(series: Any) -> Array:
    """Entries of a Series of pandas, as floats if its dtype is one of numbers."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        values: Array = series.to_numpy()
        return values
    name = type(dtype).__name__
    if name == "SparseDtype" or dtype.kind not in "biuf":
        return np.asarray(series)
    single = dtype.kind == "f" and dtype.itemsize == 4
    numbers: Array = series.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
    return numbers


def from_polars(series: Any) -> Array:
    """Entries of a Series of polars, as floats if it has integers and nulls."""
    if series.dtype.is_nested():
        raise ValueError(
            f"Column {series.name!r} of X has several values in each row ({series.dtype}). Pass "
            "each in a column of its own."
        )
    if str(series.dtype) in ("Int128", "UInt128"):  # numpy has no such integers
        series = series.cast(sys.modules["polars"].Float64)
    values: Array = series.to_numpy()
    # Small integers with nulls arrive as float32.
    if values.dtype == np.float32 and str(series.dtype) != "Float32":
        return values.astype(np.float64)
    return values


def stack_frames(frames: list[Any]) -> Any:
    """The rows of several DataFrames of one library, in one."""
    library = sys.modules[type(frames[0]).__module__.partition(".")[0]]
    return library.concat(frames)
