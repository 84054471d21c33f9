"""Comparisons of two values: levels from 0 (disagree) to the highest (agree exactly)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.linkage._pairs import MISSING
from emlearn.linkage._records import ABSENT, Factor, column_of, is_missing

Array = NDArray[Any]
Index = NDArray[np.intp]
#: Levels of the pairs of records at these positions.
Compare = Callable[[Index, Index], NDArray[np.int8]]

# Largest number of distinct values for which pairs of values have a code.
_MOST_VALUES = 2**31


@dataclass(frozen=True)
class Comparison(ABC):
    """Comparison of a column of one table with a column of another, or of the same.

    Attributes
    ----------
    column : str or None
        Column of the left table; None takes the name of the comparison.
    right_column : str or None
        Column of the right table; None takes that of the left.
    """

    column: str | None = None
    right_column: str | None = None

    @property
    @abstractmethod
    def level_names(self) -> tuple[str, ...]:
        """Names of the levels, from disagreement to exact agreement."""

    @abstractmethod
    def prepare(self, columns: list[Array], where: str) -> Compare:
        """A function that compares records of one table, or of two.

        Parameters
        ----------
        columns : list of ndarray
            The column of each table.
        where : str
            The comparison, for messages.

        Returns
        -------
        compare : callable
            Function of the positions of the records on the left and on the right, which returns
            the levels of these pairs: int8, -1 where not comparable.
        """

    def columns_of(self, tables: Sequence[Any], name: str) -> list[Array]:
        """The column of each table.

        Parameters
        ----------
        tables : sequence of DataFrame, dict or structured array
            One table, or two.
        name : str
            Name of the comparison.

        Returns
        -------
        columns : list of ndarray
            The columns.
        """
        left = name if self.column is None else self.column
        right = left if self.right_column is None else self.right_column
        return [
            column_of(table, column, side)
            for table, column, side in zip(tables, (left, right), ("left", "right"), strict=False)
        ]


@dataclass(frozen=True)
class Exact(Comparison):
    """Two levels: different and equal.

    Parameters
    ----------
    column : str, default=None
        Column of the left table; None takes the name of the comparison.
    right_column : str, default=None
        Column of the right table; None takes that of the left.

    Examples
    --------
    >>> from emlearn.linkage import Exact
    >>> Exact().level_names
    ('different', 'equal')
    """

    @property
    def level_names(self) -> tuple[str, ...]:
        """Names of the levels."""
        return ("different", "equal")

    def prepare(self, columns: list[Array], where: str) -> Compare:
        """Compare codes of the distinct values.

        Parameters
        ----------
        columns : list of ndarray
            The column of each table.
        where : str
            The comparison, for messages.

        Returns
        -------
        compare : callable
            Function of the positions of the records on the left and on the right, which returns
            the levels of these pairs: int8, -1 where not comparable.
        """
        codes = Factor(columns).codes
        left, right = codes[0], codes[-1]

        def compare(i: Index, j: Index) -> NDArray[np.int8]:
            a, b = left[i], right[j]
            return np.where((a == ABSENT) | (b == ABSENT), MISSING, a == b).astype(np.int8)

        return compare


@dataclass(frozen=True)
class JaroWinkler(Comparison):
    """Similarity of text by Jaro and Winkler, in levels; needs rapidfuzz.

    Level 0 is a similarity below all thresholds, each threshold that is reached adds a level, and
    the highest level is equality.

    Parameters
    ----------
    column : str, default=None
        Column of the left table; None takes the name of the comparison.
    right_column : str, default=None
        Column of the right table; None takes that of the left.
    thresholds : tuple of float, default=(0.8, 0.92)
        Similarities between 0 and 1, increasing.

    Raises
    ------
    ValueError
        If the thresholds are not increasing, or not between 0 and 1.

    Notes
    -----
    Each pair of distinct values in a part of the pairs is compared once. The similarity is that
    of `rapidfuzz.distance.JaroWinkler`, with a prefix weight of 0.1.

    References
    ----------
    W. E. Winkler (1990). "String comparator metrics and enhanced decision rules in the
    Fellegi-Sunter model of record linkage". Proceedings of the Section on Survey Research
    Methods, American Statistical Association, 354-359.

    Examples
    --------
    >>> from emlearn.linkage import JaroWinkler
    >>> JaroWinkler(thresholds=(0.85,)).level_names
    ('different', '>= 0.85', 'equal')
    """

    thresholds: tuple[float, ...] = (0.8, 0.92)

    def __post_init__(self) -> None:
        _require_increasing(self.thresholds, 0.0, 1.0, "thresholds")

    @property
    def level_names(self) -> tuple[str, ...]:
        """Names of the levels."""
        return ("different", *(f">= {own:g}" for own in self.thresholds), "equal")

    def prepare(self, columns: list[Array], where: str) -> Compare:
        """Compare each pair of distinct values once.

        Parameters
        ----------
        columns : list of ndarray
            The column of each table.
        where : str
            The comparison, for messages.

        Returns
        -------
        compare : callable
            Function of the positions of the records on the left and on the right, which returns
            the levels of these pairs: int8, -1 where not comparable.
        """
        similarity = _jaro_winkler()
        factor = Factor(columns)
        left, right = factor.codes[0], factor.codes[-1]
        for value in factor.values:
            if not isinstance(value, str):
                raise ValueError(
                    f"{where} compares text, but there is the value {value!r}. Use 'exact', "
                    "NumericDifference or DateDifference, or convert the column to text."
                )
        thresholds, n_values = np.array(self.thresholds), len(factor.values)
        assert n_values < _MOST_VALUES

        def compare(i: Index, j: Index) -> NDArray[np.int8]:
            a, b = left[i].astype(np.int64), right[j].astype(np.int64)
            a, b = np.minimum(a, b), np.maximum(a, b)
            found = np.full(len(i), MISSING, np.int8)
            known = a != ABSENT
            equal = known & (a == b)
            found[equal] = len(thresholds) + 1
            rest = np.flatnonzero(known & ~equal)
            if rest.size:
                both, inverse = np.unique(a[rest] * n_values + b[rest], return_inverse=True)
                first, second = np.divmod(both, n_values)
                close = similarity(factor.values[first], factor.values[second])
                levels = np.searchsorted(thresholds, close, side="right").astype(np.int8)
                found[rest] = levels[inverse.ravel()]
            return found

        return compare


@dataclass(frozen=True)
class NumericDifference(Comparison):
    """Distance of two numbers, in levels.

    Level 0 is a distance above all limits; the highest level is a distance of at most the first
    limit. With a first limit of 0, the highest level is equality.

    Parameters
    ----------
    column : str, default=None
        Column of the left table; None takes the name of the comparison.
    right_column : str, default=None
        Column of the right table; None takes that of the left.
    limits : tuple of float, default=(0.0, 1.0)
        Largest distances of the levels, increasing, from the highest level down.

    Raises
    ------
    ValueError
        If the limits are negative or not increasing.

    Examples
    --------
    >>> from emlearn.linkage import NumericDifference
    >>> NumericDifference(limits=(0, 2, 10)).level_names
    ('different', '<= 10', '<= 2', 'equal')
    """

    limits: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        _require_increasing(self.limits, 0.0, np.inf, "limits", closed=True)

    @property
    def level_names(self) -> tuple[str, ...]:
        """Names of the levels."""
        near = tuple("equal" if own == 0.0 else f"<= {own:g}" for own in self.limits)
        return ("different", *near[::-1])

    def _numbers(self, values: Array, where: str) -> NDArray[np.float64]:
        if values.dtype.kind in "iufb":
            return values.astype(np.float64)
        missing = is_missing(values)
        found = np.full(len(values), np.nan)
        try:
            found[~missing] = [float(value) for value in values[~missing]]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where} compares numbers: {error}.") from None
        return found

    def prepare(self, columns: list[Array], where: str) -> Compare:
        """Compare by the distance.

        Parameters
        ----------
        columns : list of ndarray
            The column of each table.
        where : str
            The comparison, for messages.

        Returns
        -------
        compare : callable
            Function of the positions of the records on the left and on the right, which returns
            the levels of these pairs: int8, -1 where not comparable.
        """
        numbers = [self._numbers(own, where) for own in columns]
        left, right, limits = numbers[0], numbers[-1], np.array(self.limits, np.float64)

        def compare(i: Index, j: Index) -> NDArray[np.int8]:
            with np.errstate(invalid="ignore"):
                distance = np.abs(left[i] - right[j])
            levels = len(limits) - np.searchsorted(limits, distance, side="left")
            return np.where(np.isnan(distance), MISSING, levels).astype(np.int8)

        return compare


@dataclass(frozen=True)
class DateDifference(NumericDifference):
    """Distance of two dates in days, in levels; see `NumericDifference`.

    Values are dates of the standard library, numpy or pandas, or text such as "1984-03-27".

    Parameters
    ----------
    column : str, default=None
        Column of the left table; None takes the name of the comparison.
    right_column : str, default=None
        Column of the right table; None takes that of the left.
    limits : tuple of float, default=(0.0, 31.0, 366.0)
        Largest distances of the levels in days, increasing, from the highest level down.

    Examples
    --------
    >>> from emlearn.linkage import DateDifference
    >>> DateDifference().level_names
    ('different', '<= 366', '<= 31', 'equal')
    """

    limits: tuple[float, ...] = (0.0, 31.0, 366.0)

    def _numbers(self, values: Array, where: str) -> NDArray[np.float64]:
        if values.dtype.kind != "M":
            missing = is_missing(values)
            times = np.full(len(values), np.datetime64("NaT"), "datetime64[s]")
            try:
                times[~missing] = [np.datetime64(value, "s") for value in values[~missing]]
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{where} compares dates: {error}. Write them as in '1984-03-27'."
                ) from None
            values = times
        seconds = values.astype("datetime64[s]")
        days = seconds.astype(np.int64) / 86400.0
        return np.where(np.isnat(seconds), np.nan, days)


COMPARISONS: dict[str, type[Comparison]] = {
    "exact": Exact,
    "jaro_winkler": JaroWinkler,
    "numeric": NumericDifference,
    "date": DateDifference,
}


def find_comparison(given: Any, name: str) -> Comparison:
    """A comparison by its name, or itself.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(given, Comparison):
        return given
    if isinstance(given, str) and given in COMPARISONS:
        return COMPARISONS[given]()
    raise ValueError(
        f"The comparison of {name!r} must be one of {', '.join(COMPARISONS)}, or an object such as "
        f"JaroWinkler(thresholds=(0.85,)); got {given!r}."
    )


def _require_increasing(
    given: Iterable[Any], low: float, high: float, name: str, *, closed: bool = False
) -> None:
    values = list(given)
    numbers = all(isinstance(own, Real) for own in values)
    if not values or not numbers or not (np.diff(np.array(values, float)) > 0.0).all():
        raise ValueError(f"{name} must be increasing numbers, got {tuple(values)!r}.")
    inside = values[0] >= low if closed else values[0] > low
    if not inside or values[-1] >= high:
        raise ValueError(
            f"{name} must be {'at least' if closed else 'above'} {low:g} and below "
            f"{high:g}, got {tuple(values)!r}."
        )


def _jaro_winkler() -> Callable[[Array, Array], NDArray[np.float64]]:
    """Similarities of the entries of two vectors of text."""
    try:
        from rapidfuzz.distance import JaroWinkler as Similarity
    except ImportError:
        raise ImportError(
            "Comparisons by Jaro and Winkler need rapidfuzz; install it with: python -m pip "
            'install "scikit-em[linkage]"'
        ) from None
    similarity = Similarity.normalized_similarity

    def each(first: Array, second: Array) -> NDArray[np.float64]:
        return np.fromiter(map(similarity, first, second), np.float64, len(first))

    return each
