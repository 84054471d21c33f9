"""Tables of any library, column by column."""

from __future__ import annotations

from typing import Any

from emlearn.data._in_numpy import ArrayTable
from emlearn.data._in_pandas import PandasTable
from emlearn.data._in_polars import PolarsTable
from emlearn.data.arrays import as_matrix
from emlearn.data.columns import Table
from emlearn.data.frames import eager, is_pandas, is_polars


def table_of(X: Any) -> Table:
    """Columns of a DataFrame, of an array or of nested lists."""
    X = eager(X)
    if is_pandas(X):
        return PandasTable(X)
    if is_polars(X):
        return PolarsTable(X)
    return ArrayTable(as_matrix(X, sequences=False))
