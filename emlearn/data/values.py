"""From values of any kind to floating-point numbers, with NaN for missing values.

Text, times and complex numbers raise an error that names their place.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.floating]

# By name, since pandas may not be installed.
_ABSENT_TYPES = {"NoneType", "NAType", "NaTType"}
_TIME_TYPES = (
    np.datetime64,
    np.timedelta64,
    datetime.date,
    datetime.time,
    datetime.timedelta,
)

_ENCODE = (
    "leave it out, or encode text first, for example with sklearn.preprocessing.OrdinalEncoder as "
    "a step before this one. MissingDataImputerEM takes text that marks missing entries "
    "(missing_values), and columns of categories (categorical_features)."
)


def is_absent(value: Any) -> bool:
    """Whether a value is None, pandas.NA or pandas.NaT."""
    return type(value).__name__ in _ABSENT_TYPES


def to_floats(values: Array, where: str, at: Callable[[int], str], advice: str = _ENCODE) -> Floats:
    """Numbers of a one-dimensional array, or of any array with a numeric dtype.

    Parameters
    ----------
    values : ndarray
        The values. float32 stays float32, in the byte order of the machine; everything else
        becomes float64. Arrays that need no conversion are not copied.
    where : str
        The place, for messages: "column 'a' of X".
    at : callable
        Function from the position of a value to its place, for messages.
    advice : str
        What to do about text.

    Raises
    ------
    ValueError
        If a value is text, a time or complex.
    TypeError
        If a value is some other object that is not a number.
    """
    kind = values.dtype.kind
    if kind in "biuf":
        dtype = np.float32 if values.dtype.newbyteorder("=") == np.float32 else np.float64
        with np.errstate(over="ignore"):
            return np.require(values.astype(dtype, copy=False), requirements="A")
    if kind == "c":
        raise _complex(where)
    if kind in "mM":
        raise _time(where, values.dtype)
    if kind == "V":
        raise ValueError(f"Records in {where}: {values.dtype}. Numbers are needed.")
    return _objects_to_floats(values.astype(object), where, at, advice)


def _objects_to_floats(values: Array, where: str, at: Callable[[int], str], advice: str) -> Floats:
    types = set(map(type, values))
    for kind in types:
        if kind.__name__ in _ABSENT_TYPES:
            continue
        if issubclass(kind, _TIME_TYPES) or kind.__name__ == "Period":
            raise _time(where, kind.__name__)
        if issubclass(kind, (complex, np.complexfloating)):
            raise _complex(where)
    if any(kind.__name__ in _ABSENT_TYPES for kind in types):
        absent = np.fromiter(map(is_absent, values), bool, len(values))
        values = np.where(absent, np.nan, values)
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _first_failure(values, where, at, advice) from None


def _first_failure(values: Array, where: str, at: Callable[[int], str], advice: str) -> Exception:
    """The error that names the first value that is not a number."""
    for i, value in enumerate(values):
        try:
            float(value)
        except OverflowError:
            return ValueError(f"A number in {at(i)} is too large for float64.")
        except ValueError as error:
            return ValueError(f"Text in {at(i)}: {error}. Numbers are needed: {advice}")
        except TypeError as error:
            return TypeError(f"Not a number in {at(i)}: {error}.")
    return ValueError(f"Values in {where} are not single numbers.")


def _complex(where: str) -> ValueError:
    return ValueError(
        f"Complex data not supported: {where} has complex numbers. Pass their real and imaginary "
        "parts separately."
    )


def _time(where: str, kind: object) -> ValueError:
    return ValueError(
        f"Times in {where} ({kind}). Numbers are needed: convert them first, for example to days "
        "since the first one, (column - column.min()) / numpy.timedelta64(1, 'D')."
    )
