"""Components whose width is that of the prior: what EM finds where rows lie on a plane."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.structures import CovarianceFactor, CovarianceStructure

Array = NDArray[np.float64]

# Variance of a component, in units of what the prior alone would give it, below which the prior
# holds it up: it is more than half of the variance.
_HELD = 2.0
# The same ratio for all rows together, above which a direction says something about the rows:
# constant columns, and exact relations between columns, do not.
_SPREAD = 100.0
_EPS = float(np.finfo(np.float64).eps)


class Gaussians(Protocol):
    """Parameters of the components."""

    @property
    def mean(self) -> Array:
        """Means."""

    @property
    def covariance(self) -> Array:
        """Covariances."""

    @property
    def factor(self) -> CovarianceFactor:
        """Their factorization."""


def held_up(
    structure: CovarianceStructure, weight: Array, params: Gaussians, prior: CovariancePrior
) -> NDArray[np.bool_]:
    """Which components the prior holds up in a direction in which all rows together vary.

    Parameters
    ----------
    structure : CovarianceStructure
        Structure of the covariances.
    weight : ndarray of shape (n_components,)
        Rows of each component.
    params : Gaussians
        Means and covariances, in the coordinates of the prior.
    prior : CovariancePrior
        Prior of the covariances.
    """
    K, d = params.mean.shape
    held = np.zeros(K, bool)
    filled = np.flatnonzero(weight > 0.0)
    alone = prior.alone(structure, np.where(weight > 0.0, weight, 1.0))
    if alone is None or not filled.size:
        return held
    fraction = weight / weight.sum()
    offset = params.mean - fraction @ params.mean
    if structure.is_diagonal:
        own = 1.0 / params.factor.precision_diagonal
        least = alone.reshape(K, -1)
        total = fraction @ (own + np.square(offset))
        held[filled] = ((own < _HELD * least) & (total > _SPREAD * least)).any(axis=1)[filled]
        return held
    own = np.stack([structure.matrix(params.covariance, k, d) for k in range(K)])
    least = np.stack([structure.matrix(alone, k, d) for k in range(K)])
    precision_cholesky = structure.kernel_cholesky(params.factor, (K, d))
    # Only where the trace of a ratio is large can one of its directions be.
    traces = np.einsum("kji,kji->k", precision_cholesky, least @ precision_cholesky)
    doubtful = [k for k in filled if traces[k] > 1.0 / _HELD]
    if doubtful:
        total = np.tensordot(fraction, own, axes=1) + (offset.T * fraction) @ offset
        axes = _axes(total)
        for k in doubtful:
            held[k] = _is_held(own[k], least[k], axes)
    return held


def _axes(total: Array) -> Array:
    """Directions in which rows of this covariance have unit variance and are uncorrelated."""
    values, vectors = np.linalg.eigh(total)
    known = values > len(values) * _EPS * values[-1]
    axes: Array = vectors[:, known] / np.sqrt(values[known])
    return axes


def _is_held(own: Array, least: Array, axes: Array) -> bool:
    ratio, turn = np.linalg.eigh(axes.T @ least @ axes)
    told = ratio * _SPREAD < 1.0
    if not told.any():
        return False
    # In these directions the prior alone has unit variance.
    directions = axes @ (turn[:, told] / np.sqrt(np.maximum(ratio[told], _EPS**2)))
    return bool(np.linalg.eigvalsh(directions.T @ own @ directions)[0] < _HELD)
