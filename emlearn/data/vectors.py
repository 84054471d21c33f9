"""The reader of vectors, such as labels and responses."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d

from emlearn._warnings import warn_user

Array = NDArray[Any]


def as_vector(array: Array) -> Array:
    """A vector, or a column with a warning; see `sklearn.utils.column_or_1d`."""
    if array.ndim == 2 and array.shape[1] == 1:
        warn_user(
            "A column-vector y was passed when a 1d array was expected. Please change the shape "
            "of y to (n_samples, ), for example using ravel().",
            DataConversionWarning,
        )
    vector: Array = column_or_1d(array)
    return vector
