"""The ridge that is relative to the columns: ``reg_covar="auto"``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.scaling import ColumnSummary

Array = NDArray[np.float64]

#: The ridge, relative to the variance of a column.
RELATIVE_RIDGE = 1e-6

# A column is divided into this many cells, of four distinct values at least.
_N_CELLS, _VALUES_OF_CELL = 64, 4
# More rows than this are represented by a sample.
_MAX_ROWS = 1 << 14


def relative_ridge(X: NDArray[Any], summary: ColumnSummary, by_column: bool) -> Array:
    """A millionth of the variance of each column without its gaps, in scaled coordinates.

    If a column has groups of values far apart, as far clusters or a code such as -9999 make
    them, most of its variance is between the groups, and even a small fraction of it can be large
    within them. So the ridge is relative to the variance that the column would have if all its
    values were as close as they typically are, where this is smaller. It depends neither on the
    number of components nor on weights and copies. A constant column, which has no variance, has
    the unit of the data.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Rows, NaN where missing.
    summary : ColumnSummary
        Their summary.
    by_column : bool
        Whether each column has its own ridge; otherwise all have the mean.
    """
    if X.shape[0] > _MAX_ROWS:
        X = X[np.random.default_rng(0).integers(X.shape[0], size=_MAX_ROWS)]
    variance, scale = summary.variance, summary.scaling.scale
    dense = np.square([_spread_without_gaps(x / unit) for x, unit in zip(X.T, scale, strict=True)])
    level = np.clip(RELATIVE_RIDGE * dense, _rounding(X) * variance, RELATIVE_RIDGE * variance)
    if not by_column:
        level[:] = level.mean()
    ridge: Array = np.where(level > 0.0, level, RELATIVE_RIDGE)
    return ridge


def _rounding(X: NDArray[Any]) -> float:
    """Twice the variance, relative to that of a column, at which a covariance is singular."""
    covariance = 8.0 * X.shape[1] * float(np.finfo(np.float64).eps)
    rows = (64.0 * float(np.finfo(X.dtype).eps)) ** 2
    return 2.0 * max(covariance, rows)


def _spread_without_gaps(column: NDArray[Any]) -> float:
    """Standard deviation of values that are everywhere as close as they typically are.

    The distinct values are divided into cells with equal numbers of them. The width of the
    column is the median of the widths of the cells times their number. Values from one
    Gaussian or uniform distribution get more than their standard deviation.
    """
    values = np.unique(column[~np.isnan(column)]).astype(np.float64)
    n_cells = min(_N_CELLS, len(values) // _VALUES_OF_CELL)
    if n_cells < 2:
        return np.inf
    edges = np.linspace(0, len(values) - 1, n_cells + 1).round().astype(np.intp)
    width = n_cells * float(np.median(np.diff(values[edges])))
    # The standard deviation of a uniform distribution is its width over the root of 12. Twice
    # that leaves the peak of a Gaussian, where values are closer, with its variance.
    return width / np.sqrt(3.0)
