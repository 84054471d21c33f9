"""The private or version-dependent names of scikit-learn that the package uses.

No other module imports them.
"""

from __future__ import annotations

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import validate_data

__all__ = [
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "Options",
    "StrOptions",
    "validate_data",
    "validate_parameter_constraints",
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
