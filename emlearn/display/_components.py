"""Gaussian components that estimators publish, and which of them rows belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data import input_names
from emlearn.display._columns import read_numbers
from emlearn.distributions import Family, Gaussian, Product
from emlearn.distributions.gaussian.structures import (
    STRUCTURES,
    CovarianceStructure,
    find_structure,
)
from emlearn.latent import Emissions

Array = NDArray[Any]


class Components(NamedTuple):
    """Means and covariances of all components.

    Attributes
    ----------
    means : ndarray of shape (n_components, n_features)
        Means; 0 for a feature that is not Gaussian.
    covariances : ndarray of shape (n_components, n_features, n_features)
        Covariances; 0 likewise.
    is_gaussian : ndarray of bool, of shape (n_features,)
        Whether the model describes a feature by a Gaussian.
    """

    means: Array
    covariances: Array
    is_gaussian: NDArray[np.bool_]

    @classmethod
    def of_parts(cls, n_features: int, parts: list[tuple[list[int], Array, Array]]) -> Components:
        """Components of independent groups of features."""
        n_components = len(parts[0][1])
        means = np.zeros((n_components, n_features))
        covariances = np.zeros((n_components, n_features, n_features))
        is_gaussian = np.zeros(n_features, bool)
        for columns, mean, covariance in parts:
            means[:, columns] = mean
            covariances[:, np.array(columns)[:, None], columns] = covariance
            is_gaussian[columns] = True
        return cls(means, covariances, is_gaussian)


def components_of(estimator: Any) -> Components:
    """Means and covariances that a fitted estimator publishes.

    Raises
    ------
    TypeError
        If it is no estimator with Gaussian components.
    ValueError
        If its family is not Gaussian.
    """
    for attributes, read in _READERS.items():
        if all(hasattr(estimator, name) for name in attributes):
            return read(estimator)
    raise TypeError(
        "MixtureDisplay draws a fitted GaussianMixtureEM, FiniteMixtureEM, HiddenMarkovEM or "
        "MissingDataImputerEM, or a Pipeline that ends with one; got "
        f"{type(estimator).__name__}."
    )


def most_probable(estimator: Any, table: Any, lengths: Any) -> NDArray[np.intp]:
    """The most probable component of each row of the table that the estimator takes."""
    if hasattr(estimator, "transmat_"):
        probability = estimator.predict_proba(table, lengths)
    elif lengths is not None:
        raise TypeError(
            f"lengths belong to a HiddenMarkovEM; {type(estimator).__name__} has no sequences."
        )
    elif hasattr(estimator, "predict_proba"):
        probability = estimator.predict_proba(table)
    else:
        probability = _log_joint_of_imputer(estimator, table)
    labels: NDArray[np.intp] = probability.argmax(axis=1)
    return labels


# ---- how each estimator publishes them -------------------------------------------------


def _of_family(estimator: Any) -> Components:
    n_features = estimator.n_features_in_
    public = estimator.component_params_
    parts = list(_gaussian_parts(estimator.family_, public, list(range(n_features))))
    if not parts:
        raise ValueError(
            f"MixtureDisplay draws Gaussian components; {estimator.family_!r} of this "
            f"{type(estimator).__name__} has no means and covariances."
        )
    return Components.of_parts(n_features, parts)


def _gaussian_parts(
    family: Family, public: Mapping[str, Any], columns: list[int]
) -> Iterator[tuple[list[int], Array, Array]]:
    if isinstance(family, Product):
        for (part, own), parameters in zip(family.parts, family.public_parts(public), strict=True):
            yield from _gaussian_parts(part, parameters, [columns[j] for j in own])
    if isinstance(family, Gaussian):
        # What is shared is published once for each component.
        structure = STRUCTURES["full"] if family.structure.is_shared else family.structure
        mean = np.asarray(public["mean"])
        yield columns, mean, _matrices(structure, np.asarray(public["covariance"]), *mean.shape)


def _of_mixture(estimator: Any) -> Components:
    means = estimator.means_
    structure = find_structure(estimator.covariance_type, getattr(estimator, "n_factors", None))
    covariances = _matrices(structure, estimator.covariances_, *means.shape)
    return Components(means, covariances, np.ones(means.shape[1], bool))


def _matrices(
    structure: CovarianceStructure, covariances: Array, n_components: int, n_features: int
) -> Array:
    return np.stack(
        [structure.published_matrix(covariances, k, n_features) for k in range(n_components)]
    )


def _of_imputer(estimator: Any) -> Components:
    part = (_columns_of_imputer(estimator), estimator.means_, estimator.covariances_)
    return Components.of_parts(estimator.n_features_in_, [part])


def _columns_of_imputer(estimator: Any) -> list[int]:
    """Which columns of its input an imputer describes: empty ones may be dropped."""
    names = list(input_names(estimator, None))
    kept = estimator.get_feature_names_out()[: estimator.means_.shape[1]]
    return [names.index(name) for name in kept]


def _log_joint_of_imputer(estimator: Any, table: Any) -> Array:
    # Constant columns, which tell nothing of components, would leave covariances singular.
    variances = np.diagonal(estimator.covariances_, axis1=1, axis2=2)
    varying = np.flatnonzero((variances > 0.0).all(axis=0))
    columns = np.array(_columns_of_imputer(estimator))[varying]
    rows = read_numbers(table, estimator.missing_values)[:, columns]
    log_weights = np.log(np.maximum(estimator.weights_, 1e-300))
    out = np.tile(log_weights, (len(rows), 1))
    if varying.size:
        public = {
            "mean": estimator.means_[:, varying],
            "covariance": estimator.covariances_[:, varying[:, None], varying],
        }
        emissions = Emissions.at(Gaussian(reg_covar=0.0), public, None, len(log_weights))
        emissions.map(rows, out, lambda joint: joint.T, log_weights)
    return out


# By the attributes that tell which of them an estimator is, the first that fits.
_READERS: dict[tuple[str, ...], Callable[[Any], Components]] = {
    ("family_", "component_params_"): _of_family,
    ("covariance_type", "means_", "covariances_"): _of_mixture,
    ("means_", "covariances_", "conditional_std"): _of_imputer,
}
