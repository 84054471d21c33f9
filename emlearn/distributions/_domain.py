"""Whether the entries of X are in the domain of a family."""

from __future__ import annotations

from typing import Any

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
    DomainError
        A ValueError that names the row and the column.
    """
    if valid.all():
        return
    wrong = ~valid & ~np.isnan(X)
    if wrong.any():
        # What is negative is named first: it most likely is what was not meant.
        negative = wrong & np.less(X, 0, where=wrong, out=np.zeros(X.shape, bool))
        row, column = np.argwhere(negative if negative.any() else wrong)[0]
        raise DomainError(float(X[row, column]), int(row), int(column), what)


class DomainError(ValueError):
    """An entry of X is outside the domain of a family."""

    def __init__(self, value: float, row: int, column: int, what: str):
        kind = "Negative values in data: " if value < 0 else ""
        super().__init__(f"{kind}X has {value:g} in row {row}, column {column}, but needs {what}.")
        self._entry = (value, row, column, what)

    def __reduce__(self) -> tuple[Any, ...]:
        return DomainError, self._entry

    def at(self, rows: Any = None, columns: Any = None) -> DomainError:
        """The error for rows and columns that are the ones of these positions in X."""
        value, row, column, what = self._entry
        row = row if rows is None else int(rows[row])
        return DomainError(value, row, column if columns is None else int(columns[column]), what)


def require_counts(X: Array, what: str) -> None:
    """Raise unless all entries are integers >= 0 or missing; see `require`."""
    with np.errstate(invalid="ignore"):
        require((X >= 0) & (np.floor(X) == X) & np.isfinite(X), X, what)
