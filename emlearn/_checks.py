"""Checks of arrays that estimators of several packages share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from emlearn._compat import validate_data

Array = NDArray[Any]


def check_responsibilities(given: Any, shape: tuple[int, int]) -> Array:
    """Responsibilities as a float64 array of the shape expected.

    Raises
    ------
    ValueError
        If the shape differs, an entry is negative or not finite, or all are 0.
    """
    array = as_numbers(given, "init_params")
    if array.shape != shape:
        raise ValueError(
            f"The responsibilities of 'init_params' must have shape (n_samples, "
            f"n_components) = {shape}, got {array.shape}."
        )
    if not np.isfinite(array).all() or (array < 0.0).any():
        raise ValueError("The responsibilities of 'init_params' must be finite and >= 0.")
    if not array.any():
        raise ValueError("The responsibilities of 'init_params' must not all be 0.")
    return array


def as_numbers(given: Any, name: str) -> Array:
    """The value of a parameter as a float64 array.

    Raises
    ------
    ValueError
        If it is no array of numbers; names the parameter.
    """
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The parameter '{name}' must be an array of numbers: {error}") from None


def check_family_rows(estimator: BaseEstimator, X: Any, **settings: Any) -> Any:
    """Rows for a family: as `validate_data`, with NaN, and advice about strings.

    Raises
    ------
    ValueError
        If the rows are no numbers, or of another shape than in fit.
    """
    try:
        return validate_data(estimator, X, ensure_all_finite="allow-nan", **settings)
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(
            f"{error}. {type(estimator).__name__} takes numbers: let "
            "sklearn.preprocessing.OrdinalEncoder, as a step before it, make codes of strings."
        ) from None
