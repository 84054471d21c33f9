"""Rows as the E-step of a factor analysis reads them: complete ones compressed, others by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.scaling import ColumnScaling, row_chunks

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

_BLOCK_ENTRIES = 1 << 18
_LOG_2PI = float(np.log(2.0 * np.pi))

#: Largest number of columns of which a square matrix is made, once for each fit.
LARGEST_SQUARE = 512
# Pivots of a scatter, relative to the variances, below which rows are factorized themselves.
_SMALL_PIVOT = 1e-6


class FactorBlock(NamedTuple):
    """Some rows: standardized with 0 where missing, where observed, weight, constant."""

    rows: Array
    seen: NDArray[np.bool_]
    weight: Array
    constant: Array


class CompleteBlock(NamedTuple):
    """Some complete rows, or fewer with the same weight, mean and scatter.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Standardized rows times `sqrt_weight`.
    sqrt_weight : ndarray of shape (n_rows,)
        Square roots of the weights; 0 for a row of the scatter.
    weight : float
        Sum of the weights.
    constant : float
        Part of the log-likelihood that is free of parameters.
    """

    rows: Array
    sqrt_weight: Array
    weight: float
    constant: float


class FactorData(NamedTuple):
    """Prepared data: units, blocks, total weight."""

    scaling: ColumnScaling
    blocks: tuple[FactorBlock | CompleteBlock, ...]
    weight: float

    def moments(self) -> tuple[Array, Array]:
        """Weight of what is observed of each column, and sum of its squares."""
        seen = np.zeros(self.scaling.center.size)
        square = np.zeros_like(seen)
        for block in self.blocks:
            if isinstance(block, CompleteBlock):
                seen += block.weight
                square += np.einsum("ij,ij->j", block.rows, block.rows)
            else:
                seen += block.weight @ block.seen
                square += block.weight @ (block.rows * block.rows)
        return seen, square

    def weighted_rows(self) -> Iterator[Array]:
        """Rows times the square roots of their weights, 0 where missing, block by block."""
        for block in self.blocks:
            if isinstance(block, CompleteBlock):
                yield block.rows
            else:
                yield block.rows * np.sqrt(block.weight)[:, None]


def cut_rows(
    X: Floats, scaling: ColumnScaling, chosen: NDArray[np.intp], weight: Array
) -> Iterator[FactorBlock]:
    """Blocks of the chosen rows of a table."""
    log_scale = np.log(scaling.scale)
    step = max(16, min(2048, _BLOCK_ENTRIES // max(1, X.shape[1])))
    for start in range(0, chosen.size, step):
        rows = chosen[start : start + step]
        part = X[rows]
        seen = ~np.isnan(part)
        constant = -0.5 * _LOG_2PI * seen.sum(axis=1) - seen @ log_scale
        yield FactorBlock(scaling.standardize(part), seen, weight[rows], constant)


def complete_blocks(
    X: Floats, scaling: ColumnScaling, chosen: NDArray[np.intp], weight: Array
) -> Iterator[CompleteBlock]:
    """Blocks of the chosen rows, which are complete; one of few rows if there are enough."""
    n, d = chosen.size, X.shape[1]
    constant = -0.5 * _LOG_2PI * d + scaling.log_jacobian
    if d + 1 < n and d <= LARGEST_SQUARE:
        rows, total = _compress(X, scaling, chosen, weight)
        sqrt_weight = np.zeros(d + 1)
        sqrt_weight[0] = np.sqrt(total)
        yield CompleteBlock(rows, sqrt_weight, total, total * constant)
        return
    step = max(64, (1 << 21) // max(1, d))
    for start in range(0, n, step):
        index = chosen[start : start + step]
        sqrt_weight = np.sqrt(weight[index])
        total = float(weight[index].sum())
        rows = scaling.standardize(X, index, sqrt_weight)
        yield CompleteBlock(rows, sqrt_weight, total, total * constant)


def _compress(
    X: Floats, scaling: ColumnScaling, chosen: NDArray[np.intp], weight: Array
) -> tuple[Array, float]:
    """One row that is the mean, and one for each column that add up to the scatter.

    By Cholesky's factor of the scatter about the mean; by orthogonal factors of the rows where
    this would cost digits.
    """
    d = X.shape[1]
    total = float(weight[chosen].sum())
    # Chunk by chunk, so that no second copy of the data is needed.
    chunks = [chosen[part] for part in row_chunks(chosen.size, max(1, d // 16))]
    ones = bool((weight[chosen] == 1.0).all())

    def standardized(index: NDArray[np.intp]) -> Array:
        return scaling.standardize(X, index, None if ones else np.sqrt(weight[index]))

    first, square = np.zeros(d), np.zeros((d, d))
    for index in chunks:
        part = standardized(index)
        first += part.sum(axis=0) if ones else np.sqrt(weight[index]) @ part
        square += part.T @ part
    mean = first / total
    scatter = square - total * np.outer(mean, mean)
    few = np.zeros((d + 1, d))
    few[0] = mean * np.sqrt(total)
    try:
        factor = np.linalg.cholesky(scatter).T
        pivots = np.square(np.diagonal(factor)) / np.diagonal(scatter)
        if pivots.min() > _SMALL_PIVOT:
            few[1:] = factor
            return few, total
    except np.linalg.LinAlgError:
        pass
    upper = np.zeros((0, d))
    for index in chunks:
        part = standardized(index) - np.sqrt(weight[index])[:, None] * mean
        upper = np.asarray(np.linalg.qr(np.concatenate((upper, part)), mode="r"), np.float64)
    few[1 : 1 + len(upper)] = upper
    return few, total
