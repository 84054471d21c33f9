"""Reads tables of labels: long ones, with a row for each label, and wide ones, items by raters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

from emlearn._compat import validate_data
from emlearn.data.columns import Table, sort_key
from emlearn.data.factors import Factor, read_factor
from emlearn.data.frames import is_pandas, require_distinct_names
from emlearn.data.labels import UNKNOWN, check_one_for_each_row
from emlearn.data.markers import is_missing
from emlearn.data.names import at_start, label
from emlearn.data.tables import table_of
from emlearn.data.vectors import as_vector

Array = NDArray[Any]
Codes = NDArray[np.intp]

#: Names by which the columns of a long table are known.
_NAMES = (("item", "task"), ("rater", "worker"), ("label",))
_TYPES = {int: "integers", bool: "booleans", str: "text"}


class Ratings(NamedTuple):
    """The labels of a table.

    Attributes
    ----------
    items, raters : ndarray
        Names of the items and of the raters.
    values : ndarray
        Distinct labels, in their order.
    is_ordered : bool
        Whether this is an order of the labels: they are numbers, or ordered categories.
    row, item, rater, label : ndarray of int of shape (n_labels,)
        Row of X, item, rater and value of each label.
    item_of_row : ndarray of int of shape (n_rows,)
        Item of each row of X.
    shape : tuple of int
        That of X.
    is_long : bool
        Whether X has a row for each label.
    """

    items: Array
    raters: Array
    values: Array
    is_ordered: bool
    row: Codes
    item: Codes
    rater: Codes
    label: Codes
    item_of_row: Codes
    shape: tuple[int, int]
    is_long: bool


def read_ratings(estimator: Any, X: Any, layout: str, *, reset: bool) -> Ratings:
    """The labels of a table; sets or checks `n_features_in_` and `feature_names_in_`.

    Parameters
    ----------
    estimator : estimator
        The estimator that reads the table.
    X : array-like or DataFrame
        The table.
    layout : {"auto", "long", "wide"}
        Its layout.
    reset : bool
        Whether this is the table of a fit.

    Raises
    ------
    ValueError
        If the layout is not clear, a label is no label, an item or a rater has no name, or
        labels are of different types. The message names column and row.
    TypeError
        If X is sparse, or has lists, dicts or the like.
    """
    if issparse(X):
        raise TypeError(
            "Sparse data was passed, but labels of a sparse table cannot be told from entries "
            "that are missing. Pass a long table with the columns item, rater and label."
        )
    table = table_of(X)
    shape = table.X.shape
    if 0 in shape:  # scikit-learn's message
        check_array(np.broadcast_to(0.0, shape), estimator=estimator, input_name="X")
    if table.names is not None:
        require_distinct_names(table.X)
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError("Complex data not supported: X has complex numbers.")
    is_long = _is_long(table, layout)
    validate_data(estimator, table.X, reset=reset, skip_check_array=True)
    return _read_long(table) if is_long else _read_wide(estimator, table)


def _is_long(table: Table, layout: str) -> bool:
    names, n_columns = table.names, table.X.shape[1]
    named = _named_columns(names)
    if layout == "auto":
        if named is None and n_columns == 3:
            raise ValueError(
                "X has three columns, which may be items, raters and labels, or the labels of "
                "three raters. Set layout='long' or layout='wide', or name the columns 'item', "
                "'rater' and 'label'."
            )
        return named is not None
    if layout == "long" and named is None and n_columns != 3:
        raise ValueError(
            f"X has {n_columns} columns, but a long table has three: item, rater and label. Pass "
            "numbers of copies as sample_weight, or set layout='wide' if the columns are raters."
        )
    return layout == "long"


def _named_columns(names: Sequence[Any] | None) -> list[int] | None:
    """Positions of item, rater and label by their names; None if they have other names."""
    if names is None:
        return None
    found = []
    for choices in _NAMES:
        own = [list(names).index(name) for name in choices if name in names]
        if len(own) != 1:
            return None
        found += own
    if len(names) > len(found):
        other = next(name for j, name in enumerate(names) if j not in found)
        raise ValueError(
            f"X has the columns of a long table, and column {other!r}. Leave it out; pass numbers "
            "of copies as sample_weight."
        )
    return found


def _read_long(table: Table) -> Ratings:
    positions = _named_columns(table.names) or [0, 1, 2]
    columns = [table.columns[j] for j in positions]
    called = [label(table.names, j) for j in positions]
    items = read_factor(columns[0], called[0], noun="item")
    raters = read_factor(columns[1], called[1], noun="rater")
    row = np.flatnonzero(~columns[2].absent())
    factor = read_factor(columns[2], called[2], noun="label", rows=row)
    values, is_ordered, (codes,) = _joined([factor], [columns[2]], called[2:])
    return Ratings(
        items.levels,
        raters.levels,
        values,
        is_ordered,
        row,
        items.index[row],
        raters.index[row],
        codes,
        items.index,
        table.X.shape,
        True,
    )


def _read_wide(estimator: Any, table: Table) -> Ratings:
    n_rows, n_raters = table.X.shape
    names = table.names
    if names is None:
        names = list(getattr(estimator, "feature_names_in_", range(n_raters)))
    called = [label(table.names, j) for j in range(n_raters)]
    present = [np.flatnonzero(~column.absent()) for column in table.columns]
    factors = [
        read_factor(column, name, noun="label", rows=rows)
        for column, name, rows in zip(table.columns, called, present, strict=True)
    ]
    values, is_ordered, codes = _joined(factors, table.columns, called)
    raters = np.repeat(np.arange(n_raters), [len(rows) for rows in present])
    row = np.concatenate(present)
    index = table.X.index.to_numpy() if is_pandas(table.X) else np.arange(n_rows)
    return Ratings(
        index,
        as_labels(names),
        values,
        is_ordered,
        row,
        row,
        raters,
        np.concatenate(codes),
        np.arange(n_rows),
        table.X.shape,
        False,
    )


def _joined(
    factors: Sequence[Factor], columns: Sequence[Any], called: Sequence[str]
) -> tuple[Array, bool, list[Codes]]:
    """Labels of all columns, whether they have an order, and their codes in each column."""
    own = [factor.levels.tolist() for factor in factors]
    kinds: dict[type, str] = {}
    for levels, name in zip(own, called, strict=True):
        for value in levels:
            kinds.setdefault(type(value), f"{value!r} in {name}")
    if len(kinds) > 1 or not set(kinds) <= set(_TYPES):
        places = " and ".join(kinds.values())
        raise ValueError(
            f"Labels must be all integers, all text or all booleans, but there are {places}. "
            "Convert them to one type."
        )
    declared = {column.declared for column in columns if column.ordered}
    ordered = len(declared) == 1 and all(column.ordered for column in columns)
    every = sorted(set().union(*own), key=sort_key)
    if ordered:
        (order,) = declared
        occur = set(every)
        every = [value for value in order or () if value in occur]
    place = {value: i for i, value in enumerate(every)}
    codes = [
        np.array([place[value] for value in levels], np.intp)[factor.index]
        for levels, factor in zip(own, factors, strict=True)
    ]
    return as_labels(every), ordered or set(kinds) <= {int, bool}, codes


def as_labels(values: Iterable[Any]) -> Array:
    """Labels of one type as an array of integers, booleans or text; others as objects."""
    every = list(values)
    kinds = set(map(type, every))
    if kinds <= {str} or kinds <= {bool}:
        return np.array(every)
    if kinds <= {int} and all(abs(value) < 2**63 for value in every):
        return np.array(every, np.int64)
    array = np.empty(len(every), object)
    array[:] = every
    return array


def as_label(value: Any) -> Any:
    """A label as a Python object; whole numbers as integers."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_classes(classes: Any) -> Array:
    """Classes that a user declares, in their order.

    Raises
    ------
    ValueError
        If they are not distinct labels of one type, at least two.
    """
    every = [as_label(value) for value in classes]
    kinds = set(map(type, every))
    if len(kinds) != 1 or not kinds <= set(_TYPES):
        raise ValueError(
            f"classes must be integers, booleans or text, all of one type; got {classes!r}."
        )
    if len(set(every)) < max(len(every), 2):
        raise ValueError(f"classes must be at least two different labels; got {classes!r}.")
    return as_labels(every)


def read_truth(y: Any, n_rows: int, values: Iterable[Any]) -> tuple[Codes, list[Any]]:
    """Known classes of rows as positions among labels, `UNKNOWN` where unknown.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels; NaN, None and the like where unknown, and -1 if that is no label of a rater.
    n_rows : int
        Number of rows.
    values : iterable
        Labels of the raters.

    Returns
    -------
    codes : ndarray of shape (n_rows,)
        Positions.
    values : list
        Labels, with those at the end that occur only in y.

    Raises
    ------
    ValueError
        If the length is wrong, or a label is of another type than those of the raters.
    """
    check_one_for_each_row(y, n_rows)
    array = y if hasattr(y, "dtype") else np.array(y, dtype=object)
    vector = as_vector(np.asarray(array, dtype=object))
    check_one_for_each_row(vector, n_rows)
    place = {value: i for i, value in enumerate(values)}
    kinds = set(map(type, place))
    codes = np.full(n_rows, UNKNOWN, np.intp)
    for row, given in enumerate(vector.tolist()):
        if is_missing(given):
            continue
        value = as_label(given)
        if value == UNKNOWN and value not in place:
            continue
        if (kinds and type(value) not in kinds) or type(value) not in _TYPES:
            raise ValueError(
                f"y has {given!r} in row {row}, but the labels of the raters are "
                f"{_TYPES[kinds.pop()] if kinds else 'missing'}. Use the same labels, and None "
                "where the class is not known."
            )
        codes[row] = place.setdefault(value, len(place))
    return codes, list(place)


def classes_of_items(codes: Codes, ratings: Ratings, called: Array) -> Codes:
    """Known class of each item from those of its rows.

    Raises
    ------
    ValueError
        If two rows of an item have different classes.
    """
    found = np.full(len(ratings.items), UNKNOWN, np.intp)
    known = np.flatnonzero(codes != UNKNOWN)
    found[ratings.item_of_row[known]] = codes[known]
    differs = known[found[ratings.item_of_row[known]] != codes[known]]
    if differs.size:
        row = int(differs[0])
        item = ratings.item_of_row[row]
        raise ValueError(
            f"y has {called.tolist()[codes[row]]!r} in row {row} and "
            f"{called.tolist()[found[item]]!r} in another row of the item "
            f"{ratings.items.tolist()[item]!r}. An item has one class."
        )
    return found


def positions_of(ratings: Ratings, classes: Array) -> Codes:
    """Class of each distinct label.

    Raises
    ------
    ValueError
        If a label is no class. It is named.
    """
    place = {value: i for i, value in enumerate(classes.tolist())}
    codes = np.array([place.get(value, -1) for value in ratings.values.tolist()], np.intp)
    if (codes < 0).any():
        wrong = int(np.argmax(codes < 0))
        at = np.flatnonzero(ratings.label == wrong)
        where = f" in row {ratings.row[at[0]]}" if at.size else ""
        shown = ", ".join(map(repr, classes.tolist()[:8])) + ", ..." * (len(classes) > 8)
        raise ValueError(
            f"{at_start('X')} has the label {ratings.values.tolist()[wrong]!r}{where}, which is "
            f"none of the classes {shown}."
        )
    return codes
