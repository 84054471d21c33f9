"""Reading of the probabilities that a user passes to `HiddenMarkovEM`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers
from emlearn.latent import Probabilities

Array = NDArray[Any]

_SUM_TOLERANCE = 1e-6


def read_probabilities(init: Any, alpha: Any, shape: tuple[int, ...], name: str) -> Probabilities:
    """Starting probabilities and their Dirichlet prior.

    Raises
    ------
    ValueError
        If the probabilities have the wrong shape, are negative, or do not sum to one in a
        row, or if the pseudo-counts have the wrong shape or are negative.
    """
    pseudocounts = as_numbers(alpha, f"{name}_alpha")
    if pseudocounts.shape not in ((), shape):
        raise ValueError(
            f"{name}_alpha must be a number or an array of shape {shape}, got shape "
            f"{pseudocounts.shape}."
        )
    if not (np.isfinite(pseudocounts) & (pseudocounts >= 0.0)).all():
        raise ValueError(f"{name}_alpha must be >= 0; 0 is maximum likelihood.")
    pseudocounts = np.broadcast_to(pseudocounts, shape).copy()
    if init is None:
        return Probabilities(None, pseudocounts)
    given = check_probabilities(init, shape, f"{name}_init")
    return Probabilities(given / given.sum(axis=-1)[..., None], pseudocounts)


def check_probabilities(given: Any, shape: tuple[int, ...], name: str) -> Array:
    """Read probabilities and check that each row sums to one.

    Raises
    ------
    ValueError
        If the shape is wrong, an entry is negative or not finite, or a row does not sum to
        one.
    """
    array = as_numbers(given, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
    if not (array >= 0.0).all():
        raise ValueError(f"{name} must be >= 0.")
    total = array.sum(axis=-1)
    if not (np.abs(total - 1.0) <= _SUM_TOLERANCE).all():
        raise ValueError(
            f"{name} must sum to 1"
            + (" in each row" if array.ndim == 2 else "")
            + f", got {np.round(total, 6)}."
        )
    return array
