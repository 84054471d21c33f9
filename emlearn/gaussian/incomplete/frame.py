"""Centre and scale of each column, estimated from what is observed of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CHUNK = 1 << 16


class Frame(NamedTuple):
    """The units in which a model works: ``z = (x - centre) / scale``.

    Attributes
    ----------
    centre : ndarray of shape (n_features,)
        Mean of the observed values.
    scale : ndarray of shape (n_features,)
        Power of two next to their standard deviation, so that scaling is exact; 1 for a
        constant column.
    """

    centre: Array
    scale: Array

    def standardize(self, X: NDArray[np.floating]) -> Array:
        """Rows in the units of the frame, missing entries 0."""
        Z: Array = np.subtract(X, self.centre, dtype=np.float64)
        Z /= self.scale
        np.copyto(Z, 0.0, where=np.isnan(Z))
        return Z

    def restore(self, Z: Array) -> Array:
        """Rows in the units of the data."""
        return Z * self.scale + self.centre


class ColumnSummary(NamedTuple):
    """What is observed of each column.

    Attributes
    ----------
    weight : ndarray of shape (n_features,)
        Sum of the weights of the rows where the column is observed.
    constant : ndarray of shape (n_features,), dtype bool
        Whether all observed values are the same; true if there are none.
    frame : Frame
        Centre and scale; the centre of an empty column is 0, of a constant one its value.
    """

    weight: Array
    constant: NDArray[np.bool_]
    frame: Frame


def row_chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows that hold some ten thousand entries each."""
    step = max(1, _CHUNK // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(n_rows, start + step))


def summarize_columns(X: NDArray[np.floating], sample_weight: Array | None = None) -> ColumnSummary:
    """Weight, constancy, centre and scale of the columns of data with NaN.

    Two passes, the second about the mean, so that an offset costs no digits; squares are
    taken of values below 1, so that they neither overflow nor vanish.
    """
    n_rows, n_columns = X.shape
    weight = np.zeros(n_columns)
    total = np.zeros(n_columns)
    lowest = np.full(n_columns, np.inf)
    highest = np.full(n_columns, -np.inf)
    # Dividing by the number of rows before adding keeps sums of huge values finite.
    share = 1.0 / max(1, n_rows)
    for rows in row_chunks(n_rows, n_columns):
        part = X[rows].astype(np.float64)
        present = ~np.isnan(part)
        w = _weights(sample_weight, rows)
        present &= w > 0.0
        np.minimum(lowest, np.where(present, part, np.inf).min(axis=0), out=lowest)
        np.maximum(highest, np.where(present, part, -np.inf).max(axis=0), out=highest)
        weight += (present * w).sum(axis=0)
        total += (np.where(present, part, 0.0) * (w * share)).sum(axis=0)
    empty = weight == 0.0
    constant = empty | (lowest == highest)
    centre = np.where(empty, 0.0, total / np.where(empty, 1.0, weight) / share)
    centre = np.where(constant & ~empty, lowest, centre)
    spread = np.maximum(highest / 2 - centre / 2, centre / 2 - lowest / 2) * 2
    with np.errstate(over="ignore"):
        unit = np.where(constant, 1.0, _power_of_two(np.where(constant, 1.0, spread)))
    square = np.zeros(n_columns)
    for rows in row_chunks(n_rows, n_columns):
        part = (X[rows].astype(np.float64) - centre) / unit
        w = _weights(sample_weight, rows)
        square += (np.where(np.isnan(part), 0.0, part) ** 2 * w).sum(axis=0)
    deviation = np.sqrt(square / np.where(empty, 1.0, weight))
    scale = np.where(constant, 1.0, unit * _power_of_two(np.where(constant, 1.0, deviation)))
    return ColumnSummary(weight, constant, Frame(centre, scale))


def _weights(sample_weight: Array | None, rows: slice) -> Array:
    if sample_weight is None:
        return np.ones((rows.stop - rows.start, 1))
    return sample_weight[rows, None]


def _power_of_two(values: Array) -> Array:
    powers: Array = np.exp2(np.round(np.log2(values)))
    return powers
