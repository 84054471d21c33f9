"""Rows of any family as points of a Euclidean space, for starts that find clusters of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

Array = NDArray[Any]


def points_of(X: Any, levels: Sequence[Array | None] | None, is_count: bool) -> Any:
    """Rows as points; see `Family.points`.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        Rows.
    levels : sequence of ndarray or None
        Levels of each column; None for a column of numbers, or if all are.
    is_count : bool
        Whether numbers are counts.
    """
    if hasattr(X, "indptr"):
        return csr_array((np.sqrt(np.nan_to_num(X.data)), X.indices, X.indptr), shape=X.shape)
    levels = levels or [None] * X.shape[1]
    return side_by_side(
        [
            _number(column, is_count) if own is None else _one_hot(column, own)
            for column, own in zip(np.asarray(X, np.float64).T, levels, strict=True)
        ]
    )


def side_by_side(parts: Sequence[Any]) -> Any:
    """Points whose coordinates are those of all parts; sparse if one of the parts is."""
    if any(hasattr(part, "indptr") for part in parts):
        return hstack([csr_array(part) for part in parts], format="csr")
    return np.hstack(parts)


def _one_hot(column: Array, levels: Array) -> csr_array:
    order = np.argsort(levels)
    place = np.minimum(np.searchsorted(levels, column, sorter=order), len(levels) - 1)
    place = order[place]
    rows = np.flatnonzero(levels[place] == column)
    shape = (len(column), len(levels))
    return csr_array((np.ones(len(rows)), (rows, place[rows])), shape=shape)


def _number(column: Array, is_count: bool) -> Array:
    """A column of numbers, of shape (n_rows, 1)."""
    seen = ~np.isnan(column)
    filled = np.where(seen, column, 0.0)
    n_seen = max(int(seen.sum()), 1)
    if is_count:
        filled = np.sqrt(np.maximum(filled, 0.0))
        return np.where(seen, filled, filled.sum() / n_seen)[:, None]
    # Squares of the largest numbers may overflow.
    filled = filled / (np.abs(filled).max(initial=0.0) or 1.0)
    filled = np.where(seen, filled - filled.sum() / n_seen, 0.0)
    deviation = np.sqrt(np.square(filled).mean())
    return (filled / deviation if deviation > 0.0 else filled)[:, None]
