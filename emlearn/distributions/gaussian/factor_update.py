"""Maximum-likelihood factor analysis of covariance matrices: the M-step of factor structures.

Every step of `emlearn.distributions.gaussian.factor_profile` lowers the discrepancy, so a few of
them from the parameters before are a step of a generalized EM algorithm, and many of them an exact
M-step. All of it is done for a stack of matrices at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.factor_profile import (
    Effort,
    Point,
    loadings_at,
    minimize,
)
from emlearn.engine.model import DegenerateModelError

Array = NDArray[Any]

#: Smallest variance of the noise of a column, relative to the variance of the column.
LEAST_NOISE = 1e-6
_TINY = float(np.finfo(np.float64).tiny) ** 0.5
_EXACTLY = Effort(1e-12, 50)
# Within EM, few steps are enough. (With many, the first M-steps go to far more Heywood cases,
# and EM ends in poorer optima.)
_ROUGHLY = Effort(1e-6, 3)


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
    best: tuple[Array, Point] | None = None
    effort = _ROUGHLY if roughly else _EXACTLY
    for start in _starts(correlation, n_factors)[: 1 if roughly else None]:
        start = np.clip(start, low, high)
        x, point = minimize(correlation, n_factors, start, low, high, effort)
        if best is not None:
            worse = ~(point.value < best[1].value - 1e-10)
            x = np.where(worse[:, None], best[0], x)
            point = Point(
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
    x, point = minimize(correlation, n_factors, start, low, high, _ROUGHLY)
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


def _factors(x: Array, point: Point, n_factors: int, deviation: Array) -> Factors:
    """Loadings and noise in the units of the covariances."""
    loadings = deviation[:, :, None] * loadings_at(x, point, n_factors)
    vectors = point.vectors[:, :, :n_factors]
    at = np.abs(vectors).argmax(axis=1)[:, None, :]
    sign = np.where(np.take_along_axis(vectors, at, axis=1) < 0.0, -1.0, 1.0)
    return Factors(loadings * sign, np.square(deviation) * np.exp(x))
