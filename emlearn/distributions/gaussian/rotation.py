"""Rotation of the factors, which the likelihood leaves free."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def rotated_to(loadings: Array, reference: Array) -> Array:
    """Loadings (..., n_features, n_factors) turned as close as possible to those of another fit.

    References
    ----------
    P. H. Schönemann (1966). "A generalized solution of the orthogonal Procrustes problem".
    Psychometrika 31(1), 1-10.
    """
    left, _, right = np.linalg.svd(np.swapaxes(loadings, -1, -2) @ reference)
    turned: Array = loadings @ (left @ right)
    return turned


def canonical(loadings: Array, noise: Array) -> Array:
    """Loadings (..., n_features, n_factors) of the factors that are uncorrelated given a row.

    The factor that explains most is first, and the standardized loadings of each have a positive
    sum. So the same covariances have the same loadings, whatever led to them.
    """
    deviation = np.sqrt(np.where(noise > 0.0, noise, 1.0))[..., None]
    # More factors than columns have axes that no column loads on.
    more = loadings.shape[-1] > loadings.shape[-2]
    right = np.linalg.svd(loadings / deviation, full_matrices=more)[2]
    turned: Array = loadings @ np.swapaxes(right, -1, -2)
    variance = np.square(turned).sum(axis=-1) + noise
    standardized = turned / np.sqrt(np.where(variance > 0.0, variance, 1.0))[..., None]
    turned = turned * signs(standardized)[..., None, :]
    return turned


def signs(loadings: Array) -> Array:
    """1 or -1 for each factor, so that its sum is positive, or its largest entry if that is 0."""
    total, size = loadings.sum(axis=-2), np.abs(loadings)
    place = size.argmax(axis=-2)[..., None, :]
    largest = np.take_along_axis(loadings, place, axis=-2)[..., 0, :]
    decisive = np.abs(total) > 1e-8 * size.sum(axis=-2)
    return np.where(np.where(decisive, total, largest) < 0.0, -1.0, 1.0)
