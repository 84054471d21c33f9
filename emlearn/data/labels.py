"""The reader of labels: from `y` to component numbers, and back."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data.values import is_absent
from emlearn.data.vectors import as_vector

Array = NDArray[Any]

#: Label of a row whose component or state is unknown.
UNKNOWN = -1

_ADVICE = "Use use_labels=False if y does not hold the labels of rows."
_LARGEST_EXACT = 2.0**53


class ClassLabels(NamedTuple):
    """The labels in `y`.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The classes, sorted; class c is component (or state) c.
    codes : ndarray of shape (n_rows,)
        Component of each row; `UNKNOWN` if it is not known.
    """

    classes: Array
    codes: NDArray[np.intp]


def read_labels(y: Any, n_rows: int, n_numbers: int | None = None) -> ClassLabels | None:
    """Labels of the rows; None if no label is known.

    A label is unknown if `y` is -1, NaN, None, pandas.NA, pandas.NaT, masked or an empty
    category. Labels are integers (also stored as floats), booleans or strings. The classes are
    the labels that occur, sorted.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels.
    n_rows : int
        Number of rows of X.
    n_numbers : int, default=None
        If given, and all labels are integers from 0 to n_numbers - 1, they are component
        numbers: the classes are then all of these numbers, whether they occur or not.

    Returns
    -------
    labels : ClassLabels or None
        The classes, and the class of each row.

    Raises
    ------
    ValueError
        If the number of labels is wrong, if labels are continuous, of mixed types or of an
        unsupported type, or if `y` is an array of strings with "-1" or "nan", which could mean
        an unknown label.
    """
    values = _as_vector(y)
    check_one_for_each_row(values, n_rows)
    unknown = _unknown(values)
    if unknown.all():
        return None
    known = _of_one_kind(values[~unknown], np.flatnonzero(~unknown))
    if n_numbers is not None and known.dtype.kind == "i" and not _beyond(known, n_numbers):
        classes, codes = np.arange(n_numbers), known
    else:
        classes, codes = np.unique(known, return_inverse=True)
    components = np.full(len(values), UNKNOWN, np.intp)
    components[~unknown] = codes
    return ClassLabels(classes, components)


def classes_of(codes: Array, classes: Array) -> Array:
    """Classes of components; -1 for components that do not belong to a class."""
    named = codes < len(classes)
    found: Array = classes[np.minimum(codes, len(classes) - 1)]
    if named.all():
        return found
    if found.dtype.kind not in "if":
        found = found.astype(object)
    return np.where(named, found, UNKNOWN)


def check_one_for_each_row(y: Any, n_rows: int, *, sequences: bool = False) -> None:
    """Check that `y` has the length of X.

    Raises
    ------
    ValueError
        If it does not. With `sequences`, the message explains how to pass lengths if `y` could
        be lengths.
    """
    if not hasattr(y, "__len__") or getattr(y, "ndim", 1) == 0 or len(y) == n_rows:
        return
    hint = ""
    try:
        if sequences and sum(y) == n_rows:
            hint = " If these are the lengths of sequences, pass them by name: lengths=..."
    except TypeError:
        pass
    raise ValueError(
        f"y has {len(y)} entries, but X has {n_rows} rows. It must have a label for each row, -1 "
        f"if the label is unknown.{hint}"
    )


def _as_vector(y: Any) -> Array:
    """Labels as a vector of numbers or of objects."""
    if isinstance(y, (list, tuple)):
        # As objects from the start: next to a string, -1 would become a string.
        array = np.array(y, dtype=object)
    elif isinstance(y, np.ma.MaskedArray):
        array = y.data.astype(object)
        array[np.ma.getmaskarray(y)] = None
    else:
        array = np.asarray(y)
    if array.dtype.kind in "US" and np.isin(array, np.array(["-1", "nan"], array.dtype)).any():
        raise ValueError(
            'y is an array of strings, in which "-1" and "nan" could be labels or mark unknown '
            "labels. Pass it with dtype object, and -1 or None for unknown labels."
        )
    if array.dtype.kind in "mMcV":
        raise ValueError(f"y has dtype {array.dtype}; labels are integers or strings. {_ADVICE}")
    if array.dtype.kind not in "biuf":
        array = array.astype(object)
    return as_vector(array)


def _unknown(values: Array) -> NDArray[np.bool_]:
    if values.dtype.kind in "iuf":
        return (values == UNKNOWN) | np.isnan(values)
    if values.dtype.kind == "b":
        return np.zeros(len(values), bool)
    return np.fromiter(map(_is_unknown, values), bool, len(values))


def _is_unknown(value: Any) -> bool:
    return is_absent(value) or (
        isinstance(value, Real) and bool(value == UNKNOWN or value != value)
    )


def _of_one_kind(known: Array, rows: NDArray[np.intp]) -> Array:
    """Known labels as integers, booleans or strings."""
    if known.dtype.kind in "iuf":
        return _integers(known, rows)
    types = set(map(type, known))
    if all(issubclass(kind, str) for kind in types) or types == {bytes}:
        return known
    if all(issubclass(kind, (bool, np.bool_)) for kind in types):
        return known.astype(bool)
    if all(issubclass(kind, (Real, np.bool_)) for kind in types):
        return _integers(known.astype(np.float64), rows)
    names = sorted(kind.__name__ for kind in types)
    raise ValueError(
        f"y has labels of type {' and '.join(names)}; they must all be integers or all be "
        f"strings. {_ADVICE}"
    )


def _integers(known: Array, rows: NDArray[np.intp]) -> Array:
    if known.dtype.kind in "iu":
        return known.astype(np.int64)
    wrong = np.flatnonzero((known != np.floor(known)) | (np.abs(known) > _LARGEST_EXACT))
    if wrong.size:
        first = int(wrong[0])
        raise ValueError(
            f"Unknown label type: continuous. y is {known[first]} in row {rows[first]}, but "
            f"labels are integers or strings, -1 if they are unknown. {_ADVICE}"
        )
    return known.astype(np.int64)


def _beyond(known: Array, n_numbers: int) -> bool:
    return bool(known.min() < 0 or known.max() >= n_numbers)
