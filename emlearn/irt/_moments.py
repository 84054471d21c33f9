"""First and second moments of answers, their covariance, and the quadratic form M2."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Singular values below this, relative to the largest, belong to no parameter.
_NO_PARAMETER = 1e-8


class Functions(NamedTuple):
    """Functions of single answers, whose means are the first moments.

    Attributes
    ----------
    item : ndarray of int of shape (n_functions,)
        The item of each function.
    value : ndarray of shape (n_functions, n_categories)
        Its values at the categories.
    """

    item: Indices
    value: Floats


def score_functions(n_items: int, width: int) -> Functions:
    """The score of each item: the first moments of M2*."""
    value = np.broadcast_to(np.arange(width, dtype=np.float64), (n_items, width))
    return Functions(np.arange(n_items), value)


def category_functions(is_category: NDArray[np.bool_]) -> Functions:
    """Indicators of all categories but the lowest: the first moments of C2."""
    item, below = np.nonzero(is_category[:, 1:])
    return Functions(item, np.eye(is_category.shape[1])[below + 1])


def observed_moments(codes: Indices, weight: Floats, functions: Functions) -> Floats:
    """Means of the functions, then of the products of the scores of two items."""
    share = weight / weight.sum()
    first = [share @ value[codes[:, item]] for item, value in zip(*functions, strict=True)]
    scores = codes.astype(np.float64)
    products = scores.T @ (share[:, None] * scores)
    return np.concatenate([first, products[np.triu_indices(codes.shape[1], 1)]])


class Moments(NamedTuple):
    """Moments that a model implies.

    Attributes
    ----------
    mean : ndarray of shape (n_moments,)
        First and second moments.
    covariance : ndarray of shape (n_moments, n_moments)
        Covariance of the functions and products, for one person.
    correlation : ndarray of shape (n_items, n_items)
        Correlation of the scores of the items.
    """

    mean: Floats
    covariance: Floats
    correlation: Floats


def implied_moments(probabilities: Floats, density: Floats, functions: Functions) -> Moments:
    """Moments implied by independent answers given the trait.

    Parameters
    ----------
    probabilities : ndarray of shape (n_items, n_categories, n_points)
        Probabilities of the categories.
    density : ndarray of shape (n_points,)
        Weights of the points, of sum 1.
    functions : Functions
        The first moments.
    """
    n_items, width, _ = probabilities.shape
    grade = np.arange(width, dtype=np.float64)
    score, square = grade @ probabilities, grade**2 @ probabilities
    of_function = np.einsum("uk,ukq->uq", functions.value, probabilities[functions.item])
    left, right = np.triu_indices(n_items, 1)
    given = np.concatenate([of_function, score[left] * score[right]])
    mean = given @ density
    covariance = (given * density) @ given.T
    n_first = len(of_function)
    for item in range(n_items):
        _same_item(covariance, item, probabilities[item], density, functions, score, square[item])
    pair = n_first + np.arange(len(left))
    covariance[pair, pair] = (square[left] * square[right]) @ density
    covariance -= np.outer(mean, mean)
    second = (score * density) @ score.T
    second[np.diag_indices(n_items)] = square @ density
    center = score @ density
    spread = second - np.outer(center, center)
    deviation = np.sqrt(np.maximum(np.diag(spread), 1e-300))
    return Moments(mean, covariance, spread / np.outer(deviation, deviation))


def _same_item(
    covariance: Floats,
    item: int,
    p: Floats,
    density: Floats,
    functions: Functions,
    score: Floats,
    square: Floats,
) -> None:
    """Put in the expected products of functions that share an item."""
    own = np.flatnonzero(functions.item == item)
    value = functions.value[own]
    grade = np.arange(p.shape[0], dtype=np.float64)
    covariance[np.ix_(own, own)] = (value * (p @ density)) @ value.T
    pairs, others = pairs_of(item, len(score))
    pairs = pairs + len(functions.item)
    beside = score[others]
    cross = ((value * grade) @ p * density) @ beside.T
    covariance[np.ix_(own, pairs)] = cross
    covariance[np.ix_(pairs, own)] = cross.T
    covariance[np.ix_(pairs, pairs)] = (beside * (density * square)) @ beside.T


def pairs_of(item: int, n_items: int) -> tuple[Indices, Indices]:
    """Positions of the pairs that have an item, in the order of `triu_indices`; the others."""
    others = np.delete(np.arange(n_items), item)
    low, high = np.minimum(others, item), np.maximum(others, item)
    return low * n_items - low * (low + 1) // 2 + high - low - 1, others


def derivatives_of_item(
    item: int, change: Floats, score: Floats, density: Floats, functions: Functions
) -> Floats:
    """Derivatives of the moments with respect to parameters of an item.

    Parameters
    ----------
    item : int
        The item.
    change : ndarray of shape (n_parameters, n_categories, n_points)
        Derivatives of the probabilities of its categories.
    score : ndarray of shape (n_items, n_points)
        Expected scores of all items.
    density : ndarray of shape (n_points,)
        Weights of the points.
    functions : Functions
        The first moments.
    """
    n_items = len(score)
    n_first = len(functions.item)
    result = np.zeros((n_first + n_items * (n_items - 1) // 2, len(change)))
    own = np.flatnonzero(functions.item == item)
    result[own] = functions.value[own] @ (change @ density).T
    pairs, others = pairs_of(item, n_items)
    of_score = np.einsum("k,pkq->pq", np.arange(change.shape[1], dtype=np.float64), change)
    result[n_first + pairs] = (score[others] * density) @ of_score.T
    return result


def quadratic_form(residual: Floats, covariance: Floats, delta: Floats) -> tuple[float, int]:
    """Residuals in the metric of their covariance, without what the parameters can change.

    Returns
    -------
    value : float
        The quadratic form, for one person.
    rank : int
        Number of parameters that change the moments.

    Raises
    ------
    LinAlgError
        If the covariance is singular.
    """
    scale = np.sqrt(np.diag(covariance))
    if not np.all(scale > 0.0):
        raise np.linalg.LinAlgError("a moment has no variance")
    factor = np.linalg.cholesky(covariance / np.outer(scale, scale))
    whitened = solve_triangular(factor, residual / scale, lower=True)
    slopes = solve_triangular(factor, delta / scale[:, None], lower=True)
    length = np.linalg.norm(slopes, axis=0)
    slopes = slopes[:, length > 0.0] / length[length > 0.0]
    basis, values, _ = np.linalg.svd(slopes, full_matrices=False)
    rank = int(np.sum(values > _NO_PARAMETER * values.max(initial=0.0)))
    explained = basis[:, :rank].T @ whitened
    return max(float(whitened @ whitened - explained @ explained), 0.0), rank
