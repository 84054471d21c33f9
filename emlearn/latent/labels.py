"""Known labels, in the form that the models use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from emlearn.data.labels import UNKNOWN

Array = NDArray[Any]


class KnownLabels(NamedTuple):
    """The rows whose labels are known, and their labels.

    Attributes
    ----------
    rows : ndarray of shape (n_known,)
        Positions of the rows.
    labels : ndarray of shape (n_known,)
        Component or state of each row.
    """

    rows: NDArray[np.intp]
    labels: NDArray[np.intp]

    @classmethod
    def find(cls, labels: NDArray[np.intp] | None) -> KnownLabels | None:
        """The known labels among `labels`; None if there are none."""
        if labels is None:
            return None
        rows = np.flatnonzero(labels != UNKNOWN)
        return cls(rows, labels[rows]) if rows.size else None

    def impose(self, joint: Array) -> None:
        """Set all other labels of these rows to -inf in `joint` (n_labels, n_rows)."""
        kept = joint[self.labels, self.rows]
        joint[:, self.rows] = -np.inf
        joint[self.labels, self.rows] = kept


def with_labels(responsibilities: Array, labels: NDArray[np.intp]) -> Array:
    """Responsibilities that agree with the known labels.

    If every component has rows with its label, each starts from those rows alone.
    """
    hot = labels == np.arange(len(responsibilities))[:, None]
    if hot.any(axis=1).all():
        return hot.astype(np.float64)
    return np.where(labels != UNKNOWN, hot, responsibilities)


def in_order(labels: NDArray[Any]) -> NDArray[np.intp]:
    """The same clusters, numbered by their first rows."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()]


def renumbered(
    clusters: NDArray[np.intp], known: NDArray[np.intp], weight: NDArray[Any], n: int
) -> NDArray[np.intp]:
    """The same clusters, numbered so that they agree best with the known labels."""
    seen = known != UNKNOWN
    table = np.zeros((n, n))
    np.add.at(table, (clusters[seen], known[seen]), weight[seen])
    number: NDArray[np.intp] = linear_sum_assignment(table, maximize=True)[1]
    return number[clusters]
