"""Limits of imputed values, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


class Bounds(NamedTuple):
    """Lowest and highest value of each column, of shape (n_features,)."""

    low: Array
    high: Array

    def clip(self, values: Floats, imputed: NDArray[np.bool_]) -> None:
        """Bring imputed values, in place, into the bounds; observed ones are not touched."""
        limited = np.clip(values, self.low, self.high)
        np.copyto(values, limited, where=imputed, casting="same_kind")

    def violated(self, values: Floats, imputed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows hold an imputed value outside the bounds."""
        outside = imputed & ((values < self.low) | (values > self.high))
        return np.asarray(outside.any(axis=1))


def read_bounds(bounds: Any, n_features: int, names: NDArray[Any] | None) -> Bounds | None:
    """Bounds from what the user gave.

    Raises
    ------
    ValueError
        If a column is unknown, a bound is no number, or the lower exceeds the upper one.
    """
    if bounds is None:
        return None
    low, high = np.full(n_features, -np.inf), np.full(n_features, np.inf)
    if isinstance(bounds, Mapping):
        for key, pair in bounds.items():
            index = _column(key, n_features, names)
            low[index], high[index] = _pair(pair, f"column {key!r}")
    else:
        lower, upper = _pair(bounds, "all columns")
        low[:], high[:] = _spread(lower, n_features), _spread(upper, n_features)
    wrong = np.flatnonzero(~(low < high))
    if wrong.size:
        i = int(wrong[0])
        label = repr(names[i]) if names is not None else i
        raise ValueError(
            f"bounds: the lower bound of column {label} ({low[i]:g}) must be below the upper "
            f"one ({high[i]:g})."
        )
    return Bounds(low, high)


def _column(key: Any, n_features: int, names: NDArray[Any] | None) -> int:
    if isinstance(key, str):
        if names is None or key not in names:
            raise ValueError(f"bounds: there is no column {key!r}.")
        return int(np.flatnonzero(names == key)[0])
    if not isinstance(key, (int, np.integer)) or not 0 <= key < n_features:
        raise ValueError(f"bounds: there is no column {key!r}; there are {n_features} columns.")
    return int(key)


def _pair(pair: Any, where: str) -> tuple[Any, Any]:
    try:
        low, high = pair
        low = -np.inf if low is None else np.asarray(low, dtype=np.float64)
        high = np.inf if high is None else np.asarray(high, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"bounds: for {where} a pair (low, high) is needed, each a number or None; "
            f"got {pair!r}."
        ) from None
    return low, high


def _spread(value: Any, n_features: int) -> Array:
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (n_features,))
    except ValueError:
        raise ValueError(
            f"bounds: one value for each of the {n_features} columns is needed; "
            f"got {np.shape(value)}."
        ) from None
