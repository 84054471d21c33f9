"""Whether the entries of X are in the domain of a family."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def require(valid: Array, X: Array, what: str) -> None:
    """Raise for the first entry that is neither valid nor missing.

    Parameters
    ----------
    valid : ndarray of shape (n_rows, n_features), dtype bool
        Whether each entry of X is in the domain. NaN may be marked either way.
    X : ndarray of shape (n_rows, n_features)
        The rows.
    what : str
        What the entries have to be; completes "needs ...".

    Raises
    ------
    ValueError
        Names the row and the column.
    """
    if valid.all():
        return
    wrong = ~valid & ~np.isnan(X)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        refuse(X[row, column], int(row), int(column), what)


def refuse(value: Any, row: int, column: int, what: str) -> NoReturn:
    """Raise for an entry outside the domain.

    Raises
    ------
    ValueError
        Always. It speaks of "Negative values in data" where that is what is wrong.
    """
    kind = "Negative values in data: " if value < 0 else ""
    raise ValueError(f"{kind}X has {value:g} in row {row}, column {column}, but needs {what}.")


def require_counts(X: Array, what: str) -> None:
    """Raise unless all entries are integers >= 0 or missing; see `require`."""
    with np.errstate(invalid="ignore"):
        require((X >= 0) & (np.floor(X) == X) & np.isfinite(X), X, what)
