"""Columns of words and other values as codes, and back.

A column is one of symbols if its values are no numbers. Others stay as they are: codes, and text
that reads as codes, are numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.arrays import as_matrix
from emlearn.data.columns import Column, Table, sort_key
from emlearn.data.frames import eager, is_pandas, is_polars
from emlearn.data.names import at_start, label
from emlearn.data.tables import table_of

Array = NDArray[Any]

#: Values of the codes 0, 1, ... of each column of symbols.
Symbols = dict[int, Array]


def learn_symbols(
    table: Table, columns: Collection[int], known: Mapping[int, Array] | None = None
) -> Symbols:
    """Values of the columns of symbols: those that occur, sorted or in the order of the dtype.

    Parameters
    ----------
    table : Table
        From `table_of_objects`.
    columns : collection of int
        Columns that may be symbols.
    known : mapping of int to ndarray, default=None
        Values of an earlier fit. They keep their codes, and new ones follow.

    Returns
    -------
    symbols : dict of int to ndarray of objects
        By column; empty if there are none.

    """
    found: Symbols = {}
    for j, column in enumerate(table.columns):
        if j in columns and _may_be_symbols(column):
            own = _distinct(column, None if known is None else known.get(j))
            if own is not None:
                found[j] = own
    return found


def encode_symbols(X: Any, symbols: Symbols, unseen: Mapping[int, str]) -> Any:
    """The table with codes in place of symbols, and NaN for those that are missing.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_rows, n_columns)
        A table.
    symbols : dict of int to ndarray
        From `learn_symbols`.
    unseen : mapping of int to {"missing", "error"}
        What a value is, by column, that is not among the symbols.

    Returns
    -------
    table : object
        A table of the same kind, or X itself if there are no symbols.

    Raises
    ------
    ValueError
        If a value is unseen and may not be. The message names it, its column and its row.
    """
    if not symbols:
        return X
    table = table_of(X)
    if max(symbols) >= len(table.columns):
        return X  # the reader of tables says that columns are missing
    columns: list[Any] = []
    for j, column in enumerate(table.columns):
        codes = None
        if j in symbols:
            codes = _codes(column, j, table.names, symbols[j], unseen[j])
        columns.append(_native(table, j) if codes is None else column.replaced(codes))
    return table.rebuilt(columns, np.arange(len(columns)))


def decode_symbols(rows: Array, symbols: Symbols) -> Array:
    """Rows with symbols in place of codes: objects if there are any symbols."""
    if not symbols:
        return rows
    decoded = rows.astype(object)
    for j, values in symbols.items():
        missing = np.isnan(rows[:, j])
        codes = np.where(missing, 0, rows[:, j]).astype(np.intp)
        decoded[:, j] = values[codes]
        decoded[missing, j] = None
    return decoded


def table_of_objects(X: Any) -> Table | None:
    """The columns of a table; None if all are numbers by dtype."""
    X = eager(X)
    if is_pandas(X) or is_polars(X):
        return table_of(X)
    if hasattr(X, "tocsr"):
        return None
    array = as_matrix(X, sequences=True)
    return None if array.dtype.kind in "biufcmMV" else table_of(array)


def _may_be_symbols(column: Column) -> bool:
    return column.nature in ("text", "category", "objects")


def _native(table: Table, j: int) -> Any:
    """A column as the table holds it."""
    if table.names is None:
        return table.X[:, j]
    return table.X.iloc[:, j] if is_pandas(table.X) else table.X.get_columns()[j]


def _distinct(column: Column, known: Array | None) -> Array | None:
    """Values of a column of symbols; None if they are numbers, or no symbols either."""
    values = column.objects()
    observed = values[[value is not None for value in values]].tolist()
    try:
        distinct = set(observed)
    except TypeError:
        return None  # lists, dicts or the like, which the reader of tables refuses
    if not distinct or (known is None and _are_numbers(distinct)):
        return None
    first = [] if known is None else known.tolist()
    if column.declared is not None:
        ordered = [value for value in column.declared if value in distinct]
    else:
        ordered = sorted(distinct, key=sort_key)
    every = [*first, *(value for value in ordered if value not in set(first))]
    symbols = np.empty(len(every), object)
    symbols[:] = every
    return symbols


def _are_numbers(values: set[Any]) -> bool:
    try:
        for value in values:
            float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _codes(column: Column, j: int, names: Any, symbols: Array, unseen: str) -> NDArray[np.float64]:
    lookup: dict[Any, float] = {value: float(code) for code, value in enumerate(symbols.tolist())}
    lookup[None] = np.nan
    values = column.objects().tolist()
    try:
        codes = np.array([lookup.get(value, -1.0) for value in values])
    except TypeError:
        raise TypeError(
            f"{at_start(label(names, j))} of X has lists, dicts or the like, which are no symbols."
        ) from None
    strange = codes < 0.0
    if strange.any():
        if unseen == "error":
            row = int(strange.argmax())
            shown = [repr(value) for value in symbols[:8]] + ["..."] * (len(symbols) > 8)
            raise ValueError(
                f"{at_start(label(names, j))} of X has {values[row]!r} in row {row}, which was "
                f"not seen in fit. Its symbols are {', '.join(shown)}. Correct it, or treat what "
                "is unseen as missing: Categorical(unseen='missing')."
            )
        codes[strange] = np.nan
    return codes
