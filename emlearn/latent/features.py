"""Rows of any family as points, for starts that cluster rows: sparse where most entries are 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from emlearn.distributions import Family

Array = NDArray[Any]


def features(family: Family, X: Any, column_spec: Any) -> Any:
    """Rows as points of a Euclidean space.

    Items are one-hot: two rows are as far apart as they have different answers. Counts are
    square roots, whose variance does not grow with the mean; those of sparse rows, which are
    documents, of their shares of the row. Other columns are standardized. A missing entry is
    at the mean of the others, or no answer at all.

    Parameters
    ----------
    family : Family
        Family of the rows.
    X : ndarray or CSR array of shape (n_rows, n_features)
        Rows.
    column_spec : object
        What the family learned about the columns.

    Returns
    -------
    points : ndarray or CSR array of shape (n_rows, n_dimensions)
        Sparse if `X` is, or if there are items with levels.
    """
    if hasattr(X, "indptr"):
        total = np.asarray(X.sum(axis=1), np.float64).ravel()
        share = np.repeat(1.0 / np.where(total > 0.0, total, 1.0), np.diff(X.indptr))
        return csr_array((np.sqrt(X.data * share), X.indices, X.indptr), shape=X.shape)
    levels = family.levels(column_spec) or [None] * X.shape[1]
    columns: list[Any] = [
        _number(column, family.is_discrete) if own is None else _one_hot(column, own)
        for column, own in zip(np.asarray(X, np.float64).T, levels, strict=True)
    ]
    if any(own is not None for own in levels):
        sparse: Any = [csr_array(column) for column in columns]
        return hstack(sparse, format="csr")
    return np.hstack(columns)


def _one_hot(column: Array, levels: Array) -> csr_array:
    order = np.argsort(levels)
    place = np.minimum(np.searchsorted(levels, column, sorter=order), len(levels) - 1)
    place = order[place]
    rows = np.flatnonzero(levels[place] == column)
    shape = (len(column), len(levels))
    return csr_array((np.ones(len(rows)), (rows, place[rows])), shape=shape)


def _number(column: Array, is_count: bool) -> Array:
    seen = ~np.isnan(column)
    filled = np.where(seen, column, 0.0)
    if is_count:
        filled = np.sqrt(np.maximum(filled, 0.0))
        return np.where(seen, filled, filled.sum() / max(int(seen.sum()), 1))[:, None]
    # Powers of the largest number may overflow.
    filled = filled / (np.abs(filled).max(initial=0.0) or 1.0)
    filled = np.where(seen, filled - filled.sum() / max(int(seen.sum()), 1), 0.0)
    deviation = np.sqrt(np.square(filled).mean())
    return (filled / deviation if deviation > 0.0 else filled)[:, None]


def dense(points: Any) -> Array:
    """The same points as an array."""
    found: Array = points.toarray() if hasattr(points, "indptr") else points
    return found
