"""Positive numbers with a gamma distribution.

The log-density of an entry x with shape a and rate b is

    a log b - log Gamma(a) + (a - 1) log x - b x.

Given the weight W and the sums of x and of log x, the M-step sets b = a / m with m the mean of x,
and a solves log a - digamma(a) = s, where s >= 0 is log m minus the mean of log x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from emlearn.distributions._contract import Array
from emlearn.distributions._domain import require
from emlearn.distributions._linear import LinearFamily, LinearParams, LinearSpec, held
from emlearn.distributions._points import points_of

_SMALLEST, _LARGEST = 1e-150, 1e150
_LOWEST_SHAPE, _HIGHEST_SHAPE = 1e-8, 1e8
_SERIES = 1e3
_STEPS = 50


def log_minus_digamma(a: Array) -> Array:
    """The difference log a - digamma(a), without cancellation for a large a."""
    large = np.maximum(a, _SERIES)
    series = 1.0 / (2.0 * large) + 1.0 / (12.0 * large**2)
    small = np.minimum(a, _SERIES)
    return np.where(a > _SERIES, series, np.log(small) - digamma(small))


def _slope(a: Array) -> Array:
    """Derivative of `log_minus_digamma` by log a."""
    large = np.maximum(a, _SERIES)
    small = np.minimum(a, _SERIES)
    series = -1.0 / (2.0 * large) - 1.0 / (6.0 * large**2)
    return np.where(a > _SERIES, series, 1.0 - small * polygamma(1, small))


def _solve(function: Callable[[Array], Array], slope: Callable[[Array], Array], a: Array) -> Array:
    """Root by log a of a decreasing function, by Newton's method."""
    u, low, high = np.log(a), np.log(_LOWEST_SHAPE), np.log(_HIGHEST_SHAPE)
    for _ in range(_STEPS):
        at = np.exp(u)
        found = np.clip(u - np.clip(function(at) / slope(at), -2.0, 2.0), low, high)
        done = bool((np.abs(found - u) <= 1e-13 * (1.0 + np.abs(u))).all())
        u = found
        if done:
            break
    return np.clip(np.exp(u), _LOWEST_SHAPE, _HIGHEST_SHAPE)


def shape_of_spread(s: Array) -> Array:
    """The shape a that solves log a - digamma(a) = s, within its bounds.

    References
    ----------
    T. P. Minka (2002). "Estimating a gamma distribution". Technical report.
    """
    s = np.clip(s, 1e-10, 1e10)
    start = (3.0 - s + np.sqrt(np.square(s - 3.0) + 24.0 * s)) / (12.0 * s)
    start = np.clip(start, _LOWEST_SHAPE, _HIGHEST_SHAPE)
    return _solve(lambda a: log_minus_digamma(a) - s, _slope, start)


@dataclass(frozen=True)
class Gamma(LinearFamily):
    """Independent positive numbers: durations, distances, amounts.

    Published: ``"shape"`` and ``"rate"``, each of shape (n_components, n_features). The mean is
    shape / rate, and the coefficient of variation is 1 / sqrt(shape).

    Parameters
    ----------
    alpha : float, default=0.01
        Number of pseudo-rows in each component, each with the mean of the column and the mean of
        its logarithm. The default is close to maximum likelihood, but a component of one row, or
        of equal values, keeps a spread. 0 is maximum likelihood, with shapes of at most 1e8.

    Notes
    -----
    Numbers are positive, from 1e-150 to 1e150. In other units, the fit is the same: the rates are
    divided by the factor. The shape is found by Newton's method on its logarithm.

    References
    ----------
    T. P. Minka (2002). "Estimating a gamma distribution". Technical report.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import Gamma
    >>> rng = np.random.default_rng(0)
    >>> waiting = rng.gamma([[2.0]] * 300 + [[9.0]] * 300, [[1.0]] * 300 + [[3.0]] * 300)
    >>> mixture = FiniteMixtureEM(2, family=Gamma(), random_state=0).fit(waiting)
    >>> mixture.n_features_in_
    1
    """

    alpha: float = 0.01

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "shape": (_LOWEST_SHAPE, _HIGHEST_SHAPE),
        "rate": (1e-280, 1e280),
    }

    def features(self, X: Array) -> tuple[Array, ...]:
        """See `LinearFamily`."""
        with np.errstate(invalid="ignore"):
            require(X > 0.0, X, "positive numbers (or NaN where missing)")
            inside = (X >= _SMALLEST) & (X <= _LARGEST)
        require(inside, X, f"numbers from {_SMALLEST:g} to {_LARGEST:g}")
        return X, np.log(X)

    def coefficients(self, values: Array, column_spec: LinearSpec) -> Array:
        """See `LinearFamily`."""
        a, b = values[:, 0], values[:, 1]
        return np.hstack([a * np.log(b) - gammaln(a), -b, a - 1.0])

    def maximum(
        self, sums: Array, values: Array, fixed: Mapping[str, Array], column_spec: LinearSpec
    ) -> Array:
        """See `LinearFamily`."""
        weight, total, logarithm = np.split(sums, 3, axis=1)
        known = weight > 0.0
        weight, total = np.where(known, weight, 1.0), np.where(known, total, 1.0)
        mean, level = total / weight, logarithm / weight
        spread = np.log(mean) - level
        shape = shape_of_spread(spread)
        if "rate" in fixed:
            rate = np.where(np.isnan(fixed["rate"]), 1.0, fixed["rate"])
            # digamma(a) = target, from a start that is near both for small and large a.
            target = np.log(rate) + level
            start = np.where(target > -2.2, np.exp(target) + 0.5, -1.0 / np.minimum(target, -0.1))
            start = np.clip(start, _LOWEST_SHAPE, _HIGHEST_SHAPE)
            alone = _solve(lambda a: target - digamma(a), lambda a: -a * polygamma(1, a), start)
            shape = np.where(np.isnan(fixed["rate"]), shape, alone)
        shape = held(fixed, "shape", np.where(known, shape, values[:, 0]))
        rate = held(fixed, "rate", np.where(known, shape / mean, values[:, 1]))
        return np.stack([shape, rate], axis=1)

    def gradient(self, sums: Array, values: Array, column_spec: LinearSpec) -> Array:
        """See `LinearFamily`."""
        weight, total, logarithm = np.split(sums, 3, axis=1)
        a, b = values[:, 0], values[:, 1]
        by_shape = weight * (np.log(b) - digamma(a)) + logarithm
        return np.stack([by_shape, weight * a / b - total], axis=1)

    def average_of(self, values: Array) -> LinearSpec:
        """See `LinearFamily`."""
        a, b = values[:, 0], values[:, 1]
        parts = np.ones_like(a), a / b, digamma(a) - np.log(b)
        return LinearSpec(np.hstack(parts).mean(axis=0), a.shape[1])

    def points(self, X: Array, column_spec: LinearSpec) -> Array:
        """Standardized logarithms."""
        points: Array = points_of(np.log(np.asarray(X, np.float64)), None, False)
        return points

    def unsound(
        self, statistics: Array, params: LinearParams, column_spec: LinearSpec
    ) -> dict[str, Array]:
        """See `Family`: shapes at their bound."""
        at_bound = (params.values[:, 0] >= 0.999 * _HIGHEST_SHAPE).any(axis=1)
        what = (
            "all numbers of a column are the same, so the shape is at its bound of "
            f"{_HIGHEST_SHAPE:g}; set alpha, or leave the column out"
        )
        return {what: np.asarray(at_bound)}

    def moments(self, params: LinearParams, column_spec: LinearSpec) -> tuple[Array, Array]:
        """See `Family`."""
        a, b = params.values[:, 0], params.values[:, 1]
        return a / b, a / np.square(b)

    def sample(
        self,
        params: LinearParams,
        column_spec: LinearSpec,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        a, b = params.values[labels, 0], params.values[labels, 1]
        return np.clip(rng.standard_gamma(a) / b, _SMALLEST, _LARGEST)
