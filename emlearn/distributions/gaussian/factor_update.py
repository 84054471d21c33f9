"""Maximum-likelihood factor analysis of covariance matrices: the M-step of factor structures.

For a sample covariance S, the model Sigma = L L' + diag(psi) has the discrepancy

    log|Sigma| + tr(inv(Sigma) S),

which is -2 / N times the log-likelihood. Given psi, the best L is known: with the eigenvalues
theta and eigenvectors u of S* = diag(psi)^(-1/2) S diag(psi)^(-1/2), its columns are
``sqrt(psi) u_m sqrt(theta_m - 1)`` for the largest theta_m > 1 [1]_. What is left is a
function of psi alone, which Newton's method minimizes in x = log psi, with the exact Hessian
[2]_, a line search, and a lower bound: the optimum can be at psi_j = 0 (a Heywood case).
Every step lowers the discrepancy, so a few of them from the parameters before are a step of
a generalized EM algorithm, and many of them an exact M-step.

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

from emlearn.engine.model import DegenerateModelError

Array = NDArray[Any]

#: Smallest variance of the noise of a column, relative to the variance of the column.
LEAST_NOISE = 1e-6
_EPS = float(np.finfo(np.float64).eps)
# The longest step in log psi, and how often a step is cut until it lowers the discrepancy.
_LONGEST = 2.0
_CUTS = 12
# Directions with less curvature than this, relative to the largest, count as having it.
_FLAT = 1e-7


class _Effort(NamedTuple):
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


_EXACTLY = _Effort(1e-12, 50)
# Within EM, few steps are enough. (With many, the first M-steps go to far more Heywood cases,
# and EM ends in poorer optima.)
_ROUGHLY = _Effort(1e-6, 3)


class Factors(NamedTuple):
    """Covariances L L' + diag(psi) of K components.

    Attributes
    ----------
    loadings : ndarray of shape (n_components, n_features, n_factors)
        L.
    noise : ndarray of shape (n_components, n_features)
        psi.
    """

    loadings: Array
    noise: Array


class _Point(NamedTuple):
    """Discrepancies of a stack at x = log psi; eigenvalues and vectors, the largest first."""

    value: Array
    theta: Array
    vectors: Array


def fit_factors(covariances: Array, n_factors: int, *, roughly: bool = False) -> Factors:
    """Loadings and noise that fit covariances best.

    Parameters
    ----------
    covariances : ndarray of shape (n_components, n_features, n_features)
        Sample covariances.
    n_factors : int
        Number of factors, less than the number of features.
    roughly : bool, default=False
        Whether one start and a coarse tolerance are enough, because EM will improve the result.

    Returns
    -------
    factors : Factors
        The best of the optima that four starts lead to. Columns of the loadings are orthogonal
        in the metric of the noise, those that explain most come first, and the largest
        coefficient of each is positive.

    Raises
    ------
    DegenerateModelError
        If the covariances are not finite.
    """
    correlation, deviation = _correlations(covariances)
    low, high = np.full(deviation.shape, np.log(LEAST_NOISE)), np.zeros(deviation.shape)
    # No other optimum can be better than an exact fit.
    ideal = np.linalg.slogdet(correlation)[1] + deviation.shape[1] + 3e-9
    best: tuple[Array, _Point] | None = None
    effort = _ROUGHLY if roughly else _EXACTLY
    for start in _starts(correlation, n_factors)[: 1 if roughly else None]:
        start = np.clip(start, low, high)
        x, point = _minimize(correlation, n_factors, start, low, high, effort)
        if best is not None:
            worse = ~(point.value < best[1].value - 1e-10)
            x = np.where(worse[:, None], best[0], x)
            point = _Point(
                np.where(worse, best[1].value, point.value),
                np.where(worse[:, None], best[1].theta, point.theta),
                np.where(worse[:, None, None], best[1].vectors, point.vectors),
            )
        best = x, point
        if (point.value <= ideal).all():
            break
    assert best is not None
    return _factors(*best, n_factors, deviation)


def improve_factors(covariances: Array, before: Factors) -> Factors:
    """Loadings and noise that fit covariances better than those before, or as well.

    Parameters
    ----------
    covariances : ndarray of shape (n_components, n_features, n_features)
        Sample covariances.
    before : Factors
        Where Newton's method starts.

    Returns
    -------
    factors : Factors
        The next optimum, up to small differences. The factors are turned as near to those
        before as possible: turning them does not change the covariance, but only so is the
        path of EM smooth enough for accelerators.

    Raises
    ------
    DegenerateModelError
        If the covariances are not finite.
    """
    n_factors = before.loadings.shape[2]
    correlation, deviation = _correlations(covariances)
    with np.errstate(divide="ignore"):
        start = np.log(before.noise) - 2.0 * np.log(deviation)
    start = np.clip(start, -700.0, 700.0)
    low, high = np.minimum(start, np.log(LEAST_NOISE)), np.maximum(start, 0.0)
    x, point = _minimize(correlation, n_factors, start, low, high, _ROUGHLY)
    found = _factors(x, point, n_factors, deviation)
    relative = found.loadings / deviation[:, :, None]
    old = before.loadings / deviation[:, :, None]
    left, _, right = np.linalg.svd(relative.transpose(0, 2, 1) @ old)
    return found._replace(loadings=found.loadings @ (left @ right))


def _correlations(covariances: Array) -> tuple[Array, Array]:
    """Matrices with diagonals of 1, and standard deviations; 1 for a column of variance 0."""
    if not np.isfinite(covariances).all():
        raise DegenerateModelError("the covariances are not finite")
    variance = np.diagonal(covariances, axis1=1, axis2=2)
    deviation = np.sqrt(np.maximum(variance, 0.0))
    known = np.where(deviation > 0.0, deviation, 1.0)
    correlation = covariances / known[:, :, None] / known[:, None, :]
    n_components, n_features = deviation.shape
    correlation.reshape(n_components, -1)[:, :: n_features + 1] = 1.0
    return correlation, deviation if (deviation > 0.0).all() else np.maximum(deviation, _TINY)


_TINY = float(np.finfo(np.float64).tiny) ** 0.5


def _starts(correlation: Array, n_factors: int) -> tuple[Array, ...]:
    """Logarithms of variances: from regressions of the columns, from components, and equal."""
    n_features = correlation.shape[-1]
    values, vectors = np.linalg.eigh(correlation)
    floored = np.maximum(values, 1e-6 * values[:, -1:])
    squares = np.square(vectors)
    alone = 1.0 / np.einsum("kim,km->ki", squares, 1.0 / floored)
    regressions = (1.0 - 0.5 * n_factors / n_features) * alone
    some = slice(n_features - n_factors, None)
    rest = 1.0 - np.einsum("kim,km->ki", squares[:, :, some], values[:, some])
    # Where columns of a sample have almost no noise, there are several optima.
    levels = (np.full(rest.shape, np.log(level)) for level in (0.5, 0.9))
    return np.log(regressions), np.log(np.maximum(rest, 0.05)), *levels


def _evaluate(correlation: Array, x: Array, n_factors: int) -> _Point:
    inverse = np.exp(-0.5 * x)
    values, vectors = np.linalg.eigh(correlation * inverse[:, :, None] * inverse[:, None, :])
    theta, vectors = values[:, ::-1], vectors[:, :, ::-1]
    common = np.maximum(theta[:, :n_factors], 1.0)
    gained = (common - 1.0 - np.log(common)).sum(axis=1)
    return _Point(x.sum(axis=1) + theta.sum(axis=1) - gained, theta, vectors)


def _slopes(point: _Point, n_factors: int) -> tuple[Array, Array]:
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


def _direction(gradient: Array, hessian: Array, free: NDArray[np.bool_]) -> Array:
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
        turned = (vectors.transpose(0, 2, 1) @ slope[:, :, None])[:, :, 0] / size
        step = -(vectors @ turned[:, :, None])[:, :, 0]
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1.0, _LONGEST / np.maximum(longest, _TINY))


def _minimize(
    correlation: Array, n_factors: int, x: Array, low: Array, high: Array, effort: _Effort
) -> tuple[Array, _Point]:
    """Newton's method from x, within bounds."""
    x = x.copy()
    point = _Point(*(part.copy() for part in _evaluate(correlation, x, n_factors)))
    running = np.arange(len(x))
    for _ in range(effort.steps):
        here = _Point(*(part[running] for part in point))
        at, lower, upper = x[running], low[running], high[running]
        gradient, hessian = _slopes(here, n_factors)
        free = ~(((at <= lower) & (gradient > 0.0)) | ((at >= upper) & (gradient < 0.0)))
        step = _direction(gradient, hessian, free)
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
    point: _Point,
    running: Array,
    step: Array,
    expected: Array,
) -> NDArray[np.bool_]:
    """Take the step, or a part of it, where this lowers the discrepancy; in place."""
    pending, length = np.arange(len(running)), 1.0
    for _ in range(_CUTS):
        own = running[pending]
        trial = np.clip(x[own] + length * step[pending], low[own], high[own])
        found = _evaluate(correlation[own], trial, n_factors)
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


def _factors(x: Array, point: _Point, n_factors: int, deviation: Array) -> Factors:
    """Loadings and noise in the units of the covariances."""
    theta, vectors = point.theta[:, :n_factors], point.vectors[:, :, :n_factors]
    at = np.abs(vectors).argmax(axis=1)[:, None, :]
    sign = np.where(np.take_along_axis(vectors, at, axis=1) < 0.0, -1.0, 1.0)
    width = deviation * np.exp(0.5 * x)
    common = np.sqrt(np.maximum(theta - 1.0, 0.0))
    return Factors(width[:, :, None] * (sign * vectors) * common[:, None, :], np.square(width))
