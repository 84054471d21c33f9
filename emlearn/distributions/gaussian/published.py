"""Means and matrices that a user sets: read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._published import read_parameter
from emlearn.distributions.gaussian.structures import CovarianceStructure

Array = NDArray[np.float64]

# What rounding may do to the symmetry of a matrix, relative to its diagonal.
_ASYMMETRY = 1e-6
# Forms of the covariances; of several the first rules.
_FORMS = ("precision_cholesky", "covariance", "precision")


class Published(NamedTuple):
    """Parameters in the units of the data; at least one of the matrices is there.

    Attributes
    ----------
    mean : ndarray of shape (n_components, n_features)
        Means.
    covariance : ndarray or None
        Covariances in the layout of the structure.
    precision_cholesky : ndarray or None
        Upper triangular P with ``inv(covariance) = P P'``; where both are there, this rules.
    own : ndarray or None
        Covariances in the form in which the structure holds them, from its parts.
    """

    mean: Array
    covariance: Array | None
    precision_cholesky: Array | None
    own: Array | None = None


def read_published(public: Mapping[str, ArrayLike], structure: CovarianceStructure) -> Published:
    """Read ``"mean"``, and one or several of the forms of the covariances.

    Raises
    ------
    ValueError
        If something is missing, has another shape, is not finite, or the matrices are not
        positive definite; names the parameter and the component.
    """
    mean = read_parameter(public, "mean", ("n_components", "n_features"))
    own = None
    if any(name in public for name in structure.part_names):
        own = structure.from_parts(public, (mean.shape[0], mean.shape[1]))
        public = {"covariance": structure.publish(own), **public}
    given = [form for form in _FORMS if form in public]
    if not given:
        raise ValueError(
            "The parameters of Gaussian components need 'covariance', 'precision' or "
            f"'precision_cholesky'; got {sorted(public)}."
        )
    found = {form: _read(public[form], form, structure, mean.shape) for form in given}
    rules = given[0]
    _check(rules, rules, found[rules], structure)
    covariance = found.get("covariance")
    if rules == "precision":
        covariance = structure.covariance_from_precision(found[rules], mean.shape[1])
    return Published(mean, covariance, found.get("precision_cholesky"), own)


def read_matrices(
    value: ArrayLike, form: str, structure: CovarianceStructure, size: tuple[int, ...], name: str
) -> Array:
    """Read one form of the covariances.

    Parameters
    ----------
    value : array-like
        Matrices in the layout of the structure.
    form : {"precision_cholesky", "covariance", "precision"}
        What they are.
    structure : CovarianceStructure
        The structure.
    size : tuple of int
        Number of components, number of features.
    name : str
        What errors call them.

    Raises
    ------
    ValueError
        If the shape is wrong, an entry is not finite, or a matrix is not positive definite.
    """
    array = _read(value, name, structure, size)
    _check(name, form, array, structure)
    return array


def _read(
    value: ArrayLike, name: str, structure: CovarianceStructure, size: tuple[int, ...]
) -> Array:
    """Matrices in the layout of the structure; a shared one may be there for each component."""
    shape = structure.shape(size[0], size[1])
    array = np.asarray(value, np.float64, order="C")
    if structure.is_shared and array.shape == (size[0], *shape):
        if (array != array[0]).any():
            raise ValueError(
                f"{name} must be the same for all components with covariance_type="
                f"{structure.name!r}."
            )
        array = array[0]
    if array.shape != shape:
        raise ValueError(
            f"{name} must have shape {shape} with covariance_type={structure.name!r}, got "
            f"{array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite.")
    return array


def _check(name: str, form: str, array: Array, structure: CovarianceStructure) -> None:
    stack = array[None] if structure.is_shared else array
    for k, values in enumerate(stack):
        of = name if structure.is_shared else f"{name} of component {k}"
        if structure.is_diagonal:
            if not (values > 0.0).all():
                raise ValueError(f"{of} is not positive.")
        elif form == "precision_cholesky":
            if np.tril(values, -1).any() or not (np.diagonal(values) > 0.0).all():
                raise ValueError(f"{of} is not upper triangular with a positive diagonal.")
        elif not _is_positive_definite(values):
            raise ValueError(f"{of} is not symmetric positive definite.")


def _is_positive_definite(matrix: Array) -> bool:
    diagonal = np.diagonal(matrix)
    if not (diagonal > 0.0).all():
        return False
    size = np.sqrt(diagonal)
    correlation = matrix / size[:, None] / size
    if not (np.abs(correlation - correlation.T) <= _ASYMMETRY).all():
        return False
    try:
        np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        return False
    return True
