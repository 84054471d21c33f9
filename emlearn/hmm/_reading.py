"""Reading of the probabilities that a user passes to `HiddenMarkovEM`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers, check_proportions
from emlearn.latent import Probabilities

Array = NDArray[Any]


def chain_probabilities(init: Any, alpha: Any, shape: tuple[int, ...], name: str) -> Probabilities:
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
    given = check_proportions(init, f"{name}_init", shape)
    return Probabilities(given / given.sum(axis=-1)[..., None], pseudocounts)
