"""Covariances, precisions and their factors: the one that is set determines the others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions.gaussian.published import read_matrices
from emlearn.distributions.gaussian.structures import CovarianceStructure
from emlearn.engine import DegenerateModelError

Array = NDArray[Any]

_FORMS = {
    "covariances_": "covariance",
    "precisions_": "precision",
    "precisions_cholesky_": "precision_cholesky",
}


class Matrices(NamedTuple):
    """Three forms of the covariances, in one layout, and what they are made of.

    Attributes
    ----------
    covariances, precisions, precisions_cholesky : ndarray
        The forms.
    parts : tuple of ndarray, default=()
        The parts that the structure publishes; see `CovarianceStructure.part_names`.
    """

    covariances: Array
    precisions: Array
    precisions_cholesky: Array
    parts: tuple[Array, ...] = ()

    def taken(self, order: Array) -> Matrices:
        """Those of some of the components."""
        covariances, precisions, cholesky = (own[order] for own in self[:3])
        parts = tuple(own[order] for own in self.parts)
        return Matrices(covariances, precisions, cholesky, parts)


def frozen(matrices: Matrices) -> Matrices:
    """Make the arrays read-only: a change in one would not reach the others."""
    for array in (*matrices[:3], *matrices.parts):
        array.flags.writeable = False
    return matrices


def complete_matrices(
    name: str, value: ArrayLike, structure: CovarianceStructure, shape: tuple[int, ...]
) -> Matrices:
    """All three forms from one of them.

    Parameters
    ----------
    name : {"covariances_", "precisions_", "precisions_cholesky_"}
        The form that is given.
    value : array-like
        Its value.
    structure : CovarianceStructure
        The structure of the covariances.
    shape : tuple of int
        Number of components, number of features.

    Raises
    ------
    ValueError
        If the shape is wrong, or the matrices are not symmetric and positive definite.
    """
    n_features = shape[1]
    given = np.array(read_matrices(value, _FORMS[name], structure, shape, name))
    covariances, precisions, cholesky = given, given, given
    if name == "precisions_cholesky_":
        precisions = structure.precision(cholesky)
    if name != "covariances_":
        try:
            covariances = structure.covariance_from_precision(precisions, n_features)
        except ValueError as error:
            raise ValueError(str(error).replace("precisions_init", name)) from None
    own = structure.adopt(covariances)
    if name != "precisions_cholesky_":
        try:
            cholesky = structure.factor_published(covariances, n_features).precision_cholesky
        except DegenerateModelError:
            raise ValueError(f"{name} must be positive definite.") from None
    if name == "covariances_":
        precisions = structure.precision(cholesky)
    parts = tuple(structure.parts(own).values())
    return frozen(Matrices(covariances, precisions, cholesky, parts))
