"""Center and scale of each column, estimated from its observed values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._passes import RowPasses, WholeRows
from emlearn.kernels import compiled

Array = NDArray[np.float64]

_CHUNK = 1 << 16


class _Units(NamedTuple):
    center: Array
    scale: Array


class ColumnScaling(_Units):
    """The units of the arithmetic: ``z = (x - center) / scale``.

    Attributes
    ----------
    center : ndarray of shape (n_features,)
        Close to the mean of the observed values, in the precision of the data.
    scale : ndarray of shape (n_features,)
        Power of two close to their standard deviation, so that scaling rounds nothing; 1 for
        a constant column, or one scale for all columns.
    """

    @cached_property
    def log_jacobian(self) -> float:
        """Log-density in units of the data minus that in scaled coordinates."""
        return -float(np.log(self.scale).sum())

    @cached_property
    def kernel_units(self) -> tuple[Array, Array]:
        """Center, and inverse of the scale, in float64: what the compiled kernels read."""
        # Scales are powers of two: their inverses are exact.
        return self.center.astype(np.float64), 1.0 / self.scale

    def is_exact(self, dtype: Any) -> bool:
        """Whether a precision represents the center, which rows of this precision need."""
        with np.errstate(over="ignore"):
            return bool((self.center.astype(dtype) == self.center).all())

    def apply(self, rows: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
        """Rows (n_rows, n_features) as a block (n_features, n_rows), written to `out`."""
        np.subtract(rows.T, self.center[:, None].astype(out.dtype), out=out)
        out /= self.scale[:, None].astype(out.dtype)
        return out

    def to_scaled(self, points: Any) -> Array:
        """Points (..., n_features) in scaled coordinates, in float64."""
        scaled: Array = (np.asarray(points, np.float64) - self.center) / self.scale
        return scaled

    def to_units(self, points: Array) -> Array:
        """Points (..., n_features) in the units of the data."""
        units: Array = points * self.scale + self.center
        return units

    def standardize(
        self,
        X: NDArray[np.floating],
        order: NDArray[np.intp] | None = None,
        factors: Array | None = None,
    ) -> Array:
        """Rows in the units of the scaling, missing entries 0.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Table, NaN where missing.
        order : ndarray of shape (n_rows,), default=None
            Numbers of the rows to take; None means all.
        factors : ndarray of shape (n_rows,), default=None
            Factors of the rows.
        """
        if compiled is not None and X.flags.c_contiguous:
            order = np.arange(X.shape[0]) if order is None else order
            Z: Array = np.empty((order.size, X.shape[1]))
            compiled.standardize(X, order, self.center, self.scale, factors, Z)
            return Z
        Z = np.subtract(X if order is None else X[order], self.center, dtype=np.float64, order="C")
        Z /= self.scale
        np.copyto(Z, 0.0, where=np.isnan(Z))
        if factors is not None:
            Z *= factors[:, None]
        return Z

    def restore_missing(
        self,
        Z: Array,
        order: NDArray[np.intp],
        missing: NDArray[np.bool_],
        out: NDArray[np.floating],
    ) -> None:
        """Put missing entries of some rows, in the units of the data, into a table.

        Parameters
        ----------
        Z : ndarray of shape (n_rows, n_features)
            Rows in the units of the scaling.
        order : ndarray of shape (n_rows,)
            Their numbers in the table.
        missing : ndarray of shape (n_rows, n_features), dtype bool
            Which of their entries are put there.
        out : ndarray of shape (n_samples, n_features)
            The table.
        """
        if compiled is not None and out.flags.c_contiguous:
            compiled.fill_missing(Z, order, missing, self.center, self.scale, out)
            return
        rows = out[order]
        np.copyto(rows, self.to_units(Z), where=missing, casting="same_kind")
        out[order] = rows


class ColumnSummary(NamedTuple):
    """Summary of the observed values of each column.

    Attributes
    ----------
    weight : ndarray of shape (n_features,)
        Sum of the weights of the rows where the column is observed.
    constant : ndarray of shape (n_features,), dtype bool
        Whether all observed values are the same up to rounding; true if there are none.
    variance : ndarray of shape (n_features,)
        Variances of the scaled columns (maximum likelihood); 0 for a constant column.
    scaling : ColumnScaling
        Units. The center of an empty column is 0, of a constant one its value.
    """

    weight: Array
    constant: NDArray[np.bool_]
    variance: Array
    scaling: ColumnScaling


def row_chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows that hold some ten thousand entries each."""
    step = max(1, _CHUNK // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(n_rows, start + step))


def summarize_columns(
    X: NDArray[np.floating], sample_weight: Array | None = None, *, by_column: bool = True
) -> ColumnSummary:
    """Summary of rows in memory; see `summarize_rows`. Rows of weight 0 do not count.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Data, NaN where missing.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights; None means 1 each.
    by_column : bool, default=True
        See `summarize_rows`.
    """
    if sample_weight is not None and not sample_weight.all():
        kept = sample_weight > 0.0
        X, sample_weight = X[kept], sample_weight[kept]
    return summarize_rows(WholeRows(X, sample_weight), by_column=by_column)


def summarize_rows(rows: RowPasses, *, by_column: bool = True) -> ColumnSummary:
    """Weight, constancy, variance, center and scale of the columns of data with NaN.

    Passes about the mean follow one that finds it, so that an offset costs no digits; squares are
    taken of values below 1, so that they neither overflow nor vanish.

    Parameters
    ----------
    rows : RowPasses
        Data, NaN where missing.
    by_column : bool, default=True
        Whether each column has a scale of its own; one scale for all otherwise, that of the
        widest.
    """
    n_rows = max(1, rows.shape[0])
    sums = rows.total(partial(_column_sums, 1.0 / n_rows))
    weight, total, lowest, highest = sums.weight, sums.total, sums.lowest, sums.highest
    empty = weight == 0.0
    center = np.where(empty, 0.0, total / np.where(empty, 1.0, weight) * n_rows)
    largest = np.where(empty, 0.0, np.maximum(np.abs(lowest), np.abs(highest)))
    # Rounding of the values themselves is no spread.
    resolution = 4.0 * float(np.finfo(rows.dtype).eps) * largest
    with np.errstate(over="ignore"):
        spread = np.maximum(highest / 2 - center / 2, center / 2 - lowest / 2) * 2
    constant = empty | (lowest == highest) | (highest / 2 - lowest / 2 <= resolution / 2)
    center = np.where(constant & ~empty, lowest, center)
    unit = np.where(constant, 1.0, power_of_two(np.where(constant, 1.0, spread)))
    total = np.where(empty, 1.0, weight)
    mean = rows.total(partial(_column_residuals, center, unit)) / total
    exact = center
    with np.errstate(over="ignore"):
        center = (exact + mean * unit).astype(rows.dtype).astype(np.float64)
    center = np.where(np.isfinite(center), center, exact)
    # What rounding the center leaves of the mean is no spread.
    left = np.where(constant, 0.0, (exact - center) / unit + mean)
    square = rows.total(partial(_column_squares, center, unit))
    deviation = np.sqrt(np.maximum(square / total - np.square(left), 0.0))
    deviation[constant] = 0.0
    info = np.finfo(rows.dtype)
    exponent = np.log2(unit) + np.log2(np.where(deviation > 0.0, deviation, 1.0))
    if not by_column and not constant.all():
        # In common units the narrowest columns may vanish beside the widest.
        exponent[:] = exponent[~constant].max()
    # Within what the precision of the data can divide by.
    scale = np.exp2(np.clip(np.round(exponent), info.minexp, info.maxexp - 1))
    variance = np.square(deviation * (unit / scale))
    return ColumnSummary(weight, constant, variance, ColumnScaling(center, scale))


@dataclass(frozen=True)
class ColumnSums:
    """Weight of what is observed of each column, its sum / n_samples, and its range."""

    weight: Array
    total: Array
    lowest: Array
    highest: Array

    def __add__(self, other: ColumnSums) -> ColumnSums:
        return ColumnSums(
            self.weight + other.weight,
            self.total + other.total,
            np.minimum(self.lowest, other.lowest),
            np.maximum(self.highest, other.highest),
        )


def _column_sums(
    fraction: float, X: NDArray[np.floating], sample_weight: Array | None
) -> ColumnSums:
    """Sums and ranges of the columns.

    Multiplying with the fraction, 1 / n_samples, before adding keeps sums of huge values finite.
    """
    n_rows, n_columns = X.shape
    weight, total = np.zeros(n_columns), np.zeros(n_columns)
    lowest, highest = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)
    if compiled is not None and X.flags.c_contiguous:
        compiled.column_sums(X, sample_weight, fraction, weight, total, lowest, highest)
        return ColumnSums(weight, total, lowest, highest)
    for rows in row_chunks(n_rows, n_columns):
        part = X[rows].astype(np.float64)
        present = ~np.isnan(part)
        w = _weights(sample_weight, rows)
        present &= w > 0.0
        np.minimum(lowest, np.where(present, part, np.inf).min(axis=0), out=lowest)
        np.maximum(highest, np.where(present, part, -np.inf).max(axis=0), out=highest)
        weight += (present * w).sum(axis=0)
        total += (np.where(present, part, 0.0) * (w * fraction)).sum(axis=0)
    return ColumnSums(weight, total, lowest, highest)


def _column_squares(
    center: Array, unit: Array, X: NDArray[np.floating], sample_weight: Array | None
) -> Array:
    """Weighted sums of the squares of (x - center) / unit."""
    n_rows, n_columns = X.shape
    square = np.zeros(n_columns)
    if compiled is not None and X.flags.c_contiguous:
        compiled.column_squares(X, sample_weight, center, unit, square)
        return square
    for rows in row_chunks(n_rows, n_columns):
        part = X[rows].astype(np.float64) / unit - center / unit
        w = _weights(sample_weight, rows)
        square += (np.where(np.isnan(part), 0.0, part) ** 2 * w).sum(axis=0)
    return square


def _column_residuals(
    center: Array, unit: Array, X: NDArray[np.floating], sample_weight: Array | None
) -> Array:
    """Weighted sums of (x - center) / unit."""
    n_rows, n_columns = X.shape
    total, offset = np.zeros(n_columns), center / unit
    for rows in row_chunks(n_rows, n_columns):
        part = X[rows].astype(np.float64) / unit - offset
        absent = np.isnan(part)
        if absent.any():
            part[absent] = 0.0
        total += part.sum(axis=0) if sample_weight is None else sample_weight[rows] @ part
    return total


def _weights(sample_weight: Array | None, rows: slice) -> Array:
    if sample_weight is None:
        return np.ones((rows.stop - rows.start, 1))
    return sample_weight[rows, None]


def power_of_two(values: Array) -> Array:
    """The closest powers of two, so that scaling by them does not round."""
    largest = float(np.finfo(np.float64).maxexp - 1)
    powers: Array = np.exp2(np.minimum(np.round(np.log2(values)), largest))
    return powers
