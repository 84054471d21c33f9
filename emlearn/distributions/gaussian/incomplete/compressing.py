"""Many rows of one pattern replaced by few: an iteration independent of their number.

All that a single Gaussian needs of the rows of a pattern is their weight, mean and scatter,
and fewer rows can have the same: one that is the mean, with the weight of all, and as many
rows without a mean as columns are observed, whose products add up to the scatter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.patterns import SortedRows

Array = NDArray[np.float64]

# Condensing a pattern costs some ten microseconds; a row costs each E-step some
# nanoseconds, and some more for each pair of columns.
_COST_OF_PATTERN = 50_000
_COST_OF_ROW = 50


def condense(portion: SortedRows) -> SortedRows:
    """Condense the patterns where it pays; the row numbers of the result mean nothing."""
    n_rows = np.diff(portion.edges)
    n_columns = portion.rows.shape[1]
    n_observed = n_columns - portion.mask.sum(axis=1)
    saved = (n_rows - n_observed - 1) * (n_columns**2 + _COST_OF_ROW)
    chosen = np.flatnonzero(saved > _COST_OF_PATTERN)
    if chosen.size == 0:
        return portion
    rows, share = [], []
    done = 0
    for index in chosen:
        start, stop = portion.edges[index : index + 2]
        rows.append(portion.rows[done:start])
        share.append(portion.share[done:start])
        few, few_shares = _condense(
            portion.rows[start:stop], portion.share[start:stop], ~portion.mask[index]
        )
        rows.append(few)
        share.append(few_shares)
        done = stop
    rows.append(portion.rows[done:])
    share.append(portion.share[done:])
    n_rows[chosen] = n_observed[chosen] + 1
    edges = np.concatenate(([0], np.cumsum(n_rows)))
    shares = np.concatenate(share)
    return SortedRows(
        np.concatenate(rows),
        shares,
        np.ones(shares.size),
        np.zeros(shares.size, dtype=np.intp),
        edges,
        portion.mask,
    )


def _condense(rows: Array, share: Array, observed: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The mean and a square root of the scatter of rows of one pattern, and their shares."""
    columns = np.flatnonzero(observed)
    weight = share @ share
    mean = (share @ rows) / weight
    square = rows.T @ rows
    scatter = (square - weight * np.outer(mean, mean))[np.ix_(columns, columns)]
    # About as much as rounding, so that there is a root also where columns are dependent.
    rounding = 8.0 * columns.size * np.finfo(float).eps
    smallest = np.finfo(float).tiny / np.finfo(float).eps
    scatter[np.diag_indices_from(scatter)] += rounding * max(np.diagonal(square).max(), smallest)
    few = np.zeros((columns.size + 1, rows.shape[1]))
    few[0] = mean * np.sqrt(weight)
    few[1:, columns] = np.linalg.cholesky(scatter).T
    few_shares = np.zeros(columns.size + 1)
    few_shares[0] = np.sqrt(weight)
    return few, few_shares
