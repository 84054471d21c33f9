"""The private or version-dependent names of scikit-learn that the package uses.

No other module imports them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import validate_data

Method = TypeVar("Method", bound=Callable[..., Any])

try:  # scikit-learn 1.9
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback import with_callbacks as _with_callbacks
except ImportError:
    _with_callbacks = None

    class CallbackSupportMixin:  # type: ignore[no-redef]  # in one of two branches
        """Stands in where scikit-learn has no callbacks."""


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "Options",
    "StrOptions",
    "output_is_frame",
    "validate_data",
    "validate_parameter_constraints",
    "validate_params",
    "with_callbacks",
]


def with_callbacks(method: Method) -> Method:
    """Let scikit-learn's callbacks clean up after a method, whether it fails or not."""
    if _with_callbacks is None:
        return method
    managed: Method = _with_callbacks(method)
    return managed


def output_is_frame(transformer: BaseEstimator) -> bool:
    """Whether `set_output` asks the transformer for a DataFrame."""
    return bool(_get_output_config("transform", transformer)["dense"] != "default")


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
