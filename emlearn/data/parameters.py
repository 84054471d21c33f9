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


def check_proportions(
    given: Any, name: str, shape: tuple[int, ...] | None = None, *, tolerance: float = 1e-6
) -> Floats:
    """Numbers >= 0 that sum to one, or do in each row.

    Parameters
    ----------
    given : array-like
        The numbers.
    name : str
        Name of the parameter, for messages.
    shape : tuple of int, default=None
        Expected shape; None means a vector of any length but 0.
    tolerance : float, default=1e-6
        Largest deviation of a sum from one: users round.

    Returns
    -------
    proportions : ndarray of shape `shape`
        The numbers as float64.

    Raises
    ------
    ValueError
        If the shape is wrong, an entry is negative or not finite, or a sum is not one; names
        the parameter.
    """
    array = as_numbers(given, name)
    if shape is None:
        fits, expected = array.ndim == 1 and array.size > 0, "(n_components,)"
    else:
        fits, expected = array.shape == shape, str(shape)
    if not fits:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}.")
    if not (np.isfinite(array) & (array >= 0.0)).all():
        raise ValueError(f"{name} must be finite numbers >= 0.")
    total = array.sum(axis=-1)
    if not (np.abs(total - 1.0) <= tolerance).all():
        where = " in each row" if array.ndim == 2 else ""
        raise ValueError(f"{name} must sum to 1{where}, got {np.round(total, 6)}.")
    return array


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
