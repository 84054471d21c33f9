"""The profile likelihood of factor analysis: a function of the noise alone.

For a sample covariance S, the model Sigma = L L' + diag(psi) has the discrepancy

    log|Sigma| + tr(inv(Sigma) S),

which is -2 / N times the log-likelihood. Given psi, the best L is known: with the eigenvalues
theta and eigenvectors u of S* = diag(psi)^(-1/2) S diag(psi)^(-1/2), its columns are
``sqrt(psi) u_m sqrt(theta_m - 1)`` for the largest theta_m > 1 [1]_. What is left is a
function of psi alone, which Newton's method minimizes in x = log psi, with the exact Hessian
[2]_, a line search, and bounds: the optimum can be at psi_j = 0 (a Heywood case). Every step
lowers the discrepancy.

All of it is done for a stack of matrices at once.

References
----------
.. [1] K. G. Joreskog (1967). "Some contributions to maximum likelihood factor analysis".
   Psychometrika 32(4), 443-482.
.. [2] M. R. B. Clarke (1970). "A rapidly convergent method for maximum-likelihood factor
   analysis". British Journal of Mathematical and Statistical Psychology 23(1), 43-52.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny) ** 0.5
# The longest step in log psi, and how often a step is cut until it lowers the discrepancy.
_LONGEST = 2.0
_CUTS = 12
# Directions with less curvature than this, relative to the largest, count as having it.
_FLAT = 1e-7


class Effort(NamedTuple):
    """When Newton's method ends.

    Attributes
    ----------
    tol : float
        After a step that was expected to lower the discrepancy by less. Near the optimum the
        error is then about the square of this.
    steps : int
        After so many steps.
    """

    tol: float
    steps: int


class Point(NamedTuple):
    """Discrepancies of a stack at x = log psi; eigenvalues and vectors, the largest first."""

    value: Array
    theta: Array
    vectors: Array


def evaluate(correlation: Array, x: Array, n_factors: int) -> Point:
    """Discrepancies with the best loadings for the noise exp(x)."""
    inverse = np.exp(-0.5 * x)
    values, vectors = np.linalg.eigh(correlation * inverse[:, :, None] * inverse[:, None, :])
    theta, vectors = values[:, ::-1], vectors[:, :, ::-1]
    common = np.maximum(theta[:, :n_factors], 1.0)
    gained = (common - 1.0 - np.log(common)).sum(axis=1)
    return Point(x.sum(axis=1) + theta.sum(axis=1) - gained, theta, vectors)


def slopes(point: Point, n_factors: int) -> tuple[Array, Array]:
    """Gradient and Hessian of the discrepancy with respect to x."""
    theta, vectors = point.theta, point.vectors
    k = n_factors
    common = np.maximum(theta[:, :k], 1.0)
    squares = np.square(vectors)
    square = np.einsum("kim,km->ki", squares, theta)
    gradient = 1.0 - square + np.einsum("kim,km->ki", squares[:, :, :k], common - 1.0)
    # See Clarke: the derivatives of the eigenvectors are those of perturbation theory. An
    # eigenvalue up to 1 has no share in the fit and is one of the rest.
    own, other = common[:, :, None], theta[:, None, :]
    shared = np.zeros(theta.shape, bool)
    shared[:, :k] = theta[:, :k] > 1.0
    gap = np.maximum(own - other, 1e-8 * own)
    coefficients = np.where(
        shared[:, None, :], 0.5 * (own + other), (own - 1.0) * (own + other) / gap
    )
    coefficients *= shared[:, :k, None]
    hessian = np.zeros(vectors.shape)
    for m in range(k):
        u = vectors[:, :, m]
        turned = (vectors * coefficients[:, None, m, :]) @ vectors.transpose(0, 2, 1)
        turned *= u[:, :, None] * u[:, None, :]
        hessian -= turned
    n_components, n_features = square.shape
    hessian.reshape(n_components, -1)[:, :: n_features + 1] += square
    return gradient, hessian


def direction(gradient: Array, hessian: Array, free: NDArray[np.bool_]) -> Array:
    """Newton's step in the free coordinates, with the curvature made positive."""
    slope = np.where(free, gradient, 0.0)
    both = free[:, :, None] & free[:, None, :]
    curvature = np.where(both, hessian, np.eye(gradient.shape[1]))
    try:
        # Cholesky factors exist where the curvature is positive, which is nearly everywhere.
        pivots = np.diagonal(np.linalg.cholesky(curvature), axis1=1, axis2=2)
        if not (np.square(pivots).min(axis=1) > _FLAT * np.square(pivots).max(axis=1)).all():
            raise np.linalg.LinAlgError
        step = -np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(curvature)
        size = np.abs(values)
        size = np.maximum(size, _FLAT * size.max(axis=1, keepdims=True))
        # Without any curvature, down the slope.
        size = np.where(size > 0.0, size, 1.0)
        turned = (vectors.transpose(0, 2, 1) @ slope[:, :, None])[:, :, 0] / size
        step = -(vectors @ turned[:, :, None])[:, :, 0]
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1.0, _LONGEST / np.maximum(longest, _TINY))


def minimize(
    correlation: Array, n_factors: int, x: Array, low: Array, high: Array, effort: Effort
) -> tuple[Array, Point]:
    """Newton's method from x, within bounds."""
    x = x.copy()
    point = Point(*(part.copy() for part in evaluate(correlation, x, n_factors)))
    running = np.arange(len(x))
    for _ in range(effort.steps):
        here = Point(*(part[running] for part in point))
        at, lower, upper = x[running], low[running], high[running]
        gradient, hessian = slopes(here, n_factors)
        free = ~(((at <= lower) & (gradient > 0.0)) | ((at >= upper) & (gradient < 0.0)))
        step = direction(gradient, hessian, free)
        expected = -np.where(free, gradient * step, 0.0).sum(axis=1)
        moved = _search(correlation, n_factors, x, low, high, point, running, step, expected)
        running = running[moved & (expected > effort.tol)]
        if not running.size:
            break
    return x, point


def _search(
    correlation: Array,
    n_factors: int,
    x: Array,
    low: Array,
    high: Array,
    point: Point,
    running: Array,
    step: Array,
    expected: Array,
) -> NDArray[np.bool_]:
    """Take the step, or a part of it, where this lowers the discrepancy; in place."""
    pending, length = np.arange(len(running)), 1.0
    for _ in range(_CUTS):
        own = running[pending]
        trial = np.clip(x[own] + length * step[pending], low[own], high[own])
        found = evaluate(correlation[own], trial, n_factors)
        rounding = 8.0 * _EPS * np.abs(point.theta[own]).sum(axis=1)
        fine = found.value <= point.value[own] - 1e-4 * length * expected[pending] + rounding
        taken = own[fine]
        x[taken] = trial[fine]
        for part, new in zip(point, found, strict=True):
            part[taken] = new[fine]
        pending = pending[~fine]
        if not pending.size:
            break
        length *= 0.25
    moved = np.ones(len(running), bool)
    moved[pending] = False
    return moved


def loadings_at(x: Array, point: Point, n_factors: int) -> Array:
    """The best loadings at x, (n_components, n_features, n_factors)."""
    theta, vectors = point.theta[:, :n_factors], point.vectors[:, :, :n_factors]
    common = np.sqrt(np.maximum(theta - 1.0, 0.0))
    loadings: Array = np.exp(0.5 * x)[:, :, None] * vectors * common[:, None, :]
    return loadings
