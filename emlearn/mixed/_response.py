"""The response of a mixed model: numbers, of which some may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from emlearn.data.values import to_floats
from emlearn.data.vectors import as_vector

Array = NDArray[Any]


def read_response(y: Any, n_samples: int, owner: str) -> NDArray[np.float64]:
    """A response as float64, with NaN where it is missing.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Numbers; NaN, None, pandas.NA and masked entries are missing.
    n_samples : int
        Number of rows of X.
    owner : str
        Name of the estimator, for messages.

    Returns
    -------
    response : ndarray of shape (n_samples,)
        A copy.

    Raises
    ------
    ValueError
        If it is None, has another length or shape, or has text, times, complex numbers,
        infinity, or missing values only.
    TypeError
        If an entry is some other object that is not a number.

    Warns
    -----
    DataConversionWarning
        If `y` is a column.
    """
    if y is None:
        raise ValueError(
            f"This {owner} estimator requires y to be passed, but the target y is None."
        )
    values = _as_vector(y)
    check_consistent_length(np.empty(n_samples), values)
    text = _is_text(values)
    if text.any():
        row = int(np.argmax(text))
        raise ValueError(
            f"y has text: {values[row]!r} in row {row}. A response is a number; where it is "
            "missing, it is NaN."
        )
    response = np.array(to_floats(values, "y", lambda row: f"y, row {row}"), np.float64)
    infinite = np.isinf(response)
    if infinite.any():
        raise ValueError(
            "Input y contains infinity or a value too large for dtype('float64'). The first is "
            f"in row {int(np.argmax(infinite))}. Where y is missing, it is NaN."
        )
    if np.isnan(response).all():
        raise ValueError(
            f"y has no values: all {n_samples} are missing. {owner} needs some to fit."
        )
    return response


def _as_vector(y: Any) -> Array:
    if isinstance(y, np.ma.MaskedArray):
        array = y.data.astype(object)
        array[np.ma.getmaskarray(y)] = None
    else:
        # As objects from the start: next to text, a number would become text.
        array = np.asarray(y, object if isinstance(y, (list, tuple)) else None)
    vector = as_vector(array)
    return vector.astype(object) if vector.dtype.kind in "UST" else vector


def _is_text(values: Array) -> NDArray[np.bool_]:
    if values.dtype.kind != "O":
        return np.zeros(len(values), bool)
    return np.array([isinstance(value, (str, bytes)) for value in values], bool)
