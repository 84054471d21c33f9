"""Labels of rows that are known, and halves of rows: what mixtures and chains share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._contract import Array

#: Label of a row whose component or state is not known.
UNKNOWN = -1


def with_labels(responsibilities: Array, labels: Array) -> Array:
    """Responsibilities that agree with the labels known.

    If each component has rows that are known to be its own, it starts from those alone.
    """
    known = labels != UNKNOWN
    hot = labels == np.arange(len(responsibilities))[:, None]
    if hot.any(axis=1).all():
        return hot.astype(np.float64)
    return np.where(known, hot, responsibilities)


def in_upper_half(values: Array, weight: Array) -> NDArray[np.bool_]:
    """Which values are not below their weighted median."""
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    half = np.searchsorted(below, 0.5 * below[-1])
    upper: NDArray[np.bool_] = values >= values[order[min(half, len(order) - 1)]]
    return upper
