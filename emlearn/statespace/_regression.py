"""The M-step of a regression whose residuals have a covariance: coefficients, then covariance.

With W the coefficients at which the moments of the residuals e and the regressors z were taken,
the expected objective of ``W + D`` with covariance S is, up to a constant,

    -count/2 log|S| - 1/2 tr(inv(S) (E[ee'] - D E[ze'] - E[ez'] D' + D E[zz'] D')).

Without held coefficients the maximum is ``D = E[ez'] inv(E[zz'])`` for every S. Where some are
held, rows depend on each other by S, and D is the maximum at the last S (a conditional M-step,
which cannot lower the objective).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.errors import DegenerateModelError
from emlearn.statespace._covariances import CovarianceKind
from emlearn.statespace._noise import Regression

Array = NDArray[np.float64]

# Part of the largest eigenvalue of scaled regressors below which a direction is not determined.
_UNDETERMINED = 1e-13


def maximize(
    regression: Regression,
    coefficients: Array,
    covariance: Array,
    kind: CovarianceKind,
    floor: Array | None = None,
    held: Array | None = None,
    held_covariance: Array | None = None,
) -> tuple[Array, Array]:
    """Coefficients and covariance with a higher expected objective.

    Parameters
    ----------
    regression : Regression
        Moments of the residuals at `coefficients`.
    coefficients : ndarray of shape (n_outputs, n_regressors)
        Coefficients.
    covariance : ndarray
        Covariance of the residuals, as `kind` has it.
    kind : CovarianceKind
        Kind of the covariance.
    floor : ndarray of shape (n_outputs,), default=None
        Least variances.
    held : ndarray of shape (n_outputs, n_regressors), default=None
        Coefficients to hold; NaN where free. `coefficients` has them.
    held_covariance : ndarray of shape (n_outputs, n_outputs), default=None
        Entries of the covariance to hold; NaN where free.
    """
    change = np.zeros_like(coefficients)
    if np.any(regression.total):
        change = _change(regression, covariance, held)
    squares = _squares(regression, change)
    coefficients = coefficients + change
    if held is not None:
        coefficients = np.where(np.isnan(held), coefficients, held)
    if not np.all(regression.total):
        return coefficients, covariance
    if held_covariance is None or np.isnan(held_covariance).all():
        return coefficients, kind.estimate(squares, regression.total, floor)
    return coefficients, kind.estimate_held(
        squares, regression.total, floor, held_covariance, covariance
    )


def _change(regression: Regression, covariance: Array, held: Array | None) -> Array:
    cross, S = regression.cross, regression.regressors
    if held is None or np.isnan(held).all():
        if S.ndim == 2:
            return solve_symmetric(S, cross.T).T
        return np.array([solve_symmetric(own, row) for own, row in zip(S, cross, strict=True)])
    free = np.isnan(held)
    change = np.zeros_like(cross)
    if not free.any():
        return change
    if covariance.ndim == 1 or (free == free[:1]).all():
        for i, own in enumerate(free):
            inner = (S if S.ndim == 2 else S[i])[np.ix_(own, own)]
            change[i, own] = solve_symmetric(inner, cross[i, own])
        return change
    # All free coefficients at once, with the precision of the residuals.
    precision = np.linalg.inv(covariance)
    rows, columns = np.nonzero(free)
    system = precision[rows[:, None], rows] * S[columns[:, None], columns]
    change[rows, columns] = solve_symmetric(system, (precision @ cross)[rows, columns])
    return change


def _squares(regression: Regression, change: Array) -> Array:
    cross, S = regression.cross, regression.regressors
    if S.ndim == 3:
        fitted = np.einsum("ij,ijk,ik->i", change, S, change)
        return regression.squares - 2.0 * (change * cross).sum(axis=1) + fitted
    moved = change @ cross.T
    return regression.squares - moved - moved.T + change @ S @ change.T


def solve_symmetric(matrix: Array, right: Array) -> Array:
    """Solution of a positive semidefinite system; 0 along directions without information.

    Raises
    ------
    DegenerateModelError
        If an entry is not finite.
    """
    if not matrix.size:
        return np.zeros_like(right)
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        raise DegenerateModelError("moments of the states are beyond the range of float64")
    size = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
    scale = np.where(size > 0.0, size, 1.0)
    scaled = matrix / scale[:, None] / scale
    shaped = right.reshape(len(matrix), -1) / scale[:, None]
    values, vectors = np.linalg.eigh(0.5 * (scaled + scaled.T))
    there = values > _UNDETERMINED * max(float(values[-1]), np.finfo(float).tiny)
    own = vectors[:, there]
    solved = own @ ((own.T @ shaped) / values[there][:, None])
    found: Array = (solved / scale[:, None]).reshape(right.shape)
    return found
