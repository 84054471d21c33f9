"""Names of columns, in messages and in outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def label(names: Any, index: int) -> str:
    """What messages call a column: its name, or its number if there are no names."""
    if names is None or index >= len(names):
        return f"column {index}"
    return f"column {names[index]!r}"


def at_start(own_label: str) -> str:
    """A label as the first word of a message."""
    return own_label[:1].upper() + own_label[1:]


def place_of(names: Any, column: int) -> Callable[[int], str]:
    """Function from a row to what messages call its entry in a column of X."""
    return lambda row: f"{label(names, column)} of X, row {row}"


def column_label(estimator: Any, index: int) -> str:
    """What messages call a column of the table that an estimator was fitted to."""
    return label(getattr(estimator, "feature_names_in_", None), index)


def input_names(estimator: Any, input_features: Any) -> NDArray[np.object_]:
    """Names of the columns of the input: those given, those of fit, or x0, x1, ...

    Raises
    ------
    ValueError
        If the given names differ from those of fit, or their number is wrong.
    """
    fitted = getattr(estimator, "feature_names_in_", None)
    n_features = estimator.n_features_in_
    if input_features is None:
        if fitted is not None:
            return np.asarray(fitted, dtype=object)
        return np.array([f"x{i}" for i in range(n_features)], dtype=object)
    names = np.asarray(input_features, dtype=object)
    if fitted is not None and not np.array_equal(fitted, names):
        raise ValueError("input_features is not equal to feature_names_in_")
    if names.shape != (n_features,):
        raise ValueError(
            "input_features should have length equal to number of features "
            f"({n_features}), got {len(names)}"
        )
    return names
