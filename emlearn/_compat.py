"""The private or version-dependent names of scikit-learn that the package uses.

No other module imports them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_sample_weight, validate_data

__all__ = [
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "Options",
    "StrOptions",
    "check_sample_weight",
    "validate_data",
    "validate_params",
]


def validate_params(estimator: BaseEstimator) -> None:
    """Check the hyperparameters of an estimator against its `_parameter_constraints`.

    Raises
    ------
    InvalidParameterError
        A ValueError that names the parameter and the values allowed.
    """
    validate_parameter_constraints(
        estimator._parameter_constraints,
        estimator.get_params(deep=False),
        caller_name=type(estimator).__name__,
    )


def check_sample_weight(sample_weight: Any, X: NDArray[Any]) -> NDArray[np.float64] | None:
    """Weights as a float64 vector of the length of X, or None where none were given.

    Raises
    ------
    ValueError
        If the length differs from that of X, or a weight is negative, NaN or infinite,
        or all of them are zero.
    """
    if sample_weight is None:
        return None
    weight: NDArray[np.float64] = _check_sample_weight(sample_weight, X, dtype=np.float64)
    negative = np.flatnonzero(weight < 0.0)
    if negative.size:
        row = int(negative[0])
        raise ValueError(
            f"Negative values in data passed to `sample_weight`: row {row} has weight "
            f"{weight[row]}. A weight w means w copies of the row, so it must be >= 0."
        )
    if not weight.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number: all rows have weight 0."
        )
    return weight
