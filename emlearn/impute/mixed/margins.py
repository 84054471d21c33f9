"""Transformations of single numeric columns to standardized, more nearly normal ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import boxcox1p, inv_boxcox1p

Array = NDArray[np.float64]

# Smallest and largest power. Beyond, a few values far out decide.
_POWERS = (-3.0, 5.0)
# Back-transformed values are at most this far outside the observed ones, relative to their range.
_BEYOND = 0.1
# A value with at least this share of the rows is an atom, and gets all that is nearest to it.
_ATOM = 0.05
# Nodes and weights for means of transformed normal variables.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Margin(NamedTuple):
    """``(yeo_johnson((x - center) / scale, power) - shift) / spread``.

    Attributes
    ----------
    center, scale : float
        Mean and standard deviation of the column.
    power : float
        Power of the Yeo-Johnson transformation; 1 changes nothing.
    shift, spread : float
        Mean and standard deviation of the transformed column.
    limits : tuple of float
        Smallest and largest value that the inverse returns.
    atoms : ndarray of shape (n_atoms, 3)
        Values with many rows, and the intervals of which the inverse returns them.
    """

    center: float
    scale: float
    power: float
    shift: float
    spread: float
    limits: tuple[float, float]
    atoms: Array

    @property
    def linear(self) -> bool:
        """Whether the column is only standardized."""
        return self.power == 1.0

    @property
    def unlimited(self) -> Margin:
        """The same transformation, whose inverse neither snaps nor clips."""
        return self._replace(limits=(-np.inf, np.inf), atoms=np.empty((0, 3)))

    def forward(self, values: Array) -> Array:
        """Standardized values."""
        standard = (values - self.center) / self.scale
        if self.linear:
            return standard
        return (yeo_johnson(standard, self.power) - self.shift) / self.spread

    def inverse(self, values: Array) -> Array:
        """Values in the units of the column."""
        if self.linear:
            return values * self.scale + self.center
        standard = inverse_yeo_johnson(values * self.spread + self.shift, self.power)
        out = np.clip(standard * self.scale + self.center, *self.limits)
        for value, low, high in self.atoms:
            out[(out > low) & (out < high)] = value
        return out

    def moments(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Mean and variance in the units of the column, of normal standardized values."""
        if self.linear:
            return self.inverse(mean), variance * self.scale**2
        nodes = mean[:, None] + np.sqrt(variance)[:, None] * _NODES
        values = self.inverse(nodes.ravel()).reshape(nodes.shape)
        middle = values @ _WEIGHTS
        return middle, (values - middle[:, None]) ** 2 @ _WEIGHTS

    def log_derivative(self, values: Array) -> Array:
        """Logarithm of the derivative of `forward`."""
        constant = -np.log(self.scale)
        if self.linear:
            return np.full(len(values), constant)
        standard = (values - self.center) / self.scale
        bent: Array = (self.power - 1.0) * np.sign(standard) * np.log1p(np.abs(standard))
        return bent + constant - np.log(self.spread)


def yeo_johnson(values: Array, power: float) -> Array:
    """The transformation of Yeo and Johnson (2000)."""
    out = np.empty_like(values)
    above = values >= 0.0
    out[above] = boxcox1p(values[above], power)
    out[~above] = -boxcox1p(-values[~above], 2.0 - power)
    return out


def inverse_yeo_johnson(values: Array, power: float) -> Array:
    """Its inverse; infinite beyond its range."""
    out = np.empty_like(values)
    above = values >= 0.0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        out[above] = inv_boxcox1p(values[above], power)
        out[~above] = -inv_boxcox1p(-values[~above], 2.0 - power)
    return np.where(np.isnan(out), np.where(above, np.inf, -np.inf), out)


def fit_margin(values: Array, weight: Array, *, power: bool) -> Margin:
    """The transformation of a column; with `power`, the power of highest likelihood."""
    seen = ~np.isnan(values)
    values, weight = values[seen], weight[seen] / weight[seen].sum()
    center, scale = _moments(values, weight)
    standard = (values - center) / scale
    limits = (-np.inf, np.inf)
    none = np.empty((0, 3))
    if not power or len(np.unique(values)) < 3:
        return Margin(center, scale, 1.0, 0.0, 1.0, limits, none)
    bent = weight @ (np.sign(standard) * np.log1p(np.abs(standard)))

    def loss(own: float) -> float:
        spread = _moments(yeo_johnson(standard, own), weight)[1]
        return float(np.log(spread) - (own - 1.0) * bent)

    best = float(minimize_scalar(loss, bounds=_POWERS, method="bounded").x)
    shift, spread = _moments(yeo_johnson(standard, best), weight)
    low, high = float(values.min()), float(values.max())
    beyond = _BEYOND * (high - low)
    limits = (low - beyond, high + beyond)
    return Margin(center, scale, best, shift, spread, limits, _atoms(values, weight))


def _moments(values: Array, weight: Array) -> tuple[float, float]:
    mean = float(weight @ values)
    return mean, float(np.sqrt(weight @ (values - mean) ** 2))


def _atoms(values: Array, weight: Array) -> Array:
    distinct, place = np.unique(values, return_inverse=True)
    share = np.bincount(place.ravel(), weight)
    middle = 0.5 * (distinct[1:] + distinct[:-1])
    low = np.concatenate(([-np.inf], middle))
    high = np.concatenate((middle, [np.inf]))
    many = share >= _ATOM
    return np.column_stack((distinct[many], low[many], high[many]))
