"""Parameters that a user sets: read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

# Published probabilities may be rounded, as those of a user are.
_SUM_TOLERANCE = 1e-6


def read_parameter(public: Mapping[str, ArrayLike], name: str, ndim: int) -> Array:
    """A published parameter as a finite float64 array.

    Raises
    ------
    ValueError
        If it is missing, has another number of dimensions, or an entry is not finite.
    """
    array = _numbers(public, name)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite.")
    return array


def shape_of_parameter(public: Mapping[str, ArrayLike], name: str) -> tuple[int, int]:
    """The first two axes of a published parameter: components and features.

    Raises
    ------
    ValueError
        If it is missing, or has less than two dimensions.
    """
    shape = _numbers(public, name).shape
    if len(shape) < 2:
        raise ValueError(f"{name} must have shape (n_components, n_features, ...), got {shape}.")
    return shape[0], shape[1]


def _numbers(public: Mapping[str, ArrayLike], name: str) -> Array:
    if name not in public:
        raise ValueError(
            f"The parameters of the components need {name!r}; got {sorted(map(str, public))}."
        )
    try:
        return np.asarray(public[name], np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None


def read_probabilities(public: Mapping[str, ArrayLike], name: str, ndim: int) -> Array:
    """Published probabilities, normalized along the last axis.

    Raises
    ------
    ValueError
        If one is negative, or they do not sum to one; names the component.
    """
    array = read_parameter(public, name, ndim)
    negative = np.argwhere(array < 0.0)
    if len(negative):
        raise ValueError(f"{name} of component {negative[0, 0]} has a negative entry.")
    total = array.sum(axis=-1, keepdims=True)
    wrong = np.argwhere(np.abs(total - 1.0) > _SUM_TOLERANCE)
    if len(wrong):
        raise ValueError(
            f"{name} of component {wrong[0, 0]} sums to {total[tuple(wrong[0])]:.6g}, not to 1."
        )
    return array / total
