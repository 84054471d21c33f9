"""From what a user gives to `HiddenMarkovEM` to what its model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers
from emlearn.hmm._model import Distribution

Array = NDArray[Any]

_SUM_TOLERANCE = 1e-6


def read_distribution(init: Any, prior: Any, shape: tuple[int, ...], name: str) -> Distribution:
    """Probabilities to start from, and their Dirichlet prior.

    Raises
    ------
    ValueError
        If the probabilities have another shape, or are negative, or a row does not sum to
        one; or if the concentration has another shape, or is below 1.
    """
    concentration = as_numbers(prior, f"{name}_prior")
    if concentration.shape not in ((), shape):
        raise ValueError(
            f"{name}_prior must be a number or an array of shape {shape}, got shape "
            f"{concentration.shape}."
        )
    if not (np.isfinite(concentration) & (concentration >= 1.0)).all():
        raise ValueError(
            f"{name}_prior must be >= 1, 1 being maximum likelihood: below 1 there is no mode."
        )
    excess = np.broadcast_to(concentration - 1.0, shape).copy()
    if init is None:
        return Distribution(None, excess)
    given = as_numbers(init, f"{name}_init")
    if given.shape != shape:
        raise ValueError(f"{name}_init must have shape {shape}, got {given.shape}.")
    if not (given >= 0.0).all():
        raise ValueError(f"{name}_init must be >= 0.")
    total = given.sum(axis=-1)
    if not (np.abs(total - 1.0) <= _SUM_TOLERANCE).all():
        raise ValueError(
            f"{name}_init must sum to 1"
            + (" in each row" if given.ndim == 2 else "")
            + f", got {np.round(total, 6)}."
        )
    return Distribution(given / total[..., None], excess)
