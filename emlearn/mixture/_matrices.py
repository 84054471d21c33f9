"""Covariances, precisions and their factors: one of them rules, the others follow."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions.gaussian.structures import CovarianceStructure
from emlearn.engine import DegenerateModelError

Array = NDArray[Any]


class Matrices(NamedTuple):
    """Three forms of the covariances, in one layout."""

    covariances: Array
    precisions: Array
    precisions_cholesky: Array


def frozen(matrices: Matrices) -> Matrices:
    """The arrays, not to be written to: a change of one would not reach the others."""
    for array in matrices:
        array.flags.writeable = False
    return matrices


def matrices_from(
    name: str, value: ArrayLike, structure: CovarianceStructure, shape: tuple[int, ...]
) -> Matrices:
    """All three forms from the one of a name.

    Raises
    ------
    ValueError
        If the shape is wrong, or the matrices are not symmetric and positive definite.
    """
    array = np.array(value, np.float64)
    n_components, n_features = shape
    expected = structure.shape(n_components, n_features)
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite.")
    if name == "precisions_cholesky_":
        return frozen(_from_cholesky(name, array, structure, n_features))
    if name == "precisions_":
        try:
            covariances = structure.covariance_from_precision(array, n_features)
        except ValueError as error:
            raise ValueError(str(error).replace("precisions_init", name)) from None
        root = structure.factor(covariances, n_features, 0.0).precision_cholesky
        return frozen(Matrices(covariances, array, root))
    if array.ndim > 1 and not structure.is_diagonal:
        size = np.sqrt(np.abs(np.einsum("...ii->...i", array)))
        gap = np.abs(array - np.swapaxes(array, -1, -2))
        if not (gap <= 1e-6 * size[..., :, None] * size[..., None, :]).all():
            raise ValueError(f"{name} must be symmetric.")
    try:
        root = structure.factor(array, n_features, 0.0).precision_cholesky
    except DegenerateModelError:
        raise ValueError(f"{name} must be positive definite.") from None
    return frozen(Matrices(array, structure.precision(root), root))


def _from_cholesky(
    name: str, array: Array, structure: CovarianceStructure, n_features: int
) -> Matrices:
    pivots = array if structure.is_diagonal else np.einsum("...ii->...i", array)
    lower = 0.0 if structure.is_diagonal else np.abs(np.tril(array, -1)).max(initial=0.0)
    if lower > 0.0 or not (pivots > 0.0).all():
        raise ValueError(f"{name} must be upper triangular with a positive diagonal.")
    precisions = structure.precision(array)
    covariances = structure.covariance_from_precision(precisions, n_features)
    return Matrices(covariances, precisions, array)
