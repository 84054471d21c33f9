"""Distribution of summed scores given the trait, by the recursion of Lord and Wingersky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]


def summed_scores(probabilities: Floats, top: Counts) -> Floats:
    """Probabilities of each summed score, of shape (n_scores, n_points).

    Parameters
    ----------
    probabilities : ndarray of shape (n_items, n_categories, n_points)
        Probabilities of the categories, which score 0, 1, ...
    top : ndarray of int of shape (n_items,)
        Highest score of each item.

    References
    ----------
    F. M. Lord and M. S. Wingersky (1984). "Comparison of IRT true-score and equipercentile
    observed-score equatings". Applied Psychological Measurement 8(4), 453-461.
    """
    everyone = np.ones((1, probabilities.shape[0]), dtype=bool)
    return _recursion(probabilities, top, everyone)[0]


def rest_scores(probabilities: Floats, top: Counts) -> Floats:
    """The same without each item, of shape (n_items, n_scores, n_points)."""
    return _recursion(probabilities, top, ~np.eye(probabilities.shape[0], dtype=bool))


def _recursion(probabilities: Floats, top: Counts, enters: NDArray[np.bool_]) -> Floats:
    """Distributions of the sums over several sets of items, one a row of `enters`."""
    n_scores = int(top.sum()) + 1
    current = np.zeros((len(enters), n_scores, probabilities.shape[2]))
    current[:, 0] = 1.0
    reached = 0
    for item, highest in enumerate(top):
        reached += int(highest)
        sets = np.flatnonzero(enters[:, item])
        before = current[sets, : reached + 1]
        after = before * probabilities[item, 0]
        for k in range(1, int(highest) + 1):
            after[:, k:] += before[:, : reached + 1 - k] * probabilities[item, k]
        current[sets, : reached + 1] = after
    return current
