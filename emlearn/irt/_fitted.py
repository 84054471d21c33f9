"""What the analyses of a fit read from a fitted estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.irt._curves import ItemCurves

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

# The grid of the trait: how far it reaches, and how dense it is, in standard deviations.
_WIDTH = 6.0
_POINTS_PER_DEVIATION = 10
# Step of the derivatives with respect to parameters of items.
_STEP = 1e-5


@dataclass(frozen=True)
class FittedItems:
    """Curves of fitted items, and the distribution of the trait.

    Parameters
    ----------
    estimator : ItemResponseEM
        The estimator, which reads answers.
    curves : ItemCurves
        Curves of its items.
    """

    estimator: Any
    curves: ItemCurves

    def codes(self, X: Any) -> Codes:
        """Categories answered, counted from 0; -1 where there is no answer."""
        raise NotImplementedError

    def prior(self, n_persons: int, groups: Any = None) -> tuple[Floats, Floats]:
        """Means and standard deviations of the traits of persons."""
        return np.zeros(n_persons), np.ones(n_persons)

    def density(self, n_persons: int, groups: Any, weight: Floats) -> tuple[Floats, Floats]:
        """Points of the trait, and its distribution among the persons on them, of sum 1."""
        means, deviations = self.prior(n_persons, groups)
        pairs, which = np.unique(np.stack([means, deviations], 1), axis=0, return_inverse=True)
        shares = np.bincount(np.asarray(which).ravel(), weights=weight)
        mean, deviation = pairs[:, :1], pairs[:, 1:]
        low = float(np.min(mean - _WIDTH * deviation))
        high = float(np.max(mean + _WIDTH * deviation))
        step = float(np.min(deviation)) / _POINTS_PER_DEVIATION
        grid = np.linspace(low, high, int(np.ceil((high - low) / step)) + 1)
        height = np.exp(-0.5 * ((grid - mean) / deviation) ** 2) / deviation
        total = shares @ (height / height.sum(axis=1, keepdims=True))
        return grid, total / total.sum()

    def require_one_population(self, caller: str) -> None:
        """Raise an error if persons differ in the distribution of their trait."""

    def probability_changes(self, theta: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Derivatives of the probabilities with respect to the parameters of each item.

        Central differences in the coordinates [slopes, intercepts, logit of guessing].

        Returns
        -------
        change : ndarray of shape (n_items, n_coordinates, n_categories, n_points)
            Derivatives.
        is_free : ndarray of bool of shape (n_items, n_coordinates)
            Which coordinates are parameters of an item.
        """
        model, params = self.curves.model, self.curves.params
        n_slopes = params.slopes.shape[1]
        size = n_slopes + params.intercepts.shape[1] + int(model.has_guessing)
        changes = []
        for coordinate in range(size):
            step = np.zeros((model.n_items, size))
            step[:, coordinate] = _STEP
            up = model.log_probabilities(model.moved(params, step), theta)
            down = model.log_probabilities(model.moved(params, -step), theta)
            changes.append((np.exp(up) - np.exp(down)) / (2.0 * _STEP))
        is_free = np.ones((model.n_items, size), dtype=bool)
        is_free[:, n_slopes : n_slopes + params.intercepts.shape[1]] = model.is_category[:, 1:]
        return np.stack(changes, axis=1), is_free


def read_fitted(estimator: Any, caller: str) -> FittedItems:
    """Read a fitted estimator with one trait."""
    if isinstance(estimator, FittedItems):
        return estimator
    raise NotImplementedError(caller)
