"""Passes over the rows of a fit, from which a family learns about the columns.

What is learned is a sum over rows, or several, one after the other. So the rows may be an array in
memory, or blocks that are read from files or lie on other machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._domain import ColumnError

Array = NDArray[Any]


class RowPasses(Protocol):
    """The rows of a fit, all of positive weight.

    Attributes
    ----------
    shape : tuple of int
        Number of rows and of columns.
    dtype : dtype
        Precision of the rows.
    has_weight : bool
        Whether rows have weights; if not, their weight is 1.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> Any: ...

    @property
    def has_weight(self) -> bool: ...

    def total(self, function: Callable[[Any, Array | None], Any]) -> Any:
        """Sum of ``function(X, weight)`` over all rows.

        Parameters
        ----------
        function : callable
            Called with some rows and their weights (or None). Returns statistics that can be
            added; see `emlearn.engine.add_statistics`. It can be pickled.
        """
        ...

    def sample(self) -> Any:
        """Rows drawn at random; all, if these are few."""
        ...


@dataclass(frozen=True)
class WholeRows:
    """An array in memory, which is one part.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        Rows.
    weight : ndarray of shape (n_rows,), default=None
        Their weights, all positive; None means 1 each.
    """

    X: Any
    weight: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """See `RowPasses`."""
        n_rows, n_features = self.X.shape
        return n_rows, n_features

    @property
    def dtype(self) -> Any:
        """See `RowPasses`."""
        return self.X.dtype

    @property
    def has_weight(self) -> bool:
        """See `RowPasses`."""
        return self.weight is not None

    def total(self, function: Callable[[Any, Array | None], Any]) -> Any:
        """See `RowPasses`."""
        return function(self.X, self.weight)

    def sample(self) -> Any:
        """See `RowPasses`."""
        return self.X


@dataclass(frozen=True)
class PassesOfColumns:
    """Passes over some of the columns.

    Parameters
    ----------
    passes : RowPasses
        Passes over all columns.
    columns : tuple of int
        Positions of the columns.
    """

    passes: RowPasses
    columns: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """See `RowPasses`."""
        return self.passes.shape[0], len(self.columns)

    @property
    def dtype(self) -> Any:
        """See `RowPasses`."""
        return self.passes.dtype

    @property
    def has_weight(self) -> bool:
        """See `RowPasses`."""
        return self.passes.has_weight

    def total(self, function: Callable[[Any, Array | None], Any]) -> Any:
        """See `RowPasses`."""
        return self.passes.total(partial(_in_columns, self.columns, function))

    def sample(self) -> Any:
        """See `RowPasses`."""
        return self.passes.sample()[:, list(self.columns)]


def _in_columns(
    columns: tuple[int, ...], function: Callable[..., Any], X: Any, weight: Array | None
) -> Any:
    return at_columns(columns, X, lambda own: function(own, weight))


def at_columns(columns: tuple[int, ...], X: Array, call: Callable[[Array], Any]) -> Any:
    """Result for some columns of X; errors have the positions in X."""
    try:
        return call(X[:, list(columns)])
    except ColumnError as error:
        raise error.at(columns=columns) from None


@dataclass(frozen=True)
class Tally:
    """Distinct values, in increasing order, and the weight of each; tallies can be added."""

    values: Array
    weight: Array

    @classmethod
    def of(cls, values: Array, weight: Array | None = None) -> Tally:
        """Tally of an array; values without weights count 1 each."""
        distinct, group = np.unique(values, return_inverse=True)
        return cls(distinct, np.bincount(group.ravel(), weight, len(distinct)))

    def __add__(self, other: Tally) -> Tally:
        both = np.concatenate([self.values, other.values])
        return Tally.of(both, np.concatenate([self.weight, other.weight]))
