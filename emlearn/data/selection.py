"""Columns that a parameter names: by name, by position or by a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_selection(
    selection: Any, names: list[Any] | None, n_columns: int, parameter: str
) -> NDArray[np.bool_]:
    """Mask of the selected columns; None selects none.

    Parameters
    ----------
    selection : array-like of str, int or bool, or None
        Names, positions or a mask.
    names : list or None
        Names of the columns.
    n_columns : int
        Number of columns.
    parameter : str
        Name of the parameter, for messages.

    Returns
    -------
    selected : ndarray of shape (n_columns,)
        Whether each column is selected.

    Raises
    ------
    ValueError
        If a name is unknown, a position is out of range, the mask has the wrong length, or the
        entries are of another type or of several types.
    """
    selected = np.zeros(n_columns, bool)
    if selection is None:
        return selected
    listed = isinstance(selection, (list, tuple))
    # As they are: beside a name, numpy would make a position a name.
    text = listed and any(isinstance(own, str) for own in selection)
    given = np.asarray(selection, object if text else None)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "biuUO"):
        raise _wrong_type(parameter, selection)
    if given.dtype.kind == "O" and not all(isinstance(name, str) for name in given):
        raise _wrong_type(parameter, selection)
    if given.dtype.kind == "b":
        if given.size != n_columns:
            raise ValueError(
                f"{parameter} is a mask of {given.size} columns, but X has {n_columns}."
            )
        return given.copy()
    if given.dtype.kind in "UO":
        selected[_positions(given.tolist(), names, parameter)] = True
        return selected
    wrong = (given < 0) | (given >= n_columns)
    if wrong.any():
        raise ValueError(
            f"{parameter} has the position {given[wrong][0]}, but X has {n_columns} columns: "
            f"positions are integers from 0 to {n_columns - 1}."
        )
    selected[given.astype(np.intp)] = True
    return selected


def _positions(wanted: list[str], names: list[Any] | None, parameter: str) -> list[int]:
    if names is None:
        raise ValueError(
            f"{parameter} has names, but the columns of X have none. Use positions or a mask, or "
            "pass a DataFrame."
        )
    unknown = [name for name in wanted if name not in names]
    if unknown:
        shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        raise ValueError(f"{parameter}: X has no column {unknown[0]!r}. Its columns are: {shown}.")
    return [names.index(name) for name in wanted]


def _wrong_type(parameter: str, selection: Any) -> ValueError:
    return ValueError(
        f"{parameter} must be a list of names, a list of positions or a boolean mask. Got "
        f"{selection!r}."
    )
