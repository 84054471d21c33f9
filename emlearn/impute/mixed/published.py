"""What users see of a fitted model of numbers and categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emlearn.impute.mixed.candidates import FittedCandidate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClassesModel:
    """A general location model with latent classes; its arrays are read-only.

    Attributes
    ----------
    n_components : int
        Number of latent classes.
    covariance : {"tied", "full"}
        Whether the classes share a covariance.
    margins : {"raw", "power"}
        Whether the numbers are as they are, or transformed. Then means, coefficients and
        covariances are those of the standardized Yeo-Johnson transforms.
    columns : tuple
        Names (or positions) of the columns of numbers, in the order of the arrays.
    weights : ndarray of shape (n_components,)
        Weights of the classes.
    means : ndarray of shape (n_components, n_numbers)
        Means of the numbers in each class, at the average of the categories.
    coefficients : dict of ndarray of shape (n_levels, n_numbers)
        For each category, what its levels add to the means.
    probabilities : dict of ndarray of shape (n_components, n_levels)
        For each category, the probabilities of its levels in each class.
    levels : dict of tuple
        For each category, the levels with observed rows.
    covariances : ndarray of shape (1 or n_components, n_numbers, n_numbers)
        Covariances of the numbers, given class and categories.
    log_likelihood : float
        Log-likelihood of the rows.
    bic : float
        -2 log-likelihood + number of parameters times log of the weight of the rows.
    n_iter : int
        Number of iterations of EM.
    converged : bool
        Whether they converged.
    """

    n_components: int
    covariance: Literal["tied", "full"]
    margins: Literal["raw", "power"]
    columns: tuple[Any, ...]
    weights: Array
    means: Array
    coefficients: dict[Any, Array]
    probabilities: dict[Any, Array]
    levels: dict[Any, tuple[Any, ...]]
    covariances: Array
    log_likelihood: float
    bic: float
    n_iter: int
    converged: bool


def published(
    fit: FittedCandidate, keys: NDArray[Any], levels: list[tuple[Any, ...] | None]
) -> ClassesModel:
    """The published form of a fit; `keys` and `levels` are those of its columns."""
    params, columns = fit.params, fit.params.columns
    linear = fit.candidate.margins == "raw"
    center, scale = np.zeros(len(columns.numeric)), np.ones(len(columns.numeric))
    if linear:
        center = np.array([margin.center for margin in columns.margins])
        scale = np.array([margin.scale for margin in columns.margins])
    effects = columns.design @ params.coefficients * scale
    categories = [keys[j] for j in columns.categorical]
    split = np.split(effects, columns.offsets[1:-1]) if categories else []
    values = []
    for j, own in zip(columns.categorical, columns.levels, strict=True):
        given = levels[j]
        values.append(tuple(own if given is None else (given[i] for i in own)))
    return ClassesModel(
        fit.candidate.n_classes,
        fit.candidate.covariance,
        fit.candidate.margins,
        tuple(keys[columns.numeric].tolist()),
        _fixed(params.weights),
        _fixed(params.means * scale + center),
        {name: _fixed(part) for name, part in zip(categories, split, strict=True)},
        {
            name: _fixed(part)
            for name, part in zip(categories, columns.parts(params.probabilities), strict=True)
        },
        dict(zip(categories, values, strict=True)),
        _fixed(params.covariances * scale[:, None] * scale),
        fit.log_likelihood,
        fit.bic,
        fit.result.n_iter,
        fit.result.converged,
    )


def candidate_table(fits: list[FittedCandidate]) -> dict[str, NDArray[Any]]:
    """A column for each property of the models, for `pandas.DataFrame`."""
    share = 1.0 / max(1, len(fits))
    return {
        "n_components": np.array([fit.candidate.n_classes for fit in fits]),
        "covariance": np.array([fit.candidate.covariance for fit in fits]),
        "margins": np.array([fit.candidate.margins for fit in fits]),
        "weight": np.full(len(fits), share),
        "log_likelihood": np.array([fit.log_likelihood for fit in fits]),
        "bic": np.array([fit.bic for fit in fits]),
        "n_iter": np.array([fit.result.n_iter for fit in fits]),
        "converged": np.array([fit.result.converged for fit in fits]),
    }


def _fixed(array: Array) -> Array:
    out = np.array(array)
    out.setflags(write=False)
    return out
