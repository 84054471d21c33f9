"""Reads comparison vectors, and merges pairs that have the same pattern."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data import read_table
from emlearn.linkage._pairs import MISSING, RecordPairs

Array = NDArray[Any]

#: Largest number of levels of a comparison.
MOST_LEVELS = 100
# Patterns are counted in a table if there can be no more than this many.
_COUNTED = 2**22
# Rows that are counted at a time.
_ROWS = 2**18


class Patterns(NamedTuple):
    """Distinct comparison vectors, in the order of their levels.

    Attributes
    ----------
    levels : ndarray of shape (n_patterns, n_comparisons), dtype int8
        Levels; `MISSING` where not comparable.
    weight : ndarray of shape (n_patterns,)
        Number of pairs; all positive.
    """

    levels: NDArray[np.int8]
    weight: NDArray[np.float64]

    @property
    def X(self) -> NDArray[np.float64]:
        """Levels as numbers, with NaN where not comparable."""
        return np.where(self.levels == MISSING, np.nan, self.levels)


def read_levels(estimator: Any, X: Any, *, reset: bool) -> NDArray[np.int8]:
    """Levels of pairs, (n_pairs, n_comparisons), with `MISSING` where not comparable.

    Sets or checks the names of the comparisons as `emlearn.data.read_table` does.

    Raises
    ------
    ValueError
        If an entry is no level; the message names its row and column.
    """
    if isinstance(X, RecordPairs):
        return _levels_of_pairs(estimator, X, reset)
    table = read_table(estimator, X, reset=reset, dtype=(np.float64,), allow_nan=True)
    absent = np.isnan(table)
    with np.errstate(invalid="ignore"):
        wrong = ~absent & ~((table >= 0.0) & (table == np.floor(table)) & (table < MOST_LEVELS))
    if wrong.any():
        with np.errstate(invalid="ignore"):
            below = table < 0.0
        i, j = np.argwhere(below if below.any() else wrong)[0]
        negative = " Negative values in data are no levels." if below.any() else ""
        raise ValueError(
            f"X has the level {table[i, j]:g} in row {i}, {column_name(estimator, j)}. Levels are "
            f"integers 0 (disagree), 1, ... below {MOST_LEVELS}, the largest for exact agreement, "
            f"and NaN where two records cannot be compared.{negative}"
        )
    return np.where(absent, MISSING, table).astype(np.int8)


def _levels_of_pairs(estimator: Any, pairs: RecordPairs, reset: bool) -> NDArray[np.int8]:
    names = np.array(pairs.names, object)
    owner = type(estimator).__name__
    if not len(pairs):
        raise ValueError(f"There are no pairs: {owner} needs at least 1.")
    if reset:
        estimator.feature_names_in_ = names
        estimator.n_features_in_ = len(names)
        return pairs.levels
    known = getattr(estimator, "feature_names_in_", None)
    if len(names) != estimator.n_features_in_:
        raise ValueError(
            f"X has {len(names)} comparisons, but {owner} was fitted to {estimator.n_features_in_}."
        )
    if known is not None and not np.array_equal(known, names):
        raise ValueError(
            f"X has the comparisons {', '.join(names)}, but {owner} was fitted to "
            f"{', '.join(map(str, known))}, in this order."
        )
    return pairs.levels


def column_name(estimator: Any, column: int) -> str:
    """A comparison, for messages."""
    names = getattr(estimator, "feature_names_in_", None)
    return f"comparison {names[column]!r}" if names is not None else f"comparison {column}"


def comparison_names(estimator: Any) -> list[str]:
    """Names of the comparisons; their positions as text if they have none."""
    names = getattr(estimator, "feature_names_in_", None)
    return [str(j) for j in range(estimator.n_features_in_)] if names is None else list(names)


def read_n_levels(declared: Any, estimator: Any, X: Any, patterns: Patterns) -> tuple[int, ...]:
    """Number of levels of each comparison: declared, of the pairs, or by the levels that occur.

    Raises
    ------
    ValueError
        If the declaration is invalid, or there are levels beyond it.
    """
    highest = patterns.levels.max(axis=0, initial=MISSING).astype(np.intp)
    if declared is None and isinstance(X, RecordPairs):
        declared = X.n_levels
    if declared is None:
        return tuple(int(n) for n in np.maximum(highest + 1, 2))
    n_columns = len(highest)
    each = list(declared) if isinstance(declared, Sequence | np.ndarray) else [declared] * n_columns
    if len(each) != n_columns:
        raise ValueError(
            f"n_levels has {len(each)} entries, but there are {n_columns} comparisons. Give one "
            "number for each, or one for all."
        )
    for j, own in enumerate(each):
        where = column_name(estimator, j)
        if not isinstance(own, Integral) or not 2 <= int(own) <= MOST_LEVELS:
            raise ValueError(
                f"n_levels must be integers from 2 to {MOST_LEVELS}, got {own!r} for {where}."
            )
        if highest[j] >= own:
            raise ValueError(
                f"X has the level {highest[j]} in {where}, but n_levels declares {own} levels: 0 "
                f"to {own - 1}."
            )
    return tuple(int(own) for own in each)


def check_known(estimator: Any, levels: NDArray[np.int8], n_levels: Sequence[int]) -> None:
    """Raise ValueError if pairs have levels beyond those of the fit."""
    if not len(levels):
        return
    for j, (highest, n) in enumerate(zip(levels.max(axis=0), n_levels, strict=True)):
        if highest >= n:
            row = int(np.argmax(levels[:, j]))
            raise ValueError(
                f"X has the level {highest} in row {row}, {column_name(estimator, j)}, but the "
                f"fit knows the levels 0 to {n - 1}. Declare n_levels before the fit."
            )


def merge(levels: NDArray[np.int8], weight: Array | None) -> Patterns:
    """Distinct comparison vectors and their counts, without those of weight 0.

    The result does not depend on the order of the rows, apart from rounding of sums of weights
    that are no integers.
    """
    sizes = levels.max(axis=0, initial=0).astype(np.int64) + 2
    if np.log2(sizes).sum() > np.log2(_COUNTED):
        found, index = np.unique(levels, axis=0, return_inverse=True)
        total = np.bincount(index.ravel(), weight, len(found)).astype(np.float64)
        return Patterns(found[total > 0.0], total[total > 0.0])
    n = int(np.prod(sizes))
    total = np.zeros(n)
    for start in range(0, len(levels), _ROWS):
        rows = slice(start, start + _ROWS)
        codes = np.zeros(len(levels[rows]), np.int64)
        for column, size in zip(levels[rows].T, sizes, strict=True):
            codes *= size
            codes += column + np.int64(1)
        total += np.bincount(codes, None if weight is None else weight[rows], n)
    seen = np.flatnonzero(total)
    codes = np.stack(np.unravel_index(seen, tuple(sizes)), axis=1) - 1
    return Patterns(codes.astype(np.int8), total[seen])
