"""From nested lists, and anything else that numpy reads, to a two-dimensional array."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.blocks.contract import is_row_blocks

Array = NDArray[Any]


def as_matrix(X: Any, sequences: bool) -> Array:
    """Two-dimensional array of any dtype, with the mask of X if there is one.

    Raises
    ------
    ValueError
        If X cannot be read as an array, or is not two-dimensional. With `sequences`, the
        message explains `lengths` if X is a list of several sequences.
    """
    if is_row_blocks(X):
        raise ValueError(
            f"X is {type(X).__name__}, and this estimator does not read rows block by block. Pass "
            "an array, such as numpy.concatenate([X[i] for i in range(len(X))])."
        )
    if isinstance(X, str | os.PathLike):
        raise ValueError(
            f"Expected 2D array, got the name of a file instead: {os.fspath(X)!r}. Estimators that "
            "read rows block by block take emlearn.data.blocks.open_rows of it."
        )
    array = _to_array(X, sequences)
    _check_dimensions(array, sequences)
    return array


def _to_array(X: Any, sequences: bool) -> Array:
    if isinstance(X, np.ndarray):
        array: Array = X
    elif is_foreign(X):
        raise ValueError(
            f"Expected 2D array, got {type(X).__name__} instead, which numpy cannot read. Convert "
            "it with numpy.asarray first."
        )
    else:
        if isinstance(X, (list, tuple)) and any(isinstance(r, np.ma.MaskedArray) for r in X):
            X = np.ma.stack(X)
        try:
            array = np.asanyarray(X)
            if isinstance(X, (list, tuple)) and array.dtype.kind in "USmM":
                # A single string or time turns all numbers into strings or times.
                array = np.array(X, dtype=object)
        except Exception as error:  # of numpy or of X, which can be anything
            array = _ragged(X, error, sequences)
    if array.dtype.names is not None:
        raise ValueError(
            "X is an array of records. Pass numpy.lib.recfunctions.structured_to_unstructured(X)."
        )
    if array.ndim == 0 and array.dtype == object:
        raise ValueError(
            f"Expected 2D array, got {type(X).__name__} instead, which cannot be read as a table "
            "of numbers. Convert it with numpy.asarray first."
        )
    return array


def is_foreign(array: Any) -> bool:
    """Whether an array of another library, of the array API standard, hides its numbers."""
    readable = any(hasattr(array, name) for name in ("__array__", "__array_interface__"))
    return hasattr(array, "__array_namespace__") and not readable and not _has_buffer(array)


def _has_buffer(array: Any) -> bool:
    try:
        memoryview(array)
    except TypeError:
        return False
    return True


def _ragged(X: Any, error: Exception, sequences: bool) -> Array:
    """Array of objects if numpy refuses X at first, or an error with the reason."""
    if not isinstance(X, (list, tuple)):
        raise ValueError(
            f"Expected 2D array, got {type(X).__name__} instead, which cannot be read as a table "
            f"of numbers ({error}). Convert it with numpy.asarray first."
        ) from None
    lengths = [len(row) if hasattr(row, "__len__") else None for row in X]
    if len(set(lengths)) > 1:
        odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
        raise ValueError(
            f"X is a list whose entries differ in length: entry 0 has {lengths[0]}, entry {odd} "
            f"has {lengths[odd]}. Expected 2D array.{_advice(sequences)}"
        ) from None
    try:
        return np.array(X, dtype=object)
    except ValueError:
        raise ValueError(
            f"X is a list that is not a table: {error}. Expected 2D array.{_advice(sequences)}"
        ) from None


def _check_dimensions(array: Array, sequences: bool) -> None:
    if array.ndim == 2:
        return
    if array.ndim > 2:
        raise ValueError(
            f"Found array with dim {array.ndim}, while dim <= 2 is required: X has shape "
            f"{array.shape}.{_advice(sequences)}"
        )
    if array.ndim == 0:
        raise ValueError("Expected 2D array, got scalar array instead: X is a single value.")
    nested = array.dtype == object and array.size and hasattr(array[0], "__len__")
    several = _advice(sequences) if nested and not isinstance(array[0], str) else ""
    raise ValueError(
        f"Expected 2D array, got 1D array instead: X has shape {array.shape}. Reshape your data: "
        "X.reshape(-1, 1) if it is a single column, X.reshape(1, -1) if it is a single row."
        f"{several}"
    )


def _advice(sequences: bool) -> str:
    if not sequences:
        return ""
    return (
        " Several sequences are a list of arrays, X=[numpy.array(s) for s in sequences], or one "
        "table with lengths=[len(s) for s in sequences]."
    )
