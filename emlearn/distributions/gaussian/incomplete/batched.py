"""Inverses, solutions and log-determinants of many small blocks of one matrix at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.kernels import compiled

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Up to this order sweeping whole batches beats one LAPACK call for each matrix; above
# it, matrices are cut in halves, and matrix products do most of the work.
_LARGEST_SWEEP = 10
_LARGEST_HALVED = 64


class Blocks(NamedTuple):
    """One square block of a d x d matrix for each pattern, and the rows it belongs to.

    Attributes
    ----------
    columns : ndarray of uint16
        The rows and columns of the blocks, those of one pattern after those of the other.
    starts : ndarray of shape (n_patterns + 1,), dtype int64
        Pattern p has ``columns[starts[p]:starts[p + 1]]``, in increasing order.
    edges : ndarray of shape (n_patterns + 1,), dtype int64
        Its rows are ``edges[p]:edges[p + 1]``, at least one.
    """

    columns: NDArray[np.uint16]
    starts: Index
    edges: Index

    def per_pattern(self, weights: Array) -> Array:
        """Weights of rows, added for each pattern."""
        if self.edges.size == 1:
            return np.empty(0)
        sums: Array = np.add.reduceat(weights[: self.edges[-1]], self.edges[:-1])
        return sums


class Inverted(NamedTuple):
    """Inverses of blocks of equal order.

    Attributes
    ----------
    start, stop : int
        The patterns they belong to.
    columns : ndarray of shape (order, n_patterns)
        Their rows and columns in the matrix.
    entries : ndarray of shape (order, n_rows)
        Positions of these columns of the patterns' rows in the raveled rows.
    pattern : ndarray of shape (n_rows,)
        The pattern of each row, from 0.
    inverses : ndarray of shape (order, order, n_patterns)
        The inverses.
    log_det : ndarray of shape (n_patterns,)
        Log-determinants of the blocks.
    """

    start: int
    stop: int
    columns: Index
    entries: Index
    pattern: Index
    inverses: Array
    log_det: Array


def solve_blocks(
    matrix: Array,
    blocks: Blocks,
    vectors: Array | None = None,
    out: Array | None = None,
    *,
    factor: float = 1.0,
    weights: Array | None = None,
    target: Array | None = None,
) -> Array:
    """Solve the systems that blocks of a matrix and parts of rows make.

    For a pattern with the columns c, the block B of these rows and columns of the matrix,
    and the pattern's rows r, in place::

        out[r, c] = factor * inv(B) @ vectors[r, c]
        target[c, c] += weight * inv(B)

    Parameters
    ----------
    matrix : ndarray of shape (n_features, n_features)
        Symmetric positive definite matrix.
    blocks : Blocks
        Blocks and rows.
    vectors, out : ndarray of shape (n_rows, n_features), default=None
        Right-hand sides and solutions, which may be one array; None if not wanted.
    factor : float, default=1.0
        Factor of the solutions.
    weights : ndarray of shape (n_patterns,), default=None
        Weights of the inverses.
    target : ndarray of shape (n_features, n_features), default=None
        Symmetric; what the inverses are added to. None if there are no weights.

    Returns
    -------
    log_det : ndarray of shape (n_patterns,)
        Log-determinants of the blocks.

    Raises
    ------
    DegenerateModelError
        If a block is not positive definite.
    """
    log_det = np.zeros(blocks.starts.size - 1)
    if compiled is None:
        _solve_by_inverses(matrix, blocks, vectors, out, factor, weights, target, log_det)
    elif not compiled.solve_blocks(matrix, *blocks, vectors, out, factor, weights, target, log_det):
        raise _singular()
    return log_det


def _solve_by_inverses(
    matrix: Array,
    blocks: Blocks,
    vectors: Array | None,
    out: Array | None,
    factor: float,
    weights: Array | None,
    target: Array | None,
    log_det: Array,
) -> None:
    for run in invert_blocks(matrix, blocks):
        log_det[run.start : run.stop] = run.log_det
        if vectors is not None and out is not None:
            right = vectors.reshape(-1)[run.entries]
            inverses = run.inverses
            if run.pattern.size > run.log_det.size:
                inverses = inverses.take(run.pattern, axis=-1)
            out.reshape(-1)[run.entries] = factor * np.einsum("ijb,jb->ib", inverses, right)
        if weights is not None and target is not None:
            weighted = run.inverses * weights[run.start : run.stop]
            places = run.columns[:, None] * matrix.shape[0] + run.columns
            flat = target.reshape(-1)
            flat += np.bincount(places.reshape(-1), weighted.reshape(-1), minlength=flat.size)


def invert_blocks(matrix: Array, blocks: Blocks) -> Iterator[Inverted]:
    """Inverses of the blocks, by chunks of equal order; blocks of order 0 are left out."""
    orders = np.diff(blocks.starts)
    n_columns = matrix.shape[0]
    flat = matrix.reshape(-1)
    for start, stop in _chunks(orders):
        order = int(orders[start])
        columns = blocks.columns[blocks.starts[start] : blocks.starts[stop]].astype(np.int64)
        columns = np.ascontiguousarray(columns.reshape(-1, order).T)
        inverses, log_det = invert(flat.take(columns[:, None] * n_columns + columns))
        edges = blocks.edges[start : stop + 1]
        pattern = np.repeat(np.arange(stop - start), np.diff(edges))
        rows = np.arange(edges[0], edges[-1])
        entries = columns.take(pattern, axis=1) + rows * n_columns
        yield Inverted(start, stop, columns, entries, pattern, inverses, log_det)


def _chunks(orders: Index) -> Iterator[tuple[int, int]]:
    """Neighboring blocks of equal positive order, in batches of a good size for inversion."""
    edges = [0, *np.flatnonzero(np.diff(orders)) + 1, orders.size]
    for start, stop in pairwise(edges):
        if start < stop and orders[start] > 0:
            size = max(16, min(1024, 150_000 // int(orders[start]) ** 2))
            for first in range(start, stop, size):
                yield first, min(first + size, stop)


def invert(matrices: Array) -> tuple[Array, Array]:
    """Inverses and log-determinants of symmetric positive definite matrices.

    Parameters
    ----------
    matrices : ndarray of shape (order, order, n_matrices)
        The batch runs along the last axis; overwritten.

    Returns
    -------
    inverses : ndarray of shape (order, order, n_matrices)
        The inverses.
    log_determinants : ndarray of shape (n_matrices,)
        Logarithms of the determinants of the matrices.

    Raises
    ------
    DegenerateModelError
        If one of them is not positive definite.
    """
    order = matrices.shape[0]
    if order <= _LARGEST_SWEEP:
        inverses, log_determinants = _sweep(matrices)
    else:
        batch = np.ascontiguousarray(matrices.transpose(2, 0, 1))
        halves = _halve if order <= _LARGEST_HALVED else _factorize
        inverse, log_determinants = halves(batch)
        inverses = np.ascontiguousarray(inverse.transpose(1, 2, 0))
    if not np.isfinite(log_determinants).all():
        raise _singular()
    return inverses, log_determinants


def _singular() -> DegenerateModelError:
    return DegenerateModelError("a covariance matrix is singular to working precision")


def _sweep(A: Array) -> tuple[Array, Array]:
    """Gauss-Jordan without pivoting, in place, all matrices in step."""
    determinants = np.ones(A.shape[2])
    product = np.empty_like(A)
    column = np.empty(A.shape[1:])
    with np.errstate(all="ignore"):
        for k in range(A.shape[0]):
            pivot = np.where(A[k, k] > 0.0, A[k, k], np.nan)
            determinants *= pivot
            inverse = 1.0 / pivot
            row = A[k] * inverse
            np.copyto(column, A[:, k])
            np.multiply(column[:, None], row[None], out=product)
            A -= product
            A[k] = row
            np.multiply(column, -inverse, out=A[:, k])
            A[k, k] = inverse
        return A, np.log(determinants)


def _halve(A: Array) -> tuple[Array, Array]:
    """Block inversion of a batch of shape (n_matrices, order, order)."""
    order = A.shape[1]
    if order <= _LARGEST_SWEEP:
        inverse, log_determinants = _sweep(np.ascontiguousarray(A.transpose(1, 2, 0)))
        return np.ascontiguousarray(inverse.transpose(2, 0, 1)), log_determinants
    half = order // 2
    top, log_top = _halve(A[:, :half, :half])
    side = np.ascontiguousarray(A[:, half:, :half])
    regression = side @ top
    rest = regression @ side.transpose(0, 2, 1)
    np.subtract(A[:, half:, half:], rest, out=rest)
    bottom, log_bottom = _halve(rest)
    corner = bottom @ regression
    top += regression.transpose(0, 2, 1) @ corner
    inverse = np.empty(A.shape)
    inverse[:, :half, :half] = top
    inverse[:, half:, half:] = bottom
    np.negative(corner, out=corner)
    inverse[:, half:, :half] = corner
    inverse[:, :half, half:] = corner.transpose(0, 2, 1)
    return inverse, log_top + log_bottom


def _factorize(A: Array) -> tuple[Array, Array]:
    try:
        cholesky = np.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        return A, np.full(A.shape[0], np.nan)
    diagonal = np.diagonal(cholesky, axis1=1, axis2=2).copy()
    return np.asarray(np.linalg.inv(A), dtype=np.float64), 2.0 * np.log(diagonal).sum(axis=1)
