r"""Negative binomial log-densities, and the counts of columns of which few are different.

With mean m and dispersion f, the variance of a count is m + f m^2; r = 1 / f. The log-density is

    T(x, f) + x log m - (x + r) log(1 + m f) - log x!,   T(x, f) = sum of log(1 + j f), j < x.

It is that of Poisson counts at f = 0. Written so, no term is infinite there, and none cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import digamma, gammaln

from emlearn.distributions._contract import Array
from emlearn.distributions._exponential import log_of

HIGHEST_DISPERSION = 1e8
_LOWEST_DISPERSION = 1e-12
_SMALL = 1e-5
# From this r on, the series of Stirling is exact.
_LARGE = 100.0
_STEPS = 60


def log_rise(x: Array, f: Array) -> Array:
    """T(x, f): log Gamma(x + r) - log Gamma(r) - x log r."""
    f = np.maximum(f, 1e-290)
    r = 1.0 / f
    near = np.minimum(r, _LARGE)
    plain = gammaln(x + near) - gammaln(near) - x * np.log(near)
    r = np.maximum(r, _LARGE)
    y = x / r
    series = r * ((1.0 + y) * np.log1p(y) - y) - 0.5 * np.log1p(y)
    for power, factor in ((1, 1.0 / 12.0), (3, -1.0 / 360.0), (5, 1.0 / 1260.0)):
        series += factor * r**-power * np.expm1(-power * np.log1p(y))
    return np.where(f * _LARGE > 1.0, plain, np.where(x > 1.0, series, 0.0))


def slope_of_rise(x: Array, f: Array) -> Array:
    """Derivative of `log_rise` by f: the sum of j / (1 + j f), j < x."""
    large = np.maximum(f, _SMALL / np.maximum(x, 1.0))
    r = 1.0 / large
    near = np.minimum(r, _LARGE)
    plain = (x - near * (digamma(x + near) - digamma(near))) * near
    y = x / r
    series = r * (y - np.log1p(y)) - 0.5 * y / (1.0 + y)
    for power, factor in ((2, 1.0 / 12.0), (4, -1.0 / 120.0), (6, 1.0 / 252.0)):
        series += factor * r ** (1 - power) * np.expm1(-power * np.log1p(y))
    plain = np.where(r > _LARGE, series * r, plain)
    limit = x * (x - 1.0) * (0.5 - f * (2.0 * x - 1.0) / 6.0)
    return np.where(f < large, limit, np.where(x > 1.0, plain, 0.0))


def log_normalizer(mean: Array, f: Array) -> tuple[Array, Array]:
    """The functions log(1 + m f) / f and log(1 + m f)."""
    y = mean * f
    by_row = np.where(f > 1e-290, np.log1p(y) / np.maximum(f, 1e-290), mean)
    return by_row, np.log1p(y)


def slope_of_normalizer(weight: Array, total: Array, mean: Array, f: Array) -> Array:
    """Derivative by f of minus the normalizer: weight and total are the sums of 1 and of x."""
    y = mean * f
    large = np.maximum(y, 1e-4)
    exact = (np.log1p(large) - large / (1.0 + large)) / np.square(large)
    series = 0.5 - y * (2.0 / 3.0 - y * (0.75 - 0.8 * y))
    squared = np.square(mean) * np.where(y < large, series, exact)
    return weight * squared - total * mean / (1.0 + y)


def dispersion_root(
    function: Callable[[Array], Array], start: Array, exists: NDArray[np.bool_], tolerance: float
) -> Array:
    """Dispersion where a derivative falls through 0, by secants on its logarithm in a bracket."""
    low = np.full(start.shape, np.log(_LOWEST_DISPERSION))
    high = np.full(start.shape, np.log(HIGHEST_DISPERSION))
    at = np.clip(np.log(np.maximum(start, _LOWEST_DISPERSION)), low + 1e-3, high - 1e-3)
    before, slope_before, new = at, np.zeros_like(at), at
    for step in range(_STEPS if exists.any() else 0):
        slope = np.where(exists, function(np.exp(at)) * np.exp(at), 0.0)
        low, high = np.where(slope > 0.0, at, low), np.where(slope > 0.0, high, at)
        change = slope - slope_before
        secant = at - slope * (at - before) / np.where(change == 0.0, 1.0, change)
        guess = at + np.where(slope > 0.0, 0.01, -0.01) if step == 0 else secant
        guess = at + np.clip(guess - at, -3.0, 3.0)
        inside = (guess > low) & (guess < high)
        stuck = (change == 0.0) if step else np.zeros(at.shape, bool)
        # Secants end in few steps; if not, every third step halves the bracket.
        halve = ~inside | stuck | ((step > 6) & (step % 3 == 2))
        new = np.where(slope == 0.0, at, np.where(halve, 0.5 * (low + high), guess))
        if (np.abs(new - at) <= tolerance).all():
            break
        before, slope_before, at = at, slope, new
    return np.minimum(np.exp(new), HIGHEST_DISPERSION)


class CountTable(NamedTuple):
    """The counts that each column has: pairs of a column and a count, sorted by both.

    Attributes
    ----------
    level : ndarray of shape (n_pairs,)
        The counts. 0 is the first of each column, even if it does not have it.
    column : ndarray of shape (n_pairs,) of int
        The columns.
    first : ndarray of shape (n_columns,) of int
        The first pair of each column.
    constant : ndarray of shape (n_pairs,)
        Logarithms of the factorials of the counts.
    """

    level: Array
    column: NDArray[np.intp]
    first: NDArray[np.intp]
    constant: Array

    @classmethod
    def of(cls, X: Array) -> CountTable:
        """The counts of the columns of X."""
        return cls.of_levels([own[~np.isnan(own)] for own in X.T])

    @classmethod
    def of_levels(cls, counts: Sequence[Array]) -> CountTable:
        """The counts that each column has, in any order."""
        levels = [np.unique(np.r_[0.0, own]) for own in counts]
        sizes = [len(own) for own in levels]
        level = np.concatenate(levels) if levels else np.empty(0)
        column = np.repeat(np.arange(len(sizes)), sizes)
        first = np.cumsum([0, *sizes])[:-1].astype(np.intp)
        return cls(level, column, first, gammaln(level + 1.0))

    def total(self, of_pairs: Array) -> Array:
        """Sums over the pairs of each column, (n_components, n_columns)."""
        sums: Array = np.add.reduceat(of_pairs, self.first, axis=1)
        return sums

    def of_column(self, j: int) -> Array:
        """The counts of a column."""
        own: Array = self.level[self.column == j]
        return own

    def widened(self, X: Array) -> CountTable:
        """The table with the counts of more rows, too; itself if it has them all."""
        old = [self.of_column(j) for j in range(X.shape[1])]
        new = [np.union1d(own, x[~np.isnan(x)]) for own, x in zip(old, X.T, strict=True)]
        return self if sum(map(len, new)) == len(self.level) else CountTable.of_levels(new)

    def places_in(self, wider: CountTable) -> NDArray[np.intp]:
        """Where the pairs are in a table that has them all."""
        places = [
            start + np.searchsorted(wider.of_column(j), self.of_column(j))
            for j, start in enumerate(wider.first)
        ]
        return np.concatenate(places) if places else np.empty(0, np.intp)

    def is_same(self, other: CountTable) -> bool:
        """Whether the tables are equal."""
        same = np.array_equal(self.level, other.level) and np.array_equal(self.first, other.first)
        return self is other or same


class CountRows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Counts; NaN is missing.
    pairs : CSR array of shape (n_rows, n_pairs)
        1 for each pair of the table that the row has.
    is_new : ndarray of shape (n_rows, n_columns) of bool, or None
        Counts that are not in the table; None if there are none.
    table : CountTable
        The table.
    """

    X: Array
    pairs: Any
    is_new: NDArray[np.bool_] | None
    table: CountTable

    @classmethod
    def of(cls, X: Array, table: CountTable) -> CountRows:
        """Encode rows."""
        n_rows, n_columns = X.shape
        place = np.zeros(X.shape, np.intp)
        ends = np.r_[table.first[1:], len(table.level)]
        for j in range(n_columns):
            own = table.level[table.first[j] : ends[j]]
            at = np.minimum(np.searchsorted(own, X[:, j]), len(own) - 1)
            place[:, j] = at + table.first[j]
        known = table.level[place] == X
        starts = np.r_[0, np.cumsum(known.sum(axis=1))]
        ones = np.ones(int(starts[-1]))
        pairs = csr_array((ones, place[known], starts), shape=(n_rows, len(table.level)))
        is_new = ~known & ~np.isnan(X)
        return cls(X, pairs, is_new if is_new.any() else None, table)

    def take(self, index: Any) -> CountRows:
        """Some of the rows."""
        is_new = None if self.is_new is None else self.is_new[index]
        return CountRows(self.X[index], self.pairs[index], is_new, self.table)

    def in_table(self, table: CountTable) -> CountRows:
        """The rows with another table."""
        return self if self.table.is_same(table) else CountRows.of(self.X, table)


def log_density(x: Array, mean: Array, f: Array) -> Array:
    """Log-densities of counts, up to the factorial."""
    by_row, by_count = log_normalizer(mean, f)
    return log_rise(x, f) + x * (log_of(mean) - by_count) - by_row
