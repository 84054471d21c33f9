"""The columns of a table: their names, those to draw, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from emlearn.data import read_table

Array = NDArray[Any]


class Display(BaseEstimator):
    """Reads tables that no estimator has been fitted to; its name is in messages."""


def read_numbers(X: Any, missing_values: Any = np.nan) -> Array:
    """Numbers of a table; see `emlearn.data.read_table`."""
    dense = X.toarray() if hasattr(X, "toarray") else X
    table: Array = read_table(Display(), dense, reset=True, missing_values=missing_values)
    return table.astype(np.float64, copy=False)


def column_names(X: Any, estimator: Any, n_columns: int) -> list[Any]:
    """Names of the columns: those of a frame, those of fit, or "feature 0", ..."""
    names = getattr(X, "columns", None)
    if names is None:
        names = getattr(estimator, "feature_names_in_", None)
    if names is None or len(names) != n_columns:
        return [f"feature {j}" for j in range(n_columns)]
    return list(names)


def find_columns(features: Any, names: Sequence[Any]) -> list[int]:
    """Positions of the one or two features to draw.

    Parameters
    ----------
    features : int, str, sequence of one or two of these, or None
        What the user asks for; None is the first two, or the only one.
    names : sequence of str
        Names of all columns.

    Raises
    ------
    TypeError
        If a feature is neither a name nor a position.
    ValueError
        If there is no such column, or the number of features is not one or two.
    """
    if features is None:
        return list(range(min(len(names), 2)))
    chosen = [features] if isinstance(features, str) or np.ndim(features) == 0 else list(features)
    positions = [_position(feature, names) for feature in chosen]
    if len(positions) not in (1, 2) or len(set(positions)) < len(positions):
        raise ValueError(
            "features must be one column or two different ones, by name or position; got "
            f"{features!r}."
        )
    return positions


def _position(feature: Any, names: Sequence[Any]) -> int:
    if isinstance(feature, str):
        if feature not in names:
            raise ValueError(
                f"X has no feature named {feature!r}; its features are: "
                f"{', '.join(map(str, names))}."
            )
        return list(names).index(feature)
    if not isinstance(feature, (int, np.integer)) or isinstance(feature, bool):
        raise TypeError(
            f"features must be names (str) or positions (int) of columns; got {feature!r}."
        )
    if not -len(names) <= feature < len(names):
        raise ValueError(f"X has {len(names)} features and no feature at position {feature}.")
    return int(feature) % len(names)
