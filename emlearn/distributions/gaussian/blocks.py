"""Blocks of rows, features-major, centred and scaled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.workspace import Workspace

Array = NDArray[Any]

_CHUNK_ROWS = 65536


@dataclass(frozen=True)
class Scaling:
    """Coordinates in which the arithmetic is done: (x - center) / scale.

    Attributes
    ----------
    center : ndarray of shape (n_features,)
        Close to the mean of each column, in the precision of the data.
    scale : ndarray of shape (n_features,)
        Power of two close to the standard deviation, so that scaling rounds nothing.
    """

    center: Array
    scale: Array

    @property
    def log_jacobian(self) -> float:
        """Log-density in units of the data minus that in scaled coordinates."""
        return -float(np.log(self.scale).sum())

    def apply(self, rows: Array, out: Array) -> Array:
        """Rows (n_rows, n_features) as a block (n_features, n_rows), written to `out`."""
        np.subtract(rows.T, self.center[:, None].astype(out.dtype), out=out)
        out /= self.scale[:, None].astype(out.dtype)
        return out

    def to_scaled(self, points: Array) -> Array:
        """Points (..., n_features) in scaled coordinates, in float64."""
        scaled: Array = (np.asarray(points, np.float64) - self.center) / self.scale
        return scaled

    def to_units(self, points: Array) -> Array:
        """Points (..., n_features) in the units of the data."""
        units: Array = points * self.scale + self.center
        return units


@dataclass(frozen=True)
class RowBlock:
    """Some rows of the data.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        The rows in their own units.
    scaling : Scaling
        How they are brought into scaled coordinates.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows; None means 1 each.
    workspace : Workspace
        Scratch memory shared by the blocks of a data set.
    resident : ndarray of shape (1 + n_features, n_rows) or None
        What `augmented` returns, where the data are small enough to keep them twice.
    features : ndarray of shape (1 + n_features + n_moments, n_rows) or None
        Their features in the moment form, where those are small enough to keep.
    scatter : ndarray of shape (n_features, n_features) or None
        Weighted sum of x x', for structures that need the total scatter only.
    """

    rows: Array
    scaling: Scaling
    weight: Array | None
    workspace: Workspace = field(repr=False)
    resident: Array | None = field(default=None, repr=False)
    features: Array | None = field(default=None, repr=False)
    scatter: Array | None = field(default=None, repr=False)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows."""
        return float(self.n_rows) if self.weight is None else float(self.weight.sum())

    @property
    def dtype(self) -> Any:
        """Precision of the rows, and of the arithmetic within the block."""
        return self.rows.dtype

    def augmented(self) -> Array:
        """A row of ones above the block in scaled coordinates; not to be written to."""
        if self.resident is not None:
            return self.resident
        n_rows, n_features = self.rows.shape
        return self.augment(self.workspace.array("augmented", (1 + n_features, n_rows), self.dtype))

    def augment(self, out: Array) -> Array:
        """`augmented`, written to an array."""
        out[0] = 1.0
        self.scaling.apply(self.rows, out[1:])
        return out

    def scaled(self) -> Array:
        """The block in scaled coordinates; not to be written to."""
        return self.augmented()[1:]


def column_scaling(
    X: Array, weight: Array | None, *, by_column: bool, chunk: int = 65536
) -> tuple[Scaling, Array]:
    """Center and scale of the columns, and their exact variances in scaled coordinates.

    Sums are taken by chunks of rows in float64, of values divided by the largest one, so
    that neither large offsets nor extreme units lose digits.

    Returns
    -------
    scaling : Scaling
        A constant column has scale 1 where scales are by column.
    variance : ndarray of shape (n_features,)
        Variances of the scaled columns (maximum likelihood).
    """
    n_rows, n_features = X.shape
    largest = np.zeros(n_features)
    for rows, _ in _chunks(X, weight):
        np.maximum(largest, np.abs(rows).max(axis=0), out=largest)
    unit = _power_of_two(largest)
    total = float(n_rows) if weight is None else float(weight.sum())

    def mean_of(center: Array) -> Array:
        sums = np.zeros(n_features)
        for rows, w in _chunks(X, weight):
            part = rows / unit - center
            sums += part.sum(axis=0) if w is None else w @ part
        return sums / total

    center = mean_of(np.zeros(n_features))
    center = center + mean_of(center)
    squares = np.zeros(n_features)
    for rows, w in _chunks(X, weight):
        part = np.square(rows / unit - center)
        squares += part.sum(axis=0) if w is None else w @ part
    deviation = np.sqrt(squares / total)
    # Rounding of the column's own representation is no spread.
    resolution = 4.0 * np.finfo(X.dtype).eps * np.abs(center)
    deviation[deviation <= resolution] = 0.0
    varies = deviation > 0.0
    exponent = np.zeros(n_features)
    exponent[varies] = np.log2(unit[varies]) + np.log2(deviation[varies])
    if not by_column and varies.any():
        # In common units the narrowest representable columns may vanish beside the widest.
        exponent[:] = exponent[varies].max()
    # Within what the precision of the data can divide by.
    info = np.finfo(X.dtype)
    scale = np.exp2(np.clip(np.round(exponent), info.minexp, info.maxexp - 1))
    variance = np.square(deviation * (unit / scale))
    return Scaling((center * unit).astype(X.dtype), scale), variance


def _chunks(X: Array, weight: Array | None) -> Iterator[tuple[Array, Array | None]]:
    for start in range(0, len(X), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        part = X[rows].astype(np.float64, copy=False)
        yield part, None if weight is None else weight[rows]


def _power_of_two(values: Array) -> Array:
    """Powers of two nearest to positive values; 1 for zeros."""
    exponents = np.round(np.log2(np.where(values > 0.0, values, 1.0)))
    powers: Array = np.exp2(np.minimum(exponents, np.finfo(np.float64).maxexp - 1))
    return powers
