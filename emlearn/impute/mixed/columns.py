"""What the model learns from the columns of a table before EM: levels, scores, scaling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.impute.mixed.margins import Margin, fit_margin
from emlearn.kernels.general_location import LocationRows

Array = NDArray[np.float64]
Index = NDArray[np.intp]

MISSING = -1

# Standardized numbers are at most this far out, so that products of their squares are finite.
_FARTHEST = 1e75


class TableKinds(NamedTuple):
    """Which columns of a table of numbers and codes are of which kind; others are numbers.

    Attributes
    ----------
    nominal, ordered : ndarray of shape (n_columns,), dtype bool
        Columns of codes 0, 1, ... without and with order.
    """

    nominal: NDArray[np.bool_]
    ordered: NDArray[np.bool_]

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """Columns of codes."""
        return self.nominal | self.ordered

    def take(self, columns: Index) -> TableKinds:
        """Some of the columns."""
        return TableKinds(self.nominal[columns], self.ordered[columns])


class MixedColumns(NamedTuple):
    """The columns of a table, as the model sees them.

    Levels are those with observed rows; the levels of all categories are numbered through.

    Attributes
    ----------
    numeric, categorical : ndarray of shape (n_numbers,), (n_categories,)
        Positions of the columns of numbers and of codes.
    ordered : ndarray of shape (n_categories,), dtype bool
        Which categories have an order.
    margins : tuple of Margin
        Transformations of the numbers to standardized ones.
    levels : tuple of ndarray
        Codes of the levels of each category, ascending.
    offsets : ndarray of shape (n_categories + 1,), dtype int64
        First level of each category, and the number of levels.
    shares : ndarray of shape (n_levels,)
        Observed shares of the levels within their categories.
    design : ndarray of shape (n_levels, n_scores)
        What the numbers depend on linearly: a centered dummy for each level of a nominal
        category with three or more, or the standardized code.
    """

    numeric: Index
    categorical: Index
    ordered: NDArray[np.bool_]
    margins: tuple[Margin, ...]
    levels: tuple[Index, ...]
    offsets: NDArray[np.int64]
    shares: Array
    design: Array

    @property
    def n_levels(self) -> int:
        """Number of levels of all categories."""
        return int(self.offsets[-1])

    @property
    def n_columns(self) -> int:
        """Number of columns of the table."""
        return len(self.numeric) + len(self.categorical)

    def parts(self, levels: Array) -> list[Array]:
        """Split an array whose last axis is the levels by category."""
        return np.split(levels, self.offsets[1:-1], axis=-1) if len(self.categorical) else []

    def numbers(self, table: Array) -> Array:
        """Transformed numbers; NaN where missing."""
        out = np.empty((len(table), len(self.numeric)))
        for i, (column, margin) in enumerate(zip(self.numeric, self.margins, strict=True)):
            out[:, i] = margin.forward(table[:, column])
        return np.clip(out, -_FARTHEST, _FARTHEST, out=out)

    def codes(self, table: Array) -> NDArray[np.int32]:
        """Levels within their categories; `MISSING` where missing or without observed rows."""
        out = np.full((len(table), len(self.categorical)), MISSING, np.int32)
        for j, (column, own) in enumerate(zip(self.categorical, self.levels, strict=True)):
            values = table[:, column]
            place = np.searchsorted(own, values)
            place[place == len(own)] = 0
            out[:, j] = np.where(own[place] == values, place, MISSING)
        return out

    def rows(self, table: Array) -> tuple[LocationRows, Index]:
        """Rows sorted by pattern, and their positions in the table."""
        numbers, codes = self.numbers(table), self.codes(table)
        missing = np.isnan(numbers)
        # Patterns of numbers first: they cost more than those of categories.
        keys = (*(codes < 0).T, *missing.T)
        order = np.lexsort(keys) if keys else np.arange(len(table))
        missing = np.ascontiguousarray(missing[order])
        numbers = np.where(missing, 0.0, numbers[order])
        return LocationRows(numbers, missing, np.ascontiguousarray(codes[order])), order

    def log_jacobian(self, table: Array) -> Array:
        """Logarithm of the derivative of the transformation, summed over observed numbers."""
        total = np.zeros(len(table))
        for column, margin in zip(self.numeric, self.margins, strict=True):
            values = table[:, column]
            total += np.where(np.isnan(values), 0.0, margin.log_derivative(values))
        return total


def learn_columns(
    table: Array, kinds: TableKinds, weight: Array, *, power: bool = False
) -> MixedColumns:
    """What the model has to know of the columns.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
        Numbers and codes, NaN where missing. No column is constant or empty.
    kinds : TableKinds
        Which columns are codes.
    weight : ndarray of shape (n_rows,)
        Weights of the rows, above 0.
    power : bool
        Whether numbers are transformed to be more nearly normal (Yeo-Johnson).
    """
    numeric = np.flatnonzero(~kinds.categorical)
    categorical = np.flatnonzero(kinds.categorical)
    margins = tuple(fit_margin(table[:, i], weight, power=power) for i in numeric)
    levels: list[Index] = []
    shares: list[Array] = []
    blocks: list[Array] = []
    for j in categorical:
        seen = ~np.isnan(table[:, j])
        own, place = np.unique(table[seen, j].astype(np.intp), return_inverse=True)
        counts = np.bincount(place.ravel(), weight[seen])
        share = np.asarray(counts / counts.sum(), np.float64)
        levels.append(own)
        shares.append(share)
        blocks.append(_scores(own, share, bool(kinds.nominal[j])))
    sizes = [len(own) for own in levels]
    design = np.zeros((sum(sizes), sum(block.shape[1] for block in blocks)))
    row = column = 0
    for block in blocks:
        design[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    offsets = np.cumsum([0, *sizes]).astype(np.int64)
    share = np.concatenate(shares) if shares else np.empty(0)
    return MixedColumns(
        numeric,
        categorical,
        kinds.ordered[categorical],
        margins,
        tuple(levels),
        offsets,
        share,
        design,
    )


def _scores(levels: Index, share: Array, nominal: bool) -> Array:
    if nominal and len(levels) > 2:
        return np.eye(len(levels)) - share
    score = levels - share @ levels
    return np.asarray(score / np.sqrt(share @ score**2))[:, None]
