"""Columns of Arrow as numbers: codes of categories, 0 and 1, NaN for nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data.blocks.optional import needed_module

Array = NDArray[Any]

#: A column with more levels than this is no category.
MOST_LEVELS = 2**16

# Kinds of columns.
NUMBER, SINGLE, TRUTH, NOTHING = "numbers", "numbers in single precision", "booleans", "nulls only"
TEXT, NUMBER_LEVELS = "text", "categories that are numbers"
CATEGORIES = (TEXT, NUMBER_LEVELS)


def kind_of(kind: Any, name: str, path: str) -> str:
    """What the type of a column says it is.

    Parameters
    ----------
    kind : pyarrow.DataType
        The type.
    name, path : str
        Column and file, for messages.

    Raises
    ------
    ValueError
        If values of this type are not numbers or categories.
    """
    types = needed_module("pyarrow", path).types
    if types.is_dictionary(kind):
        own = kind_of(kind.value_type, name, path)
        return own if own in (TEXT, NOTHING) else NUMBER_LEVELS
    if types.is_float32(kind) or types.is_float16(kind):
        return SINGLE
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return NUMBER
    if types.is_boolean(kind):
        return TRUTH
    if types.is_null(kind):
        return NOTHING
    if types.is_string(kind) or types.is_large_string(kind) or _is_string_view(types, kind):
        return TEXT
    raise ValueError(f"Column {name!r} of {path} has type {kind}: {_advice(types, kind)}.")


def _is_string_view(types: Any, kind: Any) -> bool:
    return hasattr(types, "is_string_view") and bool(types.is_string_view(kind))


def _advice(types: Any, kind: Any) -> str:
    leave_out = "leave it out by naming the others in columns"
    if types.is_temporal(kind):
        return f"store it as a number, such as days since a date, or {leave_out}"
    if types.is_nested(kind):
        return f"store each of its values in a column of its own, or {leave_out}"
    return f"store it as numbers or text, or {leave_out}"


def common_kind(first: str, second: str) -> str | None:
    """The kind of a column of two files; None if they do not agree."""
    if first == second or second == NOTHING:
        return first
    if first == NOTHING:
        return second
    return NUMBER if {first, second} == {NUMBER, SINGLE} else None


class Encoder(NamedTuple):
    """Makes numbers of the columns of a table.

    Attributes
    ----------
    names : tuple of str
        The columns.
    kinds : tuple of str
        What they are.
    levels : dict of str to tuple
        Levels of the columns that are categories.
    unseen : {"error", "missing"}
        What other values become.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    levels: dict[str, tuple[Any, ...]]
    unseen: str

    @property
    def dtype(self) -> Any:
        """Type of the numbers: single precision if all columns have it."""
        return np.dtype(np.float32 if set(self.kinds) == {SINGLE} else np.float64)

    def encode(self, batches: Sequence[Any], keys: dict[str, Any], n_rows: int) -> Array:
        """Numbers of the columns, (n_rows, n_columns).

        Parameters
        ----------
        batches : sequence of pyarrow.RecordBatch
            The rows.
        keys : dict of str to object
            Columns that have one value in all rows.
        n_rows : int
            Number of rows.
        """
        pyarrow = needed_module("pyarrow", "A table")
        out = np.empty((n_rows, len(self.names)), self.dtype)
        start = 0
        for batch in batches:
            rows = slice(start, start + batch.num_rows)
            for j, name in enumerate(self.names):
                if name not in keys:
                    out[rows, j] = self._numbers(batch.column(name), j)
            start = rows.stop
        for j, name in enumerate(self.names):
            if name in keys:
                out[:, j] = self._numbers(pyarrow.array([keys[name]]), j)
        return out

    def _numbers(self, column: Any, j: int) -> Any:
        name, kind = self.names[j], self.kinds[j]
        if name in self.levels:
            return self._codes(column, name)
        return _NUMBERS[kind](column)

    def _codes(self, column: Any, name: str) -> Array:
        """Positions of the values of a column among its levels."""
        pyarrow = needed_module("pyarrow", "A table")
        compute = needed_module("pyarrow.compute", "A table")
        values, indices = dictionary_of(column)
        levels = self.levels[name]
        codes = np.full(len(values) + 1, np.nan)
        if len(values) and len(levels):
            found = compute.index_in(values, value_set=pyarrow.array(levels, values.type))
            codes[:-1] = _floats(found)
        positions = _floats(indices)
        positions = np.where(np.isnan(positions), len(values), positions).astype(np.intp)
        if self.unseen == "error":
            lacking = np.append(np.isnan(codes[:-1]) & (_floats(values.is_valid()) > 0.0), False)
            if lacking.any() and lacking[positions].any():
                value = values[int(positions[lacking[positions]][0])].as_py()
                raise ValueError(
                    f"Column {name!r} has {value!r}, which is not one of its categories. Add it to "
                    'categories, or set unseen="missing".'
                )
        return codes[positions]


def dictionary_of(column: Any) -> tuple[Any, Any]:
    """Distinct values of an array of Arrow, and positions of its entries among these."""
    pyarrow = needed_module("pyarrow", "A table")
    if pyarrow.types.is_null(column.type):
        column = column.cast(pyarrow.string())
    if not pyarrow.types.is_dictionary(column.type):
        if _is_string_view(pyarrow.types, column.type):
            column = column.cast(pyarrow.large_string())
        column = column.dictionary_encode()
    return column.dictionary, column.indices


def _floats(column: Any) -> Any:
    """Numbers of an array of Arrow, with NaN for nulls."""
    pyarrow = needed_module("pyarrow", "A table")
    if pyarrow.types.is_boolean(column.type):
        column = column.cast(pyarrow.uint8())
    elif pyarrow.types.is_decimal(column.type) or pyarrow.types.is_null(column.type):
        column = column.cast(pyarrow.float64())
    return column.to_numpy(zero_copy_only=False)


_NUMBERS: dict[str, Callable[[Any], Any]] = {
    NUMBER: _floats,
    SINGLE: _floats,
    TRUTH: _floats,
    NOTHING: _floats,
}


class LevelsSeen:
    """The levels of a column, gathered from all pieces.

    If all pieces declare the same levels in the same order, these are the levels. Otherwise they
    are sorted.
    """

    def __init__(self) -> None:
        self._declared: Any = None
        self._agree = True
        self._found: set[Any] = set()

    def add(self, column: Any, name: str) -> None:
        """Add the levels of an array of Arrow."""
        pyarrow = needed_module("pyarrow", "A table")
        values, _ = dictionary_of(column)
        declares = pyarrow.types.is_dictionary(column.type)
        if declares and self._declared is not None and values.equals(self._declared):
            return
        self._agree = self._agree and declares and self._declared is None
        self._declared = values if self._declared is None else self._declared
        self._add(values.to_pylist(), name)

    def add_key(self, value: Any, name: str) -> None:
        """Add the value that a column has in all rows of a file."""
        self._agree = False
        self._add([value], name)

    def _add(self, values: Iterable[Any], name: str) -> None:
        self._found.update(value for value in values if value is not None)
        if len(self._found) > MOST_LEVELS:
            raise ValueError(
                f"Column {name!r} has more than {MOST_LEVELS} different values, which are too many "
                "for a category. Leave it out by naming the others in columns."
            )

    def levels(self) -> tuple[Any, ...]:
        """All levels."""
        if self._agree and self._declared is not None:
            return tuple(value for value in self._declared.to_pylist() if value is not None)
        return tuple(sorted(self._found))
