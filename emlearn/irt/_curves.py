"""Probabilities of answers as functions of one latent trait, with derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emlearn.irt._responses import ItemParams, ResponseModel

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

# Elements of the arrays of a block of persons: a few of them fit into the cache.
_BLOCK = 1 << 18
#: What a probability is not taken to be below where something is divided by it.
TINY = 1e-290


@dataclass(frozen=True)
class ItemCurves:
    """Curves of the categories of items with one latent trait.

    Parameters
    ----------
    model : ResponseModel
        The formula.
    params : ItemParams
        Parameters of the items.
    """

    model: ResponseModel
    params: ItemParams

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.model.n_items

    @property
    def n_categories(self) -> int:
        """Largest number of categories of an item."""
        return self.model.width

    @property
    def is_category(self) -> NDArray[np.bool_]:
        """Which items have which categories, of shape (n_items, n_categories)."""
        return self.model.is_category

    @property
    def top(self) -> NDArray[np.intp]:
        """Highest score of each item."""
        return np.sum(self.is_category, axis=1) - 1

    def probabilities(self, theta: Floats) -> Floats:
        """Probabilities of the categories, of shape (n_items, n_categories, n_points)."""
        return np.exp(self.model.log_probabilities(self.params, theta))

    def derivatives(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Probabilities, and their first and second derivatives with respect to the trait."""
        found = self.model.probability_derivatives(self.params, theta)
        slope = self.params.slopes[:, :1, None]
        return found.value, slope * found.first, slope**2 * found.second

    def table(self, theta: Floats) -> Floats:
        """Log-probabilities, of shape (n_items, n_categories, n_points)."""
        return self.model.log_probabilities(self.params, theta)

    def expected_scores(self, probabilities: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the score of each item, where categories score 0, 1, ..."""
        grade = np.arange(self.n_categories, dtype=np.float64)[:, None]
        mean = np.sum(grade * probabilities, axis=1)
        variance = np.sum((grade - mean[:, None]) ** 2 * probabilities, axis=1)
        return mean, variance

    def information(self, theta: Floats) -> Floats:
        """Fisher information of each item, of shape (n_items, n_points)."""
        p, first, _ = self.derivatives(theta)
        return np.sum(first**2 / np.maximum(p, TINY), axis=1)

    def blocks(self, n_persons: int) -> Iterator[slice]:
        """Slices of the persons, so that arrays of items by categories by persons are small."""
        size = max(1, _BLOCK // max(1, self.n_items * self.n_categories))
        for start in range(0, n_persons, size):
            yield slice(start, min(start + size, n_persons))


def of_answers(values: Floats, codes: Codes) -> Floats:
    """Values of the categories that were answered, of shape (n_items, n_persons).

    Codes below 0 take category 0.

    Parameters
    ----------
    values : ndarray of shape (n_items, n_categories, n_persons)
        Values of all categories.
    codes : ndarray of shape (n_persons, n_items)
        Categories answered.
    """
    where = np.maximum(codes, 0).T[:, None]
    return np.take_along_axis(values, where, axis=1)[:, 0]


def log_likelihood_on_grid(codes: Codes, table: Floats) -> Floats:
    """Log-likelihood of each person at each point of a grid, (n_persons, n_points).

    Parameters
    ----------
    codes : ndarray of shape (n_persons, n_items)
        Categories answered; -1 where there is no answer.
    table : ndarray of shape (n_items, n_categories, n_points)
        Log-probabilities.
    """
    total = np.zeros((codes.shape[0], table.shape[2]))
    for category in range(table.shape[1]):
        total += (codes == category).astype(np.float64) @ table[:, category]
    return total
