"""Inverses of many small symmetric positive definite matrices at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError

Array = NDArray[np.float64]

# Up to this order sweeping whole batches beats one LAPACK call for each matrix; above
# it, matrices are cut in halves, and matrix products do most of the work.
_LARGEST_SWEEP = 10
_LARGEST_HALVED = 64


def batch_size(order: int) -> int:
    """Number of matrices of an order that are best inverted together."""
    return max(16, min(1024, 150_000 // max(1, order * order)))


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
        raise DegenerateModelError("a covariance matrix is singular to working precision")
    return inverses, log_determinants


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
        factor = np.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        return A, np.full(A.shape[0], np.nan)
    diagonal = np.diagonal(factor, axis1=1, axis2=2)
    return np.asarray(np.linalg.inv(A), dtype=np.float64), 2.0 * np.log(diagonal).sum(axis=1)
