"""What the columns of a mixed table are, their codes, and the way back."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data.columns import Column, Table
from emlearn.data.markers import Markers, read_markers
from emlearn.data.names import at_start
from emlearn.data.table import column_of_numbers
from emlearn.data.tables import table_of

Array = NDArray[Any]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

ColumnKind = Literal["continuous", "integer", "ordered", "nominal"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Clock(NamedTuple):
    """How times are numbers of days.

    Attributes
    ----------
    origin : int
        Day that is 0, since 1970-01-01; or the shortest duration, in whole days.
    duration : bool
        Whether the times are durations.
    zoned : bool
        Whether the times have a time zone.
    whole_days : bool
        Whether all times of fit are whole days, so that imputed ones are rounded.
    """

    origin: int
    duration: bool
    zoned: bool
    whole_days: bool


@dataclass(frozen=True)
class MixedColumn:
    """What a column of a mixed table is.

    Attributes
    ----------
    label : str
        What messages call it.
    name : object
        Its name; its number if the columns have no names.
    kind : {"continuous", "integer", "ordered", "nominal"}
        What it is to a model.
    levels : tuple or None
        Values of the codes 0, 1, ...; None for numbers.
    dtype : object
        Its dtype in fit.
    counts : tuple of int
        Number of rows of each level in fit. Levels of count 0 are declared by the dtype only.
    clock : Clock or None
        For times, how they are numbers.
    inferred : bool
        Whether the levels are whole numbers that are levels only because they are few.
    """

    label: str
    name: Any
    kind: ColumnKind
    levels: tuple[Any, ...] | None
    dtype: Any
    counts: tuple[int, ...] = ()
    clock: Clock | None = None
    inferred: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers, which may be taken for levels because they are few."""
        return self.clock is None and (self.levels is None or self.inferred)

    @property
    def n_observed_levels(self) -> int:
        """Number of levels that occur: a column of 1 is constant, one of 0 is empty."""
        return sum(count > 0 for count in self.counts)


@dataclass(frozen=True)
class MixedSchema:
    """What the columns of a mixed table are.

    Attributes
    ----------
    columns : tuple of MixedColumn
        The columns.
    names : tuple or None
        Their names.
    """

    columns: tuple[MixedColumn, ...]
    names: tuple[Any, ...] | None

    @property
    def kinds(self) -> NDArray[np.str_]:
        """Kind of each column."""
        return np.array([column.kind for column in self.columns])

    @property
    def categorical(self) -> Mask:
        """Which columns are codes of levels."""
        return np.array([column.levels is not None for column in self.columns], bool)

    @property
    def ordered(self) -> Mask:
        """Which columns are codes of ordered levels."""
        return np.array([column.kind == "ordered" for column in self.columns], bool)

    @property
    def n_levels(self) -> NDArray[np.intp]:
        """Number of levels of each column; 0 for numbers."""
        return np.array([len(column.levels or ()) for column in self.columns], np.intp)

    @property
    def plain(self) -> bool:
        """Whether all columns are ordinary numbers."""
        return all(own.kind == "continuous" and own.clock is None for own in self.columns)

    def encode(
        self, X: Any, *, missing_values: Any = np.nan, unseen: str = "missing"
    ) -> tuple[Floats, Mask | None]:
        """Numbers and codes of a table with these columns.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
            The table. Levels are recognized by value, whatever the dtype of the column.
        missing_values : number, str, pandas.NA, None or list of these, default=NaN
            What marks a missing entry.
        unseen : {"missing", "error"}, default="missing"
            What a level is that was not seen in fit. Whole numbers that are levels only because
            they are few are never an error.

        Returns
        -------
        table : ndarray of shape (n_rows, n_columns)
            Numbers and codes, with NaN for missing entries and unseen levels.
        unseen : ndarray of bool of shape (n_rows, n_columns), or None
            Where a level is unseen; None if nowhere.

        Raises
        ------
        ValueError
            If an entry is invalid, or is unseen and may not be.
        """
        return self.encode_table(table_of(X), read_markers(missing_values), unseen=unseen)

    def encode_table(
        self, source: Table, markers: Markers, *, unseen: str
    ) -> tuple[Floats, Mask | None]:
        """See `encode`."""
        table = np.empty(source.X.shape)
        strange = np.zeros(table.shape, bool)
        for j, (own, column) in enumerate(zip(self.columns, source.columns, strict=True)):
            if own.clock is not None:
                table[:, j] = _days(own, own.clock, column, j, self.names, markers)
            elif own.levels is None:
                table[:, j] = column_numbers(column, j, self.names, markers)
            else:
                table[:, j], strange[:, j] = _codes(own, column, j, self.names, markers)
                if unseen == "error" and not own.inferred and strange[:, j].any():
                    raise _unseen(own, column, int(np.argmax(strange[:, j])))
        return table, strange if strange.any() else None

    def decode(self, table: Floats, X: Any, missing: Mask, columns: Any = None) -> Any:
        """A table like X with its missing entries filled.

        Parameters
        ----------
        table : ndarray of shape (n_rows, n_kept)
            Numbers and codes of the columns to return.
        X : array-like or DataFrame of shape (n_rows, n_columns)
            The table that was encoded. Its other entries are returned as they are.
        missing : ndarray of bool of shape (n_rows, n_kept)
            Which entries to take from `table`.
        columns : array-like of int of shape (n_kept,), default=None
            Positions of the columns to return. The default is all.

        Returns
        -------
        completed : DataFrame or ndarray of shape (n_rows, n_kept)
            A DataFrame if X is one, with its rows, names and dtypes; otherwise an array, of
            objects unless all columns are numbers. A dtype changes only where it cannot hold
            the values: text that was read as numbers becomes numbers, a dtype of categories
            gets the levels that it lacks, and a column of nothing takes the dtype of fit.
        """
        source = table_of(X)
        kept = np.arange(len(self.columns)) if columns is None else np.asarray(columns, np.intp)
        completed = [
            _complete(self.columns[j], source.columns[j], table[missing[:, i], i], missing[:, i])
            for i, j in enumerate(kept)
        ]
        return source.rebuilt(completed, kept)

    def values(self, table: Floats) -> Floats:
        """The table of all columns with whole numbers in place of codes that are few of them."""
        out = np.array(table, np.float64)
        for j, own in enumerate(self.columns):
            if own.inferred:
                seen = ~np.isnan(out[:, j])
                out[seen, j] = np.asarray(own.levels, np.float64)[out[seen, j].astype(np.intp)]
        return out

    def numbers(self, table: Floats, columns: NDArray[np.intp]) -> Floats:
        """The table with the levels of few whole numbers in place of their codes.

        Parameters
        ----------
        table : ndarray of shape (n_rows, n_kept)
            Numbers and codes.
        columns : ndarray of shape (n_kept,)
            Positions of its columns.

        Returns
        -------
        numbers : ndarray of shape (n_rows, n_kept)
            A copy.
        """
        out = table.copy()
        for i, j in enumerate(columns):
            levels = self.columns[j].levels
            if levels is not None:
                out[:, i] = np.asarray(levels, np.float64)[table[:, i].astype(np.intp)]
        return out


# ---- to numbers -----------------------------------------------------------------------


def column_numbers(column: Column, j: int, names: Any, markers: Markers) -> Floats:
    """Numbers of a column, NaN where they are missing."""
    values = column_of_numbers(column.numbers(), names, j, markers)
    marked = markers.in_numbers(values, names, j)
    numbers = values.astype(np.float64)
    if marked is not None:
        numbers[marked] = np.nan
    return numbers


def present(column: Column, j: int, names: Any, markers: Markers) -> Array:
    """Objects of a column, None where they are missing."""
    markers.refuse(column.absent(), names, j)
    values = column.objects()
    values[markers.in_objects(values)] = None
    return values


def _codes(
    own: MixedColumn, column: Column, j: int, names: Any, markers: Markers
) -> tuple[Floats, Mask]:
    """Codes of a column, and where its level is unknown."""
    if own.inferred or column.nature in ("float", "integer"):
        numbers = column_numbers(column, j, names, markers)
        distinct, position = np.unique(numbers, return_inverse=True)
        values = [None if value != value else value for value in distinct.tolist()]
    else:
        values = present(column, j, names, markers).tolist()
        position = np.arange(len(values))
    lookup: dict[Any, float] = {level: float(code) for code, level in enumerate(own.levels or ())}
    lookup[None] = np.nan
    try:
        codes = np.array([lookup.get(value, -1.0) for value in values], np.float64)[position]
    except TypeError:
        raise TypeError(
            f"{at_start(own.label)} of X has lists, dicts or the like, which are no levels."
        ) from None
    strange = codes == -1.0
    codes[strange] = np.nan
    return codes, strange


def _unseen(own: MixedColumn, column: Column, row: int) -> ValueError:
    levels = [repr(level) for level in own.levels or ()]
    shown = levels if len(levels) < 10 else [*levels[:8], "..."]
    return ValueError(
        f"{at_start(own.label)} of X, row {row}, has the level {column.objects()[row]!r}, "
        f"which was not seen in fit. Its levels are {', '.join(shown)}. Correct it, or set "
        "unseen='missing'."
    )


def _days(
    own: MixedColumn, clock: Clock, column: Column, j: int, names: Any, markers: Markers
) -> Floats:
    absent = column.absent()
    markers.refuse(absent, names, j)
    days = np.full(len(absent), np.nan)
    if absent.all():
        return days
    if column.nature != ("duration" if clock.duration else "instant"):
        held = "durations" if clock.duration else "times"
        raise ValueError(
            f"{at_start(own.label)} of X has dtype {column.dtype}, but held {held} in fit "
            f"({own.dtype}). Convert it."
        )
    ticks, per_day = column.ticks()
    # In two parts, since a difference of ticks can be too large for an integer.
    whole, parts = np.divmod(ticks[~absent], per_day)
    days[~absent] = (whole - clock.origin) + parts / per_day
    return days


# ---- and back -------------------------------------------------------------------------


def _complete(own: MixedColumn, column: Column, values: Floats, holes: Mask) -> Any:
    """A column with these numbers or codes in its holes."""
    if own.clock is not None:
        days = (np.rint(values) if own.clock.whole_days else values) + own.clock.origin
        if column.nature in ("instant", "duration"):
            return column.timed(holes, days)
        return column.completed(holes, _as_times(days, own.clock), own.dtype)
    found: Array = _rounded(values) if own.kind == "integer" else values
    if own.levels is not None:
        levels = np.empty(len(own.levels), object)
        levels[:] = own.levels
        found = levels[values.astype(np.intp)]
        if not own.inferred:
            return column.completed(holes, found, own.dtype)
    if _is_text(column):
        return column.replaced(_numbers_of_text(column, found, holes))
    return column.completed(holes, found, own.dtype)


def _rounded(values: Floats) -> Array:
    whole = np.rint(values)
    return whole.astype(np.int64) if np.abs(whole).max(initial=0.0) < 2.0**63 else whole


def _is_text(column: Column) -> bool:
    """Whether numbers were read from text, which does not hold the imputed ones."""
    if column.nature == "objects":
        return any(isinstance(value, (str, bytes)) for value in column.objects())
    return column.nature in ("text", "category")


def _numbers_of_text(column: Column, found: Array, holes: Mask) -> Floats:
    numbers = np.empty(len(holes))
    numbers[holes] = found
    numbers[~holes] = column.objects()[~holes].astype(np.float64)
    return numbers


def _as_times(days: Floats, clock: Clock) -> Array:
    """Times as objects, for a column of nothing."""
    times = np.empty(len(days), object)
    spans = [datetime.timedelta(days=float(value)) for value in days]
    epoch = _EPOCH if clock.zoned else _EPOCH.replace(tzinfo=None)
    times[:] = spans if clock.duration else [epoch + span for span in spans]
    return times
