"""Tables of any library, column by column."""

from __future__ import annotations

from typing import Any

import numpy as np

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


def with_columns(table: Any, names: Any, values: Any) -> Any:
    """A table with more columns.

    Parameters
    ----------
    table : DataFrame or ndarray of shape (n_rows, n_columns)
        The table.
    names : sequence of str
        Names of the new columns; an array has none.
    values : ndarray of shape (n_rows, n_new)
        Their entries.
    """
    new = {name: values[:, i] for i, name in enumerate(names)}
    if is_pandas(table):
        return table.assign(**new)
    if is_polars(table):
        return table.with_columns(**new)
    return np.hstack((table, values.astype(table.dtype)))


def with_labels(values: Any, levels: tuple[Any, ...], like: Any) -> Any:
    """A table of pandas with the levels as columns and the rows of `like` if that is one."""
    if not is_pandas(like):
        return values
    return type(like)(values, index=like.index, columns=list(levels))
