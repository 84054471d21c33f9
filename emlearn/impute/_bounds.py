"""Limits of imputed values, column by column."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Index = NDArray[np.intp]


class Bounds(NamedTuple):
    """Lower and upper bound of each column, arrays of shape (n_features,)."""

    low: Array
    high: Array

    def take(self, columns: Index) -> Bounds:
        """Bounds of some of the columns."""
        return Bounds(self.low[columns], self.high[columns])

    def clip(self, values: Floats, imputed: NDArray[np.bool_]) -> None:
        """Clip imputed values to the bounds, in place; observed values do not change."""
        limited = np.clip(values, self.low, self.high)
        np.copyto(values, limited, where=imputed, casting="same_kind")

    def violated(self, values: Floats, imputed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows have an imputed value outside the bounds."""
        outside = imputed & ((values < self.low) | (values > self.high))
        return np.asarray(outside.any(axis=1))


def read_bounds(bounds: Any, n_features: int, names: NDArray[Any] | None) -> Bounds | None:
    """Bounds from a tuple (low, high), or from a dict of pairs by column.

    Raises
    ------
    ValueError
        If the format is different, a column is unknown, a bound is not a number, or a lower
        bound is not below its upper bound.
    """
    if bounds is None:
        return None
    if isinstance(bounds, Mapping):
        low, high = _by_column(bounds, n_features, names)
    elif isinstance(bounds, tuple):
        if len(bounds) != 2:
            raise ValueError(
                f"bounds: a tuple must be a pair (low, high); got {len(bounds)} entries. {_FORMS}"
            )
        low = _of_all_columns(bounds[0], -math.inf, "lower", n_features, names)
        high = _of_all_columns(bounds[1], math.inf, "upper", n_features, names)
    else:
        raise ValueError(
            f"bounds must be a tuple (low, high), a dict, or None; got {bounds!r}, which could "
            f"mean pairs by column or lower and upper bounds. {_FORMS}"
        )
    wrong = np.flatnonzero(~(low < high))
    if wrong.size:
        i = int(wrong[0])
        label = repr(names[i]) if names is not None else i
        raise ValueError(
            f"bounds: the lower bound of column {label} ({low[i]:g}) must be below the upper "
            f"one ({high[i]:g})."
        )
    return Bounds(low, high)


_FORMS = (
    "For a pair per column, write {0: (0, 100), 'age': (10, 200)}; for the same two bounds in all "
    "columns, (0, 100); for lower and upper bounds by column, ([0, 10], [100, 200])."
)


def _by_column(
    bounds: Mapping[Any, Any], n_features: int, names: NDArray[Any] | None
) -> tuple[Array, Array]:
    low, high = np.full(n_features, -np.inf), np.full(n_features, np.inf)
    given: dict[int, Any] = {}
    for key, pair in bounds.items():
        index = _column(key, n_features, names)
        if index in given:
            raise ValueError(f"bounds: {given[index]!r} and {key!r} are the same column.")
        given[index] = key
        if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
            raise ValueError(
                f"bounds: column {key!r} needs a pair (low, high), each a number or None; "
                f"got {pair!r}."
            )
        low[index] = _number(pair[0], -math.inf, f"of column {key!r}")
        high[index] = _number(pair[1], math.inf, f"of column {key!r}")
    return low, high


def _column(key: Any, n_features: int, names: NDArray[Any] | None) -> int:
    if isinstance(key, str):
        if names is None or key not in names:
            known = (
                "the columns have no names" if names is None else f"the columns are {list(names)}"
            )
            raise ValueError(f"bounds: there is no column {key!r}; {known}.")
        return int(np.flatnonzero(names == key)[0])
    number = isinstance(key, numbers.Integral) and not isinstance(key, bool)
    if not number or not 0 <= key < n_features:
        raise ValueError(f"bounds: there is no column {key!r}; there are {n_features} columns.")
    return int(key)


def _of_all_columns(
    value: Any, absent: float, which: str, n_features: int, names: NDArray[Any] | None
) -> Array:
    """One of the two entries of a tuple: a number, None, or one of these for each column."""
    if hasattr(value, "loc") and hasattr(value, "index"):
        value = _in_order(value, which, n_features, names)
    elif isinstance(value, tuple):
        raise ValueError(
            f"bounds: the {which} bounds are the tuple {value!r}, which could be the pair of a "
            f"single column. {_FORMS}"
        )
    if value is None or np.ndim(value) == 0:
        return np.full(n_features, _number(value, absent, f"({which})"))
    if np.ndim(value) != 1 or len(value) != n_features:
        raise ValueError(
            f"bounds: one {which} bound for each of the {n_features} columns is required; got "
            f"shape {np.shape(value)}."
        )
    return np.array(
        [_number(entry, absent, f"({which}) of column {i}") for i, entry in enumerate(value)]
    )


def _in_order(value: Any, which: str, n_features: int, names: NDArray[Any] | None) -> list[Any]:
    """Entries of a Series, whose labels are the columns, in the order of the columns."""
    labels = list(range(n_features)) if names is None else list(names)
    given = list(value.index)
    if len(given) != len(labels) or set(given) != set(labels):
        raise ValueError(
            f"bounds: the labels of the {which} bounds must be the columns {labels}; got {given}."
        )
    return [value.loc[label] for label in labels]


def _number(value: Any, absent: float, where: str) -> float:
    if value is None:
        return absent
    try:
        if isinstance(value, str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"bounds: the bound {where} must be a number or None; got {value!r}.")
    return number
