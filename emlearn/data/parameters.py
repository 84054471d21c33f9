"""Readers of parameters that are arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def as_numbers(given: Any, name: str) -> Floats:
    """The value of a parameter as a float64 array, contiguous as the kernels need it.

    Raises
    ------
    ValueError
        If it is not an array of real numbers; names the parameter.
    """
    try:
        array = np.asarray(given)
        if array.dtype.kind == "c":
            raise TypeError("it has complex numbers")
        if array.dtype.kind in "mM":
            raise TypeError("it has times")
        return np.require(array, np.float64, ["C", "A"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"The parameter '{name}' must be an array of numbers: {error}") from None


def check_responsibilities(given: Any, shape: tuple[int, int]) -> Floats:
    """Responsibilities as a float64 array of the expected shape.

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
