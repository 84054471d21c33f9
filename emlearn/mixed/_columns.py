"""The columns of X that a mixed model reads: labels of groups, and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

from emlearn._compat import validate_data
from emlearn.data.columns import Column
from emlearn.data.factors import Factor, interaction, read_factor
from emlearn.data.frames import require_distinct_names, whole_block
from emlearn.data.markers import Markers
from emlearn.data.names import at_start, label
from emlearn.data.schema import column_numbers
from emlearn.data.table import check_entries
from emlearn.data.tables import table_of

Floats = NDArray[np.float64]

_LARGEST = 1e150
_IF_MISSING = "leave out the rows that have any, or fill them in with MissingDataImputerEM"


class Columns:
    """The columns of a table of any library, by position.

    Sets or checks `n_features_in_` and `feature_names_in_` of the estimator, as scikit-learn
    does.

    Parameters
    ----------
    estimator : estimator
        The estimator that reads the table.
    X : array-like or DataFrame of shape (n_samples, n_features)
        The table.
    reset : bool
        Whether this is the table of a fit.

    Attributes
    ----------
    names : list or None
        Names of the columns in X, or in fit if X has none.
    n_samples, n_features : int
        Shape of X.

    Raises
    ------
    ValueError
        If X is not a table, or has not the columns of fit.
    TypeError
        If X is sparse.
    """

    def __init__(self, estimator: Any, X: Any, *, reset: bool):
        self._owner = type(estimator).__name__
        if issparse(X):
            check_array(X, estimator=estimator, input_name="X")
        self._table = table_of(X)
        shape = self._table.X.shape
        if 0 in shape:  # scikit-learn's message, without a look at numbers
            check_array(np.broadcast_to(0.0, shape), estimator=estimator, input_name="X")
        if self._table.names is not None:
            require_distinct_names(self._table.X)
        validate_data(estimator, self._table.X, reset=reset, skip_check_array=True)
        fitted = None if reset else getattr(estimator, "feature_names_in_", None)
        self.names: list[Any] | None = self._table.names
        if self.names is None and fitted is not None:
            self.names = list(fitted)
        self._positions = {name: j for j, name in enumerate(self.names or ())}
        self.n_samples, self.n_features = shape
        self._factors: dict[int, Factor] = {}  # several terms can have the same column

    def name(self, position: int) -> str:
        """Name of a column in results: x0, x1, ... if the columns have none."""
        return f"x{position}" if self.names is None else str(self.names[position])

    def label(self, position: int) -> str:
        """What messages call a column."""
        return label(self.names, position)

    def column(self, position: int) -> Column:
        """A column."""
        return self._table.columns[position]

    def position(self, column: Any, parameter: str) -> int:
        """Position of a column that a parameter names, or numbers.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        names = self.names
        if column in self._positions:
            return self._positions[column]
        number = isinstance(column, (int, np.integer)) and not isinstance(column, bool)
        if number and 0 <= column < self.n_features:
            return int(column)
        if number and names is None:
            raise ValueError(
                f"{parameter} has the column {column}, but X has {self.n_features} columns, "
                f"numbered from 0 to {self.n_features - 1}."
            )
        if names is None:
            raise ValueError(
                f"{parameter} has the column {column!r}, but the columns of X have no names. Give "
                "their numbers, or pass a DataFrame."
            )
        raise ValueError(f"{parameter}: X has no column {column!r}. {self.listed()}")

    def listed(self) -> str:
        """The names of the columns, as a sentence of a message."""
        names = self.names or []
        shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        return f"The columns of X are: {shown}."

    def factor(self, positions: Sequence[int]) -> Factor:
        """The grouping factor of a column, or of the combinations of several."""
        return interaction([self._factor(j) for j in positions])

    def _factor(self, position: int) -> Factor:
        if position not in self._factors:
            label = f"{self.label(position)} of X"
            self._factors[position] = read_factor(self.column(position), label)
        return self._factors[position]

    def numbers(self, positions: Sequence[int]) -> Floats:
        """Columns as finite numbers, (n_samples, n_columns).

        Raises
        ------
        ValueError
            If an entry is missing, infinite, text, a time or complex.
        TypeError
            If an entry is some other object that is not a number.
        """
        table = self._block(positions)
        if table is None:
            table = np.empty((self.n_samples, len(positions)))
            for i, j in enumerate(positions):
                self._refuse_text(j)
                table[:, i] = column_numbers(self.column(j), j, self.names, Markers())
        self._check_finite(table, positions)
        self._check_sizes(table, positions)
        return table

    def refuse_missing(self, positions: Sequence[int]) -> None:
        """Raise ValueError if an entry of some columns is missing, whatever their type."""
        for j in positions:
            absent = self.column(j).absent()
            if absent.any():
                self._check_finite(np.where(absent, np.nan, 0.0)[:, None], [j])

    def _check_finite(self, table: Floats, positions: Sequence[int]) -> None:
        keys = positions if self.names is None else [self.names[j] for j in positions]
        check_entries(table, keys, False, self._owner, advice=_IF_MISSING)

    def _check_sizes(self, table: Floats, positions: Sequence[int]) -> None:
        size = np.maximum(table.max(axis=0, initial=0.0), -table.min(axis=0, initial=0.0))
        wrong = np.flatnonzero((size > 0.0) & ~((size > 1.0 / _LARGEST) & (size < _LARGEST)))
        if wrong.size:
            raise ValueError(
                f"{at_start(self.label(positions[wrong[0]]))} of X has values of the size "
                f"{size[wrong[0]]:.1g}, the square of which is beyond the range of floating-point "
                "numbers. Change its units."
            )

    def _block(self, positions: Sequence[int]) -> Floats | None:
        """Columns of a table of numbers of one dtype, at once: there may be very many."""
        X = self._table.X
        block = X if isinstance(X, np.ndarray) else whole_block(X)
        if block is None or block.dtype.kind not in "biuf":
            return None
        first, n = positions[0] if positions else 0, len(positions)
        together = list(positions) == list(range(first, first + n))
        which = slice(first, first + n) if together else list(positions)
        with np.errstate(over="ignore"):
            return np.array(block[:, which], np.float64)

    def _refuse_text(self, position: int) -> None:
        column = self.column(position)
        found = "a dtype of categories"
        if column.nature in ("text", "objects"):
            text = [isinstance(value, (str, bytes)) for value in column.objects()]
            if not any(text):
                return
            row = int(np.argmax(text))
            found = f"text: {column.objects()[row]!r} in row {row}"
        elif column.nature != "category":
            return
        raise ValueError(
            f"{at_start(self.label(position))} of X has {found}. Columns with effects need "
            "numbers: encode it with OneHotEncoder(drop='first'), use a formula, name it in "
            "groups, or leave it out of fixed_columns."
        )
