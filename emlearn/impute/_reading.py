"""Reading tables with missing entries: everything becomes an array with NaN."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn._compat import InvalidParameterError, validate_data

Floats = NDArray[np.floating]


def is_nan(value: Any) -> bool:
    """Whether a value is a floating-point NaN."""
    return isinstance(value, numbers.Real) and math.isnan(value)


def is_na(value: Any) -> bool:
    """Whether a value is pandas.NA."""
    # Looked up by name, since pandas may not be installed.
    return type(value).__name__ == "NAType"


def check_marker(missing_values: Any, owner: str) -> None:
    """Refuse a `missing_values` that is neither a number, NaN nor pandas.NA."""
    number = isinstance(missing_values, numbers.Real) and not isinstance(missing_values, bool)
    if not (number or is_na(missing_values)):
        raise InvalidParameterError(
            f"The 'missing_values' parameter of {owner} must be a number, NaN or pandas.NA. "
            f"Got {missing_values!r} instead."
        )


def read_table(estimator: Any, X: Any, *, reset: bool) -> Floats:
    """Numeric array of a table, NaN where an entry is missing; never the caller's memory.

    Raises
    ------
    ValueError
        If an entry is text or infinite, or NaN while `missing_values` is a number; the
        column is named. If names or number of columns differ from those in fit.
    """
    array = _validated(estimator, _plain(X), reset)
    array = array.copy(order="C")
    _refuse_infinite(estimator, array)
    marker = estimator.missing_values
    if isinstance(marker, numbers.Real) and not is_nan(marker):
        _refuse_nan(estimator, array, marker)
        array[array == array.dtype.type(float(marker))] = np.nan
    return array


def column_label(estimator: Any, index: int) -> str:
    """How messages call a column: its name, or its number."""
    names = getattr(estimator, "feature_names_in_", None)
    return f"column {index}" if names is None else f"column {names[index]!r}"


def input_names(estimator: Any, input_features: Any) -> NDArray[np.object_]:
    """Names of the columns of the input: those given, those of fit, or x0, x1, ...

    Raises
    ------
    ValueError
        If the names given are not those of fit, or of another number.
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


def _plain(X: Any) -> Any:
    """Replace None and pandas.NA, which are no numbers, in tables of objects."""
    if hasattr(X, "iloc") and hasattr(X, "dtypes"):
        objects = [name for name, kind in X.dtypes.items() if kind.kind == "O"]
        if objects:
            X = X.copy()
            X[objects] = X[objects].astype(object).mask(X[objects].isna(), np.nan)
        return X
    if isinstance(X, np.ndarray) and X.dtype == object:
        return _without_none(X)
    if isinstance(X, (list, tuple)):
        try:
            table = np.array(X, dtype=object)
        except ValueError:
            return X
        absent = [value is None or is_na(value) for value in table.flat]
        return _without_none(table) if any(absent) else X
    return X


def _without_none(table: NDArray[Any]) -> NDArray[Any]:
    absent = np.array([v is None or is_na(v) for v in table.flat], dtype=bool)
    table = table.copy()
    table[absent.reshape(table.shape)] = np.nan
    return table


def _validated(estimator: Any, X: Any, reset: bool) -> Floats:
    try:
        array: Floats = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=(np.float64, np.float32),
            ensure_all_finite=False,
        )
    except (ValueError, TypeError) as error:
        culprit = _text_column(X)
        if culprit is None:
            raise
        raise type(error)(f"{error}. {culprit} holds values that are not numbers.") from error
    return array


def _text_column(X: Any) -> str | None:
    """Name of the first column of a table that does not convert to numbers."""
    if hasattr(X, "columns") and hasattr(X, "__getitem__"):
        columns = [(f"Column {name!r}", X[name]) for name in X.columns]
    else:
        table = np.asarray(X, dtype=object)
        if table.ndim != 2:
            return None
        columns = [(f"Column {i}", column) for i, column in enumerate(table.T)]
    for label, column in columns:
        try:
            np.asarray(column).astype(np.float64)
        except (ValueError, TypeError):
            return label
    return None


def _refuse_infinite(estimator: Any, array: Floats) -> None:
    if np.isfinite(array.sum(dtype=np.float64)):
        return
    infinite = np.isinf(array)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise ValueError(
            f"Input X contains infinity or a value too large for {array.dtype!r}: "
            f"{column_label(estimator, int(column))}, row {row}."
        )


def _refuse_nan(estimator: Any, array: Floats, marker: Any) -> None:
    nan = np.isnan(array)
    if nan.any():
        row, column = np.argwhere(nan)[0]
        raise ValueError(
            f"Input X contains NaN in {column_label(estimator, int(column))}, row {row}, but "
            f"missing_values={marker!r}. Replace one by the other, or set missing_values=np.nan."
        )
