"""Single columns of arrays and of data frames of pandas and polars."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_frame(table: Any) -> bool:
    """Whether a table is a data frame, whose columns have names."""
    return hasattr(table, "columns")


def column_position(column: Any, names: NDArray[np.object_]) -> int:
    """Number of the column with a name or, if none has this name, a number.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    n = names.size
    for position, name in enumerate(names):
        if name == column:
            return position
    number = isinstance(column, numbers.Integral) and not isinstance(column, bool)
    if number and -n <= int(column) < n:
        return int(column) % n
    raise ValueError(
        f"There is no column {column!r}; the columns are {', '.join(map(str, names))}."
    )


def column_values(table: Any, place: Any) -> NDArray[Any]:
    """Values of a column, by name in a frame and by number in an array."""
    return np.asarray(table[place] if is_frame(table) else table[:, place])


def with_column(table: Any, place: Any, values: NDArray[Any]) -> Any:
    """A copy of a table with other values in a column."""
    if hasattr(table, "with_columns"):  # polars
        return table.with_columns(type(table[place])(place, values))
    if is_frame(table):
        changed = table.copy()
        changed[place] = values
        return changed
    floats = table.dtype.kind in "biuf"
    changed = table.astype(np.result_type(table, np.float32) if floats else object)
    changed[:, place] = values
    return changed
