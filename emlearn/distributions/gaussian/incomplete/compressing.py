"""Replaces many rows of one pattern by few, so that an iteration does not depend on their number.

A single Gaussian needs only the weight, mean and scatter of the rows of a pattern. Fewer rows
can have the same: one row that is the mean and has the total weight, and one row without a mean
for each observed column, such that their products add up to the scatter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.patterns import SortedRows

Array = NDArray[np.float64]

# Compressing a pattern takes some ten microseconds. A row takes some nanoseconds in each
# E-step, plus some for each pair of columns.
_COST_OF_PATTERN = 50_000
_COST_OF_ROW = 50


def largest_pattern(n_columns: int) -> int:
    """Largest number of rows that a pattern keeps."""
    return n_columns + 2 + _COST_OF_PATTERN // (n_columns**2 + _COST_OF_ROW)


def compress_patterns(chunk: SortedRows) -> SortedRows:
    """Compress the patterns for which this is faster. Row numbers lose their meaning."""
    n_rows = np.diff(chunk.edges)
    n_columns = chunk.rows.shape[1]
    n_observed = n_columns - chunk.mask.sum(axis=1)
    saved = (n_rows - n_observed - 1) * (n_columns**2 + _COST_OF_ROW)
    chosen = np.flatnonzero(saved > _COST_OF_PATTERN)
    if chosen.size == 0:
        return chunk
    rows, sqrt_weight = [], []
    done = 0
    for index in chosen:
        start, stop = chunk.edges[index : index + 2]
        rows.append(chunk.rows[done:start])
        sqrt_weight.append(chunk.sqrt_weight[done:start])
        few, few_weights = _compress(
            chunk.rows[start:stop], chunk.sqrt_weight[start:stop], ~chunk.mask[index]
        )
        rows.append(few)
        sqrt_weight.append(few_weights)
        done = stop
    rows.append(chunk.rows[done:])
    sqrt_weight.append(chunk.sqrt_weight[done:])
    n_rows[chosen] = n_observed[chosen] + 1
    edges = np.concatenate(([0], np.cumsum(n_rows)))
    weights = np.concatenate(sqrt_weight)
    return SortedRows(
        np.concatenate(rows),
        weights,
        np.zeros(weights.size, dtype=np.intp),
        edges,
        chunk.mask,
    )


def _compress(rows: Array, sqrt_weight: Array, observed: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Mean and Cholesky factor of the scatter of the rows of one pattern, with `sqrt_weight`."""
    columns = np.flatnonzero(observed)
    weight = sqrt_weight @ sqrt_weight
    mean = (sqrt_weight @ rows) / weight
    square = rows.T @ rows
    scatter = (square - weight * np.outer(mean, mean))[np.ix_(columns, columns)]
    # About the size of rounding errors, so that dependent columns have a factor too.
    rounding = 8.0 * columns.size * np.finfo(float).eps
    smallest = np.finfo(float).tiny / np.finfo(float).eps
    scatter[np.diag_indices_from(scatter)] += rounding * max(np.diagonal(square).max(), smallest)
    few = np.zeros((columns.size + 1, rows.shape[1]))
    few[0] = mean * np.sqrt(weight)
    few[1:, columns] = np.linalg.cholesky(scatter).T
    few_weights = np.zeros(columns.size + 1)
    few_weights[0] = np.sqrt(weight)
    return few, few_weights
