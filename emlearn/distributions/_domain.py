"""The domain of a family: checks of X, and errors that name row and column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def require(valid: Array, X: Array, what: str) -> None:
    """Raise an error for the first entry that is neither valid nor missing.

    Parameters
    ----------
    valid : ndarray of shape (n_rows, n_features), dtype bool
        Whether each entry of X is in the domain. NaN may be marked either way.
    X : ndarray of shape (n_rows, n_features)
        The rows.
    what : str
        What the entries have to be. It completes "needs ...".

    Raises
    ------
    DomainError
        A ValueError that names row and column.
    """
    if valid.all():
        return
    wrong = ~valid & ~np.isnan(X)
    if wrong.any():
        # A negative entry is named first: it is the most telling.
        negative = wrong & np.less(X, 0, where=wrong, out=np.zeros(X.shape, bool))
        row, column = np.argwhere(negative if negative.any() else wrong)[0]
        raise DomainError(float(X[row, column]), int(row), int(column), what)


class ColumnError(ValueError):
    """Some columns of X are not what the family needs.

    Parameters
    ----------
    columns : iterable of int or str
        Their positions, or their names.
    problem : str
        What is wrong. It completes "Column 3 of X ...".
    """

    def __init__(self, columns: Iterable[Any], problem: str):
        known = [str(j) if isinstance(j, str) else int(j) for j in columns]
        which = f"Column {known[0]!r}" if len(known) == 1 else f"Columns {known}"
        super().__init__(f"{which} of X {problem}")
        self._columns, self._problem = known, problem

    def __reduce__(self) -> tuple[Any, ...]:
        return ColumnError, (self._columns, self._problem)

    def at(self, rows: Any = None, columns: Any = None) -> ColumnError:
        """The same error, with the positions or names of these rows and columns in X."""
        own = self._columns if columns is None else [columns[j] for j in self._columns]
        return ColumnError(own, self._problem)


class DomainError(ColumnError):
    """An entry of X is outside the domain of a family."""

    def __init__(self, value: float, row: int, column: int | str, what: str):
        kind = "Negative values in data: " if value < 0 else ""
        column = str(column) if isinstance(column, str) else int(column)
        ValueError.__init__(
            self, f"{kind}X has {value:g} in row {row}, column {column!r}, but needs {what}."
        )
        self._entry = (value, row, column, what)

    def __reduce__(self) -> tuple[Any, ...]:
        return DomainError, self._entry

    def at(self, rows: Any = None, columns: Any = None) -> DomainError:
        """See `ColumnError`."""
        value, row, column, what = self._entry
        row = row if rows is None else int(rows[row])
        return DomainError(value, row, column if columns is None else columns[column], what)


@contextmanager
def named_columns(names: Any) -> Iterator[None]:
    """Put the names of columns into errors, if there are names."""
    try:
        yield
    except ColumnError as error:
        if names is None:
            raise
        raise error.at(columns=names) from None


# Products of larger counts with logarithms, or sums of them, could be beyond float64.
LARGEST_COUNT = 1e300
# Counts are drawn as integers of 64 bits; numpy keeps some distance from their bound.
_LARGEST_DRAWN = 9.2e18


def require_drawable(expected: Array, what: str) -> None:
    """Raise ValueError if counts are expected to be too large to draw."""
    largest = float(expected.max(initial=0.0))
    if largest > _LARGEST_DRAWN:
        raise ValueError(
            f"Counts cannot be drawn: {what} is {largest:.3g}, but counts of more than "
            f"{_LARGEST_DRAWN:.2g} are beyond the range of 64-bit integers."
        )


def require_counts(X: Array, what: str) -> None:
    """Raise unless all entries are integers >= 0 or missing; see `require`."""
    with np.errstate(invalid="ignore"):
        valid = (X >= 0) & (np.floor(X) == X) & (X <= LARGEST_COUNT)
        if not valid.all():
            require(~(X > LARGEST_COUNT), X, f"numbers of at most {LARGEST_COUNT:g}")
            require(valid, X, what)
