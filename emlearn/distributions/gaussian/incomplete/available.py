"""Moments of the available pairs of columns, for the start of EM and for the prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.patterns import RowBlock

Array = NDArray[np.float64]

_SMALLEST_EIGENVALUE = 1e-2


class AvailableMoments(NamedTuple):
    """Each entry from the rows where both of its columns are observed.

    Attributes
    ----------
    variance : ndarray of shape (n_features,)
        Variances about the center, in the units of the scaling.
    correlation : ndarray of shape (n_features, n_features)
        Correlations about the center; 0 where no row has both columns. It need not be
        positive definite.
    pair_weight : ndarray of shape (n_features, n_features)
        Sum of the weights of the rows with both columns.
    """

    variance: Array
    correlation: Array
    pair_weight: Array


def available_moments(blocks: Sequence[RowBlock], n_columns: int) -> AvailableMoments:
    """Variances, correlations and their weights from the available pairs."""
    product, count, square = (np.zeros((n_columns, n_columns)) for _ in range(3))
    for block in blocks:
        seen = (~block.missing).astype(np.float64)
        product += block.rows.T @ block.rows
        square += (block.rows * block.rows).T @ seen
        seen *= block.sqrt_weight[:, None]
        count += seen.T @ seen
    variance = np.diagonal(product) / np.maximum(np.diagonal(count), np.finfo(float).tiny)
    scale = np.sqrt(square * square.T)
    correlation = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0.0)
    np.clip(correlation, -1.0, 1.0, out=correlation)
    np.fill_diagonal(correlation, 1.0)
    return AvailableMoments(variance, correlation, count)


def start_covariance(
    available: AvailableMoments, shrinkage: float, rng: np.random.Generator
) -> Array:
    """Positive definite covariance near the available pairs, perturbed at random.

    The perturbation avoids saddle points, which EM cannot leave if the start is too symmetric.
    It is usually 2 % and sometimes much larger, so that several starts differ.

    Parameters
    ----------
    available : AvailableMoments
        From `available_moments`.
    shrinkage : float
        Shrinkage of the correlations towards 0, in [0, 1].
    rng : numpy.random.Generator
        Source of the perturbation.
    """
    d = available.variance.size
    size = 0.02 / (1.0 - 0.98 * rng.random())
    noise = rng.standard_normal((d + 2, d))
    noise /= np.sqrt((noise * noise).sum(axis=0))
    correlation = (1.0 - shrinkage) * available.correlation
    np.fill_diagonal(correlation, 1.0)
    correlation = (1.0 - size) * correlation + size * (noise.T @ noise)
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < _SMALLEST_EIGENVALUE:
        correlation = (vectors * np.maximum(values, _SMALLEST_EIGENVALUE)) @ vectors.T
        scale = np.sqrt(np.diagonal(correlation))
        correlation /= np.outer(scale, scale)
    deviation = np.sqrt(available.variance)
    covariance: Array = correlation * np.outer(deviation, deviation)
    return covariance
