"""Markers of missing entries."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn._compat import InvalidParameterError
from emlearn.data.names import label
from emlearn.data.values import is_absent

Array = NDArray[Any]
Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


def is_nan(value: Any) -> bool:
    """Whether a value is a floating-point NaN."""
    return isinstance(value, numbers.Real) and bool(value != value)


def is_na(value: Any) -> bool:
    """Whether a value is pandas.NA."""
    # By name, since pandas may not be installed.
    return type(value).__name__ == "NAType"


def is_missing(value: Any) -> bool:
    """Whether a value is missing in every table: NaN, None, pandas.NA or pandas.NaT."""
    return is_absent(value) or is_nan(value)


class Markers(NamedTuple):
    """What marks a missing entry.

    Attributes
    ----------
    numbers : tuple of float
        Numbers that mark numbers.
    texts : frozenset of str
        Texts that mark text, and entries of columns of objects.
    absent : bool
        Whether NaN, None, pandas.NA and nulls are missing. Otherwise they are errors.
    """

    numbers: tuple[float, ...] = ()
    texts: frozenset[str] = frozenset()
    absent: bool = True

    def cleared(self, values: Array) -> Array:
        """Values of a column with NaN in place of the texts that are markers."""
        if not self.texts or values.dtype.kind in "biufcmMV":
            return values
        values = values.astype(object)
        values[[isinstance(value, str) and value in self.texts for value in values]] = np.nan
        return values

    def in_numbers(self, values: Floats, names: Any, column: int | None = None) -> Mask | None:
        """Which numbers are markers, in their own precision; None if no number is one.

        Raises
        ------
        ValueError
            If a value is NaN, which would be a second marker.
        """
        if not self.absent:
            self.refuse(np.isnan(values), names, column)
        if not self.numbers:
            return None
        with np.errstate(over="ignore"):
            return np.logical_or.reduce([values == values.dtype.type(n) for n in self.numbers])

    def in_objects(self, values: Array) -> Mask:
        """Which objects are markers; texts equal texts, and numbers equal numbers."""
        known = self.texts.union(self.numbers)
        if not known:
            return np.zeros(len(values), bool)
        return np.fromiter((_is_markable(v) and v in known for v in values), bool, len(values))

    def refuse(self, absent: Mask, names: Any, column: int | None = None) -> None:
        """Raise ValueError if a value is absent although a number is the only marker."""
        if self.absent or not absent.any():
            return
        row, *rest = np.argwhere(absent)[0]
        place = label(names, int(rest[0]) if column is None else column)
        marker = self.numbers[0]
        shown = int(marker) if marker.is_integer() else marker
        raise ValueError(
            f"Input X contains NaN in {place}, row {row}, but missing_values={shown!r}. "
            f"Replace one by the other, or set missing_values=np.nan, or [{shown!r}, np.nan] for "
            "both."
        )


def read_markers(missing_values: Any) -> Markers:
    """Markers from a number, NaN, None, pandas.NA, text, or a list of these."""
    several = isinstance(missing_values, (list, tuple, set, frozenset, np.ndarray))
    given = list(missing_values) if several else [missing_values]
    known = [marker for marker in given if not is_missing(marker)]
    texts = frozenset(marker for marker in known if isinstance(marker, str))
    figures = tuple(float(marker) for marker in known if not isinstance(marker, str))
    return Markers(figures, texts, absent=several or not figures)


def check_marker(missing_values: Any, owner: str) -> None:
    """Check that `missing_values` is a number, NaN, None, pandas.NA, text, or a list of these."""
    several = isinstance(missing_values, (list, tuple, set, frozenset, np.ndarray))
    given = list(missing_values) if several else [missing_values]
    for marker in given:
        if not (_is_markable(marker) or is_missing(marker)):
            raise InvalidParameterError(
                f"The 'missing_values' parameter of {owner} must be a number, text, NaN, None, "
                f"pandas.NA, or a list of these. Got {missing_values!r} instead."
            )


def _is_markable(value: Any) -> bool:
    number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    return number or isinstance(value, str)
