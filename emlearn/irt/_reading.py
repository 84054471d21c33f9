"""Reads responses, groups, covariates and loadings, with errors that name what is wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from emlearn.data.names import label
from emlearn.data.values import to_floats
from emlearn.irt._persons import ABSENT, Codes
from emlearn.irt._quadrature import DEFAULT_NODES

Array = NDArray[np.float64]

#: More categories than this are taken for numbers.
MOST_CATEGORIES = 50


def read_codes(table: Array, names: Any) -> Codes:
    """Responses as codes, with -1 for NaN.

    Raises
    ------
    ValueError
        If a response is no integer, is negative, or is at least 50.
    """
    present = ~np.isnan(table)
    complete = bool(present.all())
    values = table if complete else np.where(present, table, 0.0)
    for wrong, problem in (
        (values < 0.0, "Negative values in data"),
        (values != np.floor(values), "Numbers that are not integers"),
        (values >= MOST_CATEGORIES, f"More than {MOST_CATEGORIES} categories"),
    ):
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise ValueError(
                f"{problem}: {label(names, column)}, row {row}, is {table[row, column]:g}. "
                "Responses are codes of ordered categories, 0, 1, 2, ...; NaN means that the item "
                "was not presented."
            )
    codes = values.astype(np.int8)
    if not complete:
        codes[~present] = ABSENT
    return codes


def learn_categories(
    codes: Codes, is_binary: bool, model: str, names: Any
) -> list[NDArray[np.int64]]:
    """Codes of the categories of each item, in ascending order, at least two.

    Raises
    ------
    ValueError
        If an item has no response, or more categories than the model takes.
    """
    largest = codes.max(axis=0)
    empty = np.flatnonzero(largest == ABSENT)
    if empty.size:
        raise ValueError(
            f"{label(names, int(empty[0]))} has no response from a person of positive weight. "
            "Leave the item out."
        )
    if is_binary and largest.max() > 1:
        column = int(largest.argmax())
        raise ValueError(
            f"{label(names, column)} has the response {largest[column]}, but model={model!r} takes "
            "0 and 1. Use model='grm' or 'gpcm' for items of more categories."
        )
    if is_binary:
        return [np.arange(2)] * len(largest)
    categories = []
    for column in codes.T:
        seen = np.unique(column[column != ABSENT]).astype(np.int64)
        # An item without a second category has the one above or below.
        only = max(int(seen[0]), 1)
        categories.append(seen if len(seen) > 1 else np.array([only - 1, only]))
    return categories


def skipped_categories(categories: list[NDArray[np.int64]], names: Any) -> str:
    """Message about items that lack a code between two others; empty if there are none."""
    found = [j for j, seen in enumerate(categories) if seen[-1] - seen[0] >= len(seen)]
    if not found:
        return ""
    missing = sorted(set(range(int(categories[found[0]][-1]))) - set(categories[found[0]].tolist()))
    missing = [code for code in missing if code > categories[found[0]][0]]
    more = f" and {len(found) - 1} more items lack some" if len(found) > 1 else ""
    return (
        f"{label(names, found[0])} has no response {missing[0]}{more}. The model has only the "
        "categories that occur: see categories_."
    )


def encode(codes: Codes, categories: list[NDArray[np.int64]], names: Any) -> Codes:
    """Positions of responses among the categories of their items.

    Raises
    ------
    ValueError
        If a response is a category that the fit did not see.
    """
    sizes = np.array([len(seen) for seen in categories])
    usual = all(seen[0] == 0 and seen[-1] == len(seen) - 1 for seen in categories)
    if usual and (codes.max(axis=0, initial=ABSENT) < sizes).all():
        return codes
    found = np.empty_like(codes)
    for j, seen in enumerate(categories):
        table = np.full(MOST_CATEGORIES + 1, ABSENT - 1, dtype=np.int8)
        table[seen] = np.arange(len(seen))
        # The last place is that of the code -1.
        table[ABSENT] = ABSENT
        found[:, j] = table[codes[:, j]]
        wrong = np.flatnonzero(found[:, j] < ABSENT)
        if wrong.size:
            row = int(wrong[0])
            raise ValueError(
                f"{label(names, j)}, row {row}: the response {codes[row, j]} was not among the "
                f"categories of the fit, {seen.tolist()}."
            )
    return found


def read_groups(groups: Any, n_rows: int) -> NDArray[Any]:
    """Labels of groups, one for each person.

    Raises
    ------
    ValueError
        If there are too few or too many, or one is missing.
    """
    labels = np.asarray(groups)
    if labels.shape != (n_rows,):
        raise ValueError(
            f"groups must have one label for each row of X, shape ({n_rows},), but has shape "
            f"{labels.shape}."
        )
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(
            f"groups has NaN in row {int(np.flatnonzero(np.isnan(labels))[0])}. Each person needs "
            "a group; those of unknown group can be a group of their own."
        )
    if labels.dtype.kind == "O":
        missing = [value is None or value != value for value in labels]
        if any(missing):
            raise ValueError(
                f"groups has a missing label in row {missing.index(True)}. Each person needs a "
                "group; those of unknown group can be a group of their own."
            )
        is_text = [isinstance(value, str) for value in labels]
        if any(is_text) and not all(is_text):
            raise ValueError(
                f"groups has text, and in row {is_text.index(False)} a label that is none: labels "
                "of several types have no order. Convert them to one type, for example to str."
            )
        labels = labels.astype(str) if all(is_text) else labels
    return labels


def index_groups(labels: NDArray[Any], known: NDArray[Any]) -> NDArray[np.intp]:
    """Positions of labels among the known ones.

    Raises
    ------
    ValueError
        If a label is not known.
    """
    order = np.argsort(known)
    place = np.searchsorted(known[order], labels).clip(0, len(known) - 1)
    index = order[place]
    wrong = np.flatnonzero(known[index] != labels)
    if wrong.size:
        (name,) = labels[wrong[:1]].tolist()
        raise ValueError(
            f"Row {wrong[0]} is of the group {name!r}, which the fit did not have: its groups are "
            f"{known.tolist()}."
        )
    return index


def read_covariates(covariates: Any, n_rows: int) -> Array:
    """Covariates as floats, of shape (n_rows, n_covariates).

    Raises
    ------
    ValueError
        If the number of rows is wrong, or an entry is missing or infinite.
    """
    if getattr(covariates, "ndim", 2) == 1:
        covariates = np.asarray(covariates)[:, None]
    table = np.asarray(covariates)
    if table.ndim == 2 and table.dtype.kind not in "biuf":
        # Text and missing values of any kind, with an error that names their place.
        covariates = np.stack(
            [
                to_floats(column, f"column {j} of covariates", partial(_cell, j))
                for j, column in enumerate(table.T)
            ],
            axis=1,
        )
    values: Array = check_array(
        covariates, dtype=np.float64, ensure_all_finite=False, input_name="covariates"
    )
    wrong = np.argwhere(~np.isfinite(values))
    if wrong.size:
        row, column = wrong[0].tolist()
        raise ValueError(
            f"covariates contains {values[row, column]:g}".replace("nan", "NaN")
            + f" in {_cell(column, row)}. Leave the person out, or fill the entry in, for example "
            "with MissingDataImputerEM."
        )
    if len(values) != n_rows:
        raise ValueError(f"covariates has {len(values)} rows, but X has {n_rows}.")
    return values


def _cell(column: int, row: int) -> str:
    return f"column {column} of covariates, row {row}"


def check_covariates(centered: Array, weight: Array) -> None:
    """Raise ValueError if the effects of centered covariates cannot be told apart."""
    scale = np.sqrt(weight @ centered**2)
    constant = np.flatnonzero(scale <= 1e-10 * np.sqrt(weight.sum()))
    if constant.size:
        raise ValueError(
            f"Column {constant[0]} of covariates is constant, so its effect cannot be told from "
            "the difficulties of the items. Leave it out."
        )
    scaled = centered * np.sqrt(weight)[:, None] / scale
    rank = int(np.linalg.matrix_rank(scaled, tol=1e-8))
    if rank < centered.shape[1]:
        raise ValueError(
            f"The {centered.shape[1]} columns of covariates have rank {rank}: some are sums of "
            "others, so their effects cannot be told apart. Leave some out."
        )


def read_loadings(loadings: Any, n_items: int) -> NDArray[np.bool_]:
    """Which items have a slope on which dimension, of shape (n_items, n_dims).

    Raises
    ------
    ValueError
        If the shape is wrong, an entry is neither 0 nor 1, an item or a dimension has no slope,
        or two dimensions have the same items.
    """
    if loadings is None:
        return np.ones((n_items, 1), dtype=bool)
    values = np.asarray(loadings, dtype=np.float64)
    if values.ndim != 2 or len(values) != n_items:
        raise ValueError(
            f"loadings must have one row for each of the {n_items} items and one column for each "
            f"dimension, but has shape {values.shape}."
        )
    if values.shape[1] not in DEFAULT_NODES:
        raise ValueError(
            f"loadings has {values.shape[1]} columns, but a grid over more than "
            f"{max(DEFAULT_NODES)} dimensions is too large. Use fewer dimensions."
        )
    if not np.isin(values, (0.0, 1.0)).all():
        raise ValueError("loadings must be 1 where an item has a slope on a dimension, else 0.")
    loads = values == 1.0
    for axis, what in ((1, "Row"), (0, "Column")):
        without = np.flatnonzero(~loads.any(axis=axis))
        if without.size:
            raise ValueError(
                f"{what} {without[0]} of loadings has no 1: each item needs a dimension, and each "
                "dimension an item."
            )
    columns = [tuple(column) for column in loads.T]
    for first, column in enumerate(columns):
        if column in columns[first + 1 :]:
            second = columns.index(column, first + 1)
            raise ValueError(
                f"Columns {first} and {second} of loadings are equal, so any rotation of these two "
                "dimensions fits as well. Set one entry to 0."
            )
    return loads
