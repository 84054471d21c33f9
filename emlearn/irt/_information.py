"""Information of items about the trait, and expected scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from emlearn.irt._fitted import read_fitted

Floats = NDArray[np.float64]


def item_information(estimator: Any, theta: Any) -> Floats:
    """Fisher information of each item about the trait.

    Parameters
    ----------
    estimator : ItemResponseEM
        Fitted estimator with one trait.
    theta : array-like of shape (n_points,)
        Values of the trait.

    Returns
    -------
    information : ndarray of shape (n_points, n_items)
        The information of each item: the sum over its categories of P'(theta)^2 / P(theta). The
        sum over the items that a person answers is the information of the test, and one over
        its square root the standard error of the maximum-likelihood score.

    Raises
    ------
    ValueError
        If `theta` is not a list of finite numbers, or the estimator has more than one trait.

    References
    ----------
    F. M. Lord (1980). "Applications of item response theory to practical testing problems".
    Erlbaum.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import item_information
    >>> rng = np.random.default_rng(0)
    >>> trait, difficulty = rng.normal(size=(500, 1)), np.linspace(-2, 2, 5)
    >>> X = (rng.logistic(size=(500, 5)) < trait - difficulty).astype(float)
    >>> model = ItemResponseEM("1pl").fit(X)
    >>> information = item_information(model, [-2, 0, 2])
    >>> information.argmax(axis=1)
    array([0, 2, 4])
    """
    curves = read_fitted(estimator, "item_information").curves
    return curves.information(read_points(theta)).T


def expected_score(estimator: Any, theta: Any) -> Floats:
    """Expected score of each item, where its categories score 0, 1, 2, ...

    Parameters
    ----------
    estimator : ItemResponseEM
        Fitted estimator with one trait.
    theta : array-like of shape (n_points,)
        Values of the trait.

    Returns
    -------
    score : ndarray of shape (n_points, n_items)
        Expected scores. Their sum over the items is the curve of the expected test score; of
        items with two categories they are the probabilities of the second.

    Raises
    ------
    ValueError
        If `theta` is not a list of finite numbers, or the estimator has more than one trait.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import expected_score
    >>> rng = np.random.default_rng(0)
    >>> trait, difficulty = rng.normal(size=(500, 1)), np.linspace(-2, 2, 5)
    >>> X = (rng.logistic(size=(500, 5)) < trait - difficulty).astype(float)
    >>> model = ItemResponseEM("1pl").fit(X)
    >>> expected_score(model, [-1, 1]).sum(axis=1).round(1)
    array([1.7, 3.2])
    """
    curves = read_fitted(estimator, "expected_score").curves
    mean, _ = curves.expected_scores(curves.probabilities(read_points(theta)))
    return mean.T


def read_points(theta: Any) -> Floats:
    """Values of the trait as a list of finite numbers."""
    points: Floats = check_array(
        theta, ensure_2d=False, dtype=np.float64, input_name="theta", ensure_min_samples=1
    )
    if points.ndim != 1:
        raise ValueError(f"theta must be a list of numbers; got an array of shape {points.shape}.")
    return points
