"""Generalized least squares: means of the classes and coefficients of the scores.

With precisions P_k = inv(Sigma_k), the objective is quadratic in beta = (mu_1, ..., mu_K, B):

    sum_k tr(P_k (UZ_k' beta + beta' UZ_k - beta' UU_k beta)) / 2 - sum_r R_r |beta_r|^2 / 2

UU_k and UZ_k being sums of products of u = (indicator of the class, scores) with itself and with
the numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from emlearn.engine import DegenerateModelError

Array = NDArray[np.float64]


def solve_coefficients(
    weight: Array,
    scores: Array,
    products: Array,
    first: Array,
    cross: Array,
    covariances: Array,
    precision: Array,
) -> tuple[Array, Array]:
    """The means and coefficients with the highest objective, given the covariances.

    Parameters
    ----------
    weight, scores, products : ndarray of shape (K,), (K, n_scores), (K, n_scores, n_scores)
        Sums over rows of weights, scores and products of scores, for each class.
    first, cross : ndarray of shape (K, n_numbers), (K, n_scores, n_numbers)
        Sums of numbers, and of scores times numbers.
    covariances : ndarray of shape (1 or K, n_numbers, n_numbers)
        Covariances; one is common to all classes.
    precision : ndarray of shape (K + n_scores,)
        Precisions R of the prior.

    Returns
    -------
    means, coefficients : ndarray of shape (K, n_numbers), (n_scores, n_numbers)
        The solution.
    """
    K, q = first.shape
    if q == 0:
        return first, cross.sum(axis=0)
    if len(covariances) == 1:
        left = np.zeros((len(precision),) * 2)
        left[:K, :K] = np.diag(weight)
        left[:K, K:] = scores
        left[K:, :K] = scores.T
        left[K:, K:] = products.sum(axis=0)
        right = np.concatenate((first, cross.sum(axis=0)))
        beta = _common(left, right, covariances[0], precision)
    else:
        beta = _several(weight, scores, products, first, cross, covariances, precision)
    return beta[:K], beta[K:]


def _common(left: Array, right: Array, covariance: Array, precision: Array) -> Array:
    """Solution of left beta + diag(precision) beta covariance = right.

    In the eigenvectors of both matrices it is a division.
    """
    root = 1.0 / np.sqrt(precision)
    values, vectors = np.linalg.eigh(left * root[:, None] * root)
    variances, axes = np.linalg.eigh(covariance)
    turned = (vectors.T * root) @ right @ axes
    turned /= np.maximum(values, 0.0)[:, None] + variances
    out: Array = (root[:, None] * vectors) @ turned @ axes.T
    return out


def _several(
    weight: Array,
    scores: Array,
    products: Array,
    first: Array,
    cross: Array,
    covariances: Array,
    precision: Array,
) -> Array:
    """Solution of the normal equations, with one covariance for each class."""
    K, q = first.shape
    inverses = np.linalg.inv(covariances)
    inverses = 0.5 * (inverses + inverses.transpose(0, 2, 1))
    n = len(precision)
    left = np.zeros((n, q, n, q))
    right = np.zeros((n, q))
    scored = left[K:, :, K:, :].transpose(0, 2, 1, 3)
    for k, inverse in enumerate(inverses):
        left[k, :, k, :] = weight[k] * inverse
        left[k, :, K:, :] = np.einsum("a,ij->iaj", scores[k], inverse)
        left[K:, :, k, :] = np.einsum("a,ij->aij", scores[k], inverse)
        scored += products[k][:, :, None, None] * inverse
        right[k] = first[k] @ inverse
        right[K:] += cross[k] @ inverse
    matrix = left.reshape(n * q, n * q)
    matrix[np.diag_indices(n * q)] += np.repeat(precision, q)
    try:
        beta: Array = cho_solve(cho_factor(matrix, lower=True), right.ravel()).reshape(n, q)
    except LinAlgError:
        raise DegenerateModelError("the regression on the categories is singular") from None
    return beta
