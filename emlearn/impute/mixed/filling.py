"""Missing entries of a mixed table, given one model or the average of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from emlearn.impute._bounds import Bounds
from emlearn.impute.mixed.bounded import draw_bounded
from emlearn.impute.mixed.columns import MixedColumns
from emlearn.impute.mixed.model import MixedParams
from emlearn.kernels.general_location import condition, draw

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Entries of the arrays of a slab of rows.
_SLAB_ENTRIES = 1 << 20
# How often rows with a draw outside the bounds are drawn again before other means are taken.
_REDRAWS = 10


class Conditionals(NamedTuple):
    """Distributions of the entries of rows given the observed ones.

    Attributes
    ----------
    mean, variance : ndarray of shape (n_rows, n_numbers)
        Means and variances of the numbers, in the units of the table.
    levels : ndarray of shape (n_rows, n_levels)
        Probabilities of the levels.
    log_density : ndarray of shape (n_rows,)
        Log-density of the observed entries.
    """

    mean: Array
    variance: Array
    levels: Array
    log_density: Array


class AveragedModel(NamedTuple):
    """Models of the same table, with equal weights.

    Attributes
    ----------
    models : tuple of MixedParams
        Their parameters. They have the same categories and levels.
    """

    models: tuple[MixedParams, ...]

    @property
    def columns(self) -> MixedColumns:
        """Columns; the margins are those of the first model."""
        return self.models[0].columns

    def conditionals(self, table: Array) -> Iterator[tuple[slice, Conditionals]]:
        """Distributions of the entries, for some rows at a time.

        Parameters
        ----------
        table : ndarray of shape (n_rows, n_columns)
            Numbers and codes, NaN where missing.
        """
        for rows in self._slabs(table):
            parts = [_conditionals(model, table[rows]) for model in self.models]
            yield rows, _average(parts)

    def complete(self, table: Array, out: Array) -> None:
        """Put means, medians of ordered codes and the most probable other codes into `out`."""
        for rows, found in self.conditionals(table):
            self._put(table[rows], found, out[rows])

    def _put(self, table: Array, found: Conditionals, out: Array) -> None:
        columns = self.columns
        for i, column in enumerate(columns.numeric):
            missing = np.isnan(table[:, column])
            out[missing, column] = found.mean[missing, i]
        for j, (column, levels) in enumerate(zip(columns.categorical, columns.levels, strict=True)):
            missing = np.isnan(table[:, column])
            probabilities = columns.parts(found.levels)[j][missing]
            out[missing, column] = levels[_center(probabilities, bool(columns.ordered[j]))]

    def deviations(self, table: Array, out: Array) -> None:
        """Put the standard deviations of missing numbers into `out`."""
        columns = self.columns
        for rows, found in self.conditionals(table):
            for i, column in enumerate(columns.numeric):
                missing = np.isnan(table[rows, column])
                out[rows][missing, column] = np.sqrt(found.variance[missing, i])

    def entropies(self, table: Array, out: Array) -> None:
        """Put the entropies of missing categories into `out`."""
        columns = self.columns
        for rows, found in self.conditionals(table):
            for column, part in zip(columns.categorical, columns.parts(found.levels), strict=True):
                missing = np.isnan(table[rows, column])
                out[rows][missing, column] = -xlogy(part, part).sum(axis=1)[missing]

    def probabilities(self, table: Array) -> list[Array]:
        """Probabilities of the levels of each category, (n_rows, n_levels) each."""
        found = [part.levels for _, part in self.conditionals(table)]
        levels = np.concatenate(found) if found else np.empty((0, self.columns.n_levels))
        return self.columns.parts(levels)

    def log_density(self, table: Array) -> Array:
        """Log-density of the observed entries of each row; of an average, its logarithm."""
        found = [part.log_density for _, part in self.conditionals(table)]
        return np.concatenate(found) if found else np.empty(0)

    def draw(
        self, table: Array, out: Array, bounds: Bounds | None, rng: np.random.Generator
    ) -> None:
        """Put draws of missing entries into `out`, all entries of a row from the same model.

        Parameters
        ----------
        table, out : ndarray of shape (n_rows, n_columns)
            Numbers and codes, NaN where missing; and a copy.
        bounds : Bounds or None
            Bounds of the columns of numbers.
        rng : Generator
            Source of the draws.
        """
        label = rng.integers(len(self.models), size=len(table))
        for k, model in enumerate(self.models):
            own = np.flatnonzero(label == k)
            for part in np.array_split(own, max(1, len(list(self._slabs(table[own]))))):
                if part.size:
                    out[part] = _draw(model, table[part], bounds, rng)

    def _slabs(self, table: Array) -> Iterator[slice]:
        columns = self.columns
        size = max(1, _SLAB_ENTRIES // (columns.n_levels + 4 * columns.n_columns))
        for start in range(0, len(table), size):
            yield slice(start, min(start + size, len(table)))


def _conditionals(model: MixedParams, table: Array) -> Conditionals:
    columns = model.columns
    rows, order = columns.rows(table)
    found = condition(rows, model.tables())
    mean, variance = np.empty_like(found.mean), np.empty_like(found.variance)
    levels, density = np.empty_like(found.levels), np.empty_like(found.density)
    for i, margin in enumerate(columns.margins):
        mean[order, i], variance[order, i] = margin.moments(found.mean[:, i], found.variance[:, i])
    levels[order], density[order] = found.levels, found.density
    return Conditionals(mean, variance, levels, density + columns.log_jacobian(table))


def _average(parts: list[Conditionals]) -> Conditionals:
    if len(parts) == 1:
        return parts[0]
    n = len(parts)
    mean = np.mean([part.mean for part in parts], axis=0)
    variance = np.mean([part.variance + (part.mean - mean) ** 2 for part in parts], axis=0)
    levels = np.mean([part.levels for part in parts], axis=0)
    density = np.logaddexp.reduce([part.log_density for part in parts]) - np.log(n)
    return Conditionals(mean, variance, levels, density)


def _center(probabilities: Array, ordered: bool) -> Index:
    """The median level if they have an order, or the most probable one."""
    if not ordered:
        return np.asarray(probabilities.argmax(axis=1))
    below = np.cumsum(probabilities, axis=1)
    return np.asarray((below < 0.5 * below[:, -1:]).sum(axis=1))


def _draw(
    model: MixedParams, table: Array, bounds: Bounds | None, rng: np.random.Generator
) -> Array:
    columns, tables = model.columns, model.tables()
    rows, order = columns.rows(table)
    drawn = _completed(columns, table[order], *draw(rows, tables, rng))
    if bounds is not None:
        missing = np.isnan(table[order])
        outside = np.flatnonzero(bounds.violated(drawn, missing))
        for attempt in range(_REDRAWS + 1):
            if not outside.size:
                break
            part = rows.take(outside)
            if attempt < _REDRAWS:
                found = draw(part, tables, rng)
            else:
                found = draw_bounded(part, model, bounds, rng)
            drawn[outside] = _completed(columns, table[order[outside]], *found)
            outside = outside[bounds.violated(drawn[outside], missing[outside])]
    out = np.empty_like(table)
    out[order] = drawn
    return out


def _completed(
    columns: MixedColumns, table: Array, numbers: Array, codes: NDArray[np.int32]
) -> Array:
    """The table with its missing entries replaced."""
    out = table.copy()
    for i, (column, margin) in enumerate(zip(columns.numeric, columns.margins, strict=True)):
        missing = np.isnan(table[:, column])
        out[missing, column] = margin.inverse(numbers[missing, i])
    for j, (column, levels) in enumerate(zip(columns.categorical, columns.levels, strict=True)):
        missing = np.isnan(table[:, column])
        out[missing, column] = levels[codes[missing, j]]
    return out
