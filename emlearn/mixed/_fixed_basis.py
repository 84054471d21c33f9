"""The fixed effects: an orthonormal basis of the columns of X, and what it leaves of y."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from emlearn.mixed._gram import Array

# Size at which a column of X depends on the others.
_ALIASED = 1e-9
# Size of residuals whose squares are floating-point numbers.
_SMALLEST, _LARGEST = 1e-140, 1e140
# Residuals that are rounding errors, as a part of the largest response.
_EXACT = 1e-12


@dataclass(frozen=True)
class FixedBasis:
    """Orthonormal basis of the fixed effects.

    Attributes
    ----------
    kept : ndarray of int
        Columns that do not depend on those before them.
    triangle : ndarray of shape (n_kept, n_kept)
        R of the QR factorization of the weighted columns.
    least_squares : ndarray of shape (n_kept,)
        Coefficients of ordinary least squares.
    scale : float
        Standard deviation of the residuals; where these are rounding errors, the size of such.
    """

    kept: NDArray[np.intp]
    triangle: Array
    least_squares: Array
    scale: float

    @property
    def log_det(self) -> float:
        """``log|X' W X|``."""
        return 2.0 * float(np.log(np.abs(np.diagonal(self.triangle)).copy()).sum())

    def coefficients(self, basis: Array) -> Array:
        """Coefficients of the columns from those of the basis for the scaled residuals."""
        return self.least_squares + self.scale * self.from_basis(basis)

    def from_basis(self, vectors: Array) -> Array:
        """Coefficients of the columns with the same values as those of the basis."""
        if not len(self.kept):
            return vectors
        found: Array = solve_triangular(self.triangle, vectors)
        return found

    def to_basis(self, columns: Array) -> Array:
        """Rows of X in terms of the basis, (n_kept, n_samples)."""
        rows = columns[:, self.kept].T
        if not len(self.kept):
            return rows
        found: Array = solve_triangular(self.triangle, rows, trans="T")
        return found


def fixed_basis(
    columns: Array, response: Array, n_observations: float
) -> tuple[Array, FixedBasis, Array]:
    """Orthonormal columns, how they were made, and the scaled residuals."""
    kept = np.arange(columns.shape[1])
    orthonormal, triangle = _factorized(columns)
    if not _is_independent(columns, triangle):
        kept = _independent(columns)
        orthonormal, triangle = _factorized(columns[:, kept])
    if len(kept):
        projected = orthonormal.T @ response
        residual = response - orthonormal @ projected
        # Twice is enough.
        more = orthonormal.T @ residual
        residual -= orthonormal @ more
        coefficients = solve_triangular(triangle, projected + more)
    else:
        residual, coefficients = response.copy(), np.zeros(0)
    left = n_observations - len(kept)
    if left <= 0.0:
        whole = n_observations == len(response)
        weights = "" if whole else f", whose weights add up to {n_observations:g},"
        raise ValueError(
            f"There are n_samples = {len(response)} rows with a response{weights} and {len(kept)} "
            "fixed effects: nothing is left to estimate variances from. Use more rows or fewer "
            "columns."
        )
    rounding = _EXACT * np.abs(response).max(initial=0.0) or _EXACT
    largest = float(np.abs(residual).max(initial=0.0)) or 1.0
    scale = largest * float(np.linalg.norm(residual / largest) / np.sqrt(left))
    if largest <= rounding or not residual.any():
        residual, scale = np.zeros(len(response)), rounding
    if not _SMALLEST < scale < _LARGEST:
        raise ValueError(
            f"y varies by {scale:.1g}, the square of which is beyond the range of floating-point "
            "numbers. Change its units."
        )
    return orthonormal, FixedBasis(kept, triangle, coefficients, scale), residual / scale


def _factorized(columns: Array) -> tuple[Array, Array]:
    """QR factorization; scipy has none of no columns."""
    if not columns.shape[1]:
        return np.zeros(columns.shape), np.zeros((0, 0))
    found: Any = qr(columns, mode="economic")
    orthonormal, triangle = found
    return orthonormal, triangle


def _is_independent(columns: Array, triangle: Array) -> bool:
    """Whether no column depends on those before it."""
    pivots = np.abs(np.diagonal(triangle))
    size = np.linalg.norm(columns, axis=0)
    return len(pivots) == len(size) and bool((pivots > _ALIASED * size).all())


def _independent(columns: Array) -> NDArray[np.intp]:
    """Columns that do not depend on those before them.

    A dependent column leaves no pivot, and shifts those of later columns: so one by one.
    """
    n, p = columns.shape
    size = np.linalg.norm(columns, axis=0)
    unit = columns / np.where(size > 0.0, size, 1.0)
    kept: list[int] = []
    basis = np.zeros((n, 0))
    for j in range(p):
        rest = unit[:, j] - basis @ (basis.T @ unit[:, j])
        rest -= basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > _ALIASED and len(kept) < n:
            kept.append(j)
            basis = np.concatenate([basis, rest[:, None] / length], axis=1)
    return np.array(kept, np.intp)
