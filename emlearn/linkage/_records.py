"""Columns of tables of records: values, what is missing, and codes of equal values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Codes = NDArray[np.intp]

#: Code of a missing value.
ABSENT = -1


def n_records(table: Any, name: str) -> int:
    """Number of rows of a table.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If columns of a mapping have different lengths.
    """
    if isinstance(table, Mapping):
        lengths = {key: len(value) for key, value in table.items()}
        if not lengths:
            raise ValueError(f"{name} has no columns.")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{name} has columns of different lengths: {lengths}.")
        return next(iter(lengths.values()))
    if getattr(table, "columns", None) is None and getattr(table, "dtype", None) is None:
        raise TypeError(
            f"{name} must be a table with named columns (a DataFrame, a dict of columns or a "
            f"structured array), got {type(table).__name__}."
        )
    return len(table)


def column_of(table: Any, column: Any, name: str) -> Array:
    """Values of a column as a vector of objects, numbers or times.

    Raises
    ------
    ValueError
        If there is no such column; those that exist are listed.
    """
    if isinstance(table, Mapping):
        names: list[Any] = list(table)
    elif getattr(table, "columns", None) is not None:
        names = list(table.columns)
    else:
        names = list(getattr(table.dtype, "names", None) or ())
    if column not in names:
        raise ValueError(
            f"{name} has no column {column!r}; its columns are {', '.join(map(str, names))}."
        )
    if names.count(column) > 1:
        raise ValueError(f"{name} has {names.count(column)} columns named {column!r}.")
    return vector_of(table[column], f"column {column!r} of {name}")


def vector_of(values: Any, where: str) -> Array:
    """A vector; text and values of mixed types become objects."""
    kind = getattr(getattr(values, "dtype", None), "kind", None)
    if kind in ("i", "u", "f", "b", "M") and isinstance(values, np.ndarray):
        array = values
    elif hasattr(values, "to_numpy"):
        array = values.to_numpy()
    else:
        array = np.asarray(values)
    if array.dtype.kind not in "iufbM":
        source = array if array.ndim == 1 and array.dtype.kind == "O" else None
        array = np.array(list(values) if source is None else source, dtype=object)
    if array.ndim != 1:
        raise ValueError(f"{where} must have one value for each record, got {array.ndim}-D values.")
    return array


def is_missing(values: Array) -> NDArray[np.bool_]:
    """Which values are missing: None, NaN, pandas.NA, NaT, or text without a character."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "M":
        return np.isnat(values)
    if values.dtype.kind in "iub":
        return np.zeros(len(values), bool)
    return np.fromiter((_no_value(value) for value in values), bool, len(values))


def _no_value(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    # NaN and NaT are not equal to themselves; pandas.NA has no truth value.
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


class Factor:
    """Values of one or two tables as codes of the distinct ones.

    Parameters
    ----------
    columns : list of ndarray
        The same column of each table.

    Attributes
    ----------
    codes : list of ndarray
        Code of each record; `ABSENT` where the value is missing.
    values : ndarray
        The distinct values, by code.
    """

    def __init__(self, columns: list[Array]):
        kinds = {own.dtype.kind for own in columns}
        together = columns[0] if len(columns) == 1 else _concatenated(columns, kinds)
        missing = is_missing(together)
        codes = np.full(len(together), ABSENT, np.intp)
        if together.dtype.kind == "O":
            known: dict[Any, int] = {}
            present = np.flatnonzero(~missing)
            codes[present] = np.fromiter(
                (known.setdefault(value, len(known)) for value in together[present]),
                np.intp,
                len(present),
            )
            self.values = np.empty(len(known), dtype=object)
            self.values[:] = list(known)
        else:
            self.values, found = np.unique(together[~missing], return_inverse=True)
            codes[~missing] = found.ravel()
        edges = np.cumsum([len(own) for own in columns])[:-1]
        self.codes: list[Codes] = np.split(codes, edges)


def _concatenated(columns: list[Array], kinds: set[Any]) -> Array:
    if len(kinds) == 1 or kinds <= set("iufb"):
        return np.concatenate(columns)
    return np.concatenate([own.astype(object) for own in columns])


def joined_codes(factors: list[Factor]) -> list[Codes]:
    """Codes of combinations of values, by table; `ABSENT` where one of them is missing."""
    found = [own.astype(np.int64) for own in factors[0].codes]
    for factor in factors[1:]:
        size = max(len(factor.values), 1)
        found = [
            np.where((a < 0) | (b < 0), ABSENT, a * size + b)
            for a, b in zip(found, factor.codes, strict=True)
        ]
        # Small codes again, so that the next product does not overflow.
        distinct, small = np.unique(np.concatenate(found), return_inverse=True)
        small = small.ravel() - int(len(distinct) > 0 and distinct[0] == ABSENT)
        found = np.split(small, np.cumsum([len(own) for own in found])[:-1])
    return [own.astype(np.intp) for own in found]


Keys = str | tuple[Any, ...] | Callable[[Any], Any]


def key_codes(tables: list[Any], names: list[str], rule: Any) -> tuple[list[Codes], Factor | None]:
    """Codes of the keys of a blocking rule, by table, and the factor that names them.

    Raises
    ------
    ValueError
        If a column does not exist, or a function does not return a key for each record.
    """
    parts = rule if isinstance(rule, tuple) else (rule,)
    factors = []
    for part in parts:
        columns = []
        for table, name in zip(tables, names, strict=True):
            if callable(part):
                where = f"the keys that {_name_of(part)} returns for {name}"
                own = vector_of(part(table), where)
                if len(own) != n_records(table, name):
                    raise ValueError(
                        f"A function in block must return one key for each record, but "
                        f"{_name_of(part)} returns {len(own)} for {n_records(table, name)} records."
                    )
            else:
                own = column_of(table, part, name)
            columns.append(own)
        factors.append(Factor(columns))
    single = factors[0] if len(factors) == 1 else None
    return joined_codes(factors), single


def _name_of(part: Any) -> str:
    return str(getattr(part, "__name__", repr(part)))
