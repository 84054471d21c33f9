"""Angles with a von Mises distribution.

The log-density of an angle x with mean direction mu and concentration k is

    k cos(x - mu) - log(2 pi I_0(k)).

Given the weight W and the sums C of cos x and S of sin x, the M-step sets mu to the direction of
(C, S), and k solves I_1(k) / I_0(k) = R, the length of (C, S) divided by W.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e

from emlearn.distributions._contract import Array
from emlearn.distributions._domain import require
from emlearn.distributions._linear import LinearFamily, LinearParams, LinearSpec, held
from emlearn.engine import DegenerateModelError

# Beyond it, sines and cosines of angles say nothing.
_LARGEST_ANGLE = 1e6
_HIGHEST = 1e8
_SERIES = 1e3
_STEPS = 50


def _slope(k: Array, resultant: Array) -> Array:
    """Derivative of I_1 / I_0 by k, where it is `resultant`."""
    large, small = np.maximum(k, _SERIES), np.minimum(k, _SERIES)
    # resultant / k tends to 1/2.
    ratio = np.where(small > 1e-8, resultant / np.where(small > 1e-8, small, 1.0), 0.5)
    exact = 1.0 - ratio - np.square(resultant)
    series = 1.0 / (2.0 * large**2) + 1.0 / (4.0 * large**3)
    return np.where(k > _SERIES, series, exact)


def concentration_of(resultant: Array) -> Array:
    """The concentration k with I_1(k) / I_0(k) = `resultant`, at most 1e8, by Newton's method.

    References
    ----------
    D. J. Best and N. I. Fisher (1981). "The bias of the maximum likelihood estimators of the
    von Mises-Fisher concentration parameters". Communications in Statistics B 10(5), 493-502.
    """
    r = np.clip(resultant, 0.0, 1.0)
    far = np.maximum(1.0 - r, 0.25 / _HIGHEST)
    k = np.minimum(r * (2.0 - r**2) / (far * (1.0 + r)), _HIGHEST)
    for _ in range(_STEPS):
        found = i1e(k) / i0e(k)
        new = np.clip(k - (found - r) / _slope(k, found), 0.1 * k, np.minimum(10.0 * k, _HIGHEST))
        done = bool((np.abs(new - k) <= 1e-13 * k).all())
        k = new
        if done:
            break
    return k


@dataclass(frozen=True)
class VonMises(LinearFamily):
    """Independent angles in radians: directions, turning angles, times of the day.

    Published: ``"direction"``, in (-pi, pi] after a fit, and ``"concentration"``, each of shape
    (n_components, n_features). A concentration of 0 is the uniform distribution, a large one k is
    nearly a normal distribution with variance 1 / k.

    Parameters
    ----------
    alpha : float, default=0.01
        Number of pseudo-rows in each component, with angles from the uniform distribution. The
        default is close to maximum likelihood, but a component of one row, or of equal angles,
        keeps a spread. 0 is maximum likelihood, with concentrations of at most 1e8.

    Notes
    -----
    Any angle is read modulo 2 pi. Degrees have to be converted: ``np.deg2rad(X)``; so do hours of
    the day: ``hours * (2 * np.pi / 24)``. If all angles are turned, the fit is the same: the
    directions turn. There are no means and variances of angles on a line, so `forecast` of a
    hidden Markov model has NaN in these columns.

    References
    ----------
    K. V. Mardia and P. E. Jupp (2000). "Directional Statistics". Wiley.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import VonMises
    >>> rng = np.random.default_rng(0)
    >>> angles = rng.vonmises([[0.0]] * 300 + [[3.0]] * 300, 4.0)
    >>> mixture = FiniteMixtureEM(2, family=VonMises(), random_state=0).fit(angles)
    >>> mixture.n_features_in_
    1
    """

    alpha: float = 0.01

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "direction": (-np.inf, np.inf),
        "concentration": (0.0, _HIGHEST),
    }

    def features(self, X: Array) -> tuple[Array, ...]:
        """See `LinearFamily`."""
        with np.errstate(invalid="ignore"):
            what = f"angles in radians, from -{_LARGEST_ANGLE:g} to {_LARGEST_ANGLE:g} (or NaN)"
            require(np.abs(X) <= _LARGEST_ANGLE, X, what)
        return np.cos(X), np.sin(X)

    def coefficients(self, values: Array, column_spec: LinearSpec) -> Array:
        """See `LinearFamily`."""
        mu, k = values[:, 0], values[:, 1]
        return np.hstack([-np.log(2.0 * np.pi * i0e(k)) - k, k * np.cos(mu), k * np.sin(mu)])

    def maximum(
        self, sums: Array, values: Array, fixed: Mapping[str, Array], column_spec: LinearSpec
    ) -> Array:
        """See `LinearFamily`."""
        weight, cosine, sine = np.split(sums, 3, axis=1)
        known = weight > 0.0
        weight = np.where(known, weight, 1.0)
        length = np.hypot(cosine, sine)
        # A direction of rounding errors alone is none.
        has_direction = known & (length > 1e-14 * weight)
        found = np.where(has_direction, np.arctan2(sine, cosine), values[:, 0])
        mu = held(fixed, "direction", found)
        along = cosine * np.cos(mu) + sine * np.sin(mu)
        resultant = np.where(mu == found, length, along) / weight
        k = np.where(known, concentration_of(resultant), values[:, 1])
        return np.stack([mu, held(fixed, "concentration", k)], axis=1)

    def gradient(self, sums: Array, values: Array, column_spec: LinearSpec) -> Array:
        """See `LinearFamily`."""
        weight, cosine, sine = np.split(sums, 3, axis=1)
        mu, k = values[:, 0], values[:, 1]
        along = cosine * np.cos(mu) + sine * np.sin(mu)
        across = sine * np.cos(mu) - cosine * np.sin(mu)
        return np.stack([k * across, along - weight * i1e(k) / i0e(k)], axis=1)

    def prior_features(self, column_spec: LinearSpec) -> Array:
        """See `LinearFamily`: those of uniform angles."""
        n = column_spec.n_columns
        return np.r_[np.ones(n), np.zeros(2 * n)]

    def average_of(self, values: Array) -> LinearSpec:
        """See `LinearFamily`."""
        mu, k = values[:, 0], values[:, 1]
        length = i1e(k) / i0e(k)
        parts = np.ones_like(mu), length * np.cos(mu), length * np.sin(mu)
        return LinearSpec(np.hstack(parts).mean(axis=0), mu.shape[1])

    def points(self, X: Array, column_spec: LinearSpec) -> Array:
        """Points of the unit circle of each column; its center for a missing angle."""
        rows = self.encode(X, column_spec)
        return rows[:, column_spec.n_columns :]

    def unsound(
        self, statistics: Array, params: LinearParams, column_spec: LinearSpec
    ) -> dict[str, Array]:
        """See `Family`: concentrations at their bound."""
        at_bound = (params.values[:, 1] >= 0.999 * _HIGHEST).any(axis=1)
        what = (
            "all angles of a column are the same, so the concentration is at its bound of "
            f"{_HIGHEST:g}; set alpha, or leave the column out"
        )
        return {what: np.asarray(at_bound)}

    def sample(
        self,
        params: LinearParams,
        column_spec: LinearSpec,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`: angles in [-pi, pi]."""
        mu, k = params.values[labels, 0], params.values[labels, 1]
        # The generator takes directions from -pi to pi.
        return np.asarray(rng.vonmises(np.remainder(mu + np.pi, 2.0 * np.pi) - np.pi, k))

    def to_vector(self, params: LinearParams, column_spec: LinearSpec) -> NDArray[np.float64]:
        """The concentrations times the directions as vectors."""
        mu, k = params.values[:, 0], params.values[:, 1]
        return np.stack([k * np.cos(mu), k * np.sin(mu)], axis=1).ravel()

    def from_vector(
        self, vector: NDArray[np.float64], like: LinearParams, column_spec: LinearSpec
    ) -> LinearParams:
        """See `Family`."""
        real = vector.reshape(like.values.shape)
        k = np.hypot(real[:, 0], real[:, 1])
        if not (k <= _HIGHEST * (1.0 + 1e-9)).all():
            raise DegenerateModelError("a concentration is out of range")
        mu = np.where(k > 0.0, np.arctan2(real[:, 1], real[:, 0]), like.values[:, 0])
        return LinearParams(np.stack([mu, np.minimum(k, _HIGHEST)], axis=1))
