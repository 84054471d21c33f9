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
