"""Labels of a refit, matched with those of the fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]

# What the same number is worth, as a fraction of the rows: it decides between equal components.
_SAME = 1e-9


def responsibilities_of(estimator: Any, X: Any, lengths: Any) -> Array | None:
    """Posterior probabilities (n_rows, n_labels) of the labels; None if there is nothing to match.

    There is nothing to match if the estimator cannot renumber its labels or has a single one.
    """
    if not hasattr(estimator, "_permute_labels"):
        return None
    if hasattr(estimator, "_responsibilities"):
        found = estimator._responsibilities(X)
    else:
        found = estimator.predict_proba(X, **({} if lengths is None else {"lengths": lengths}))
    return None if found is None or found.shape[1] < 2 else np.asarray(found, np.float64)


def best_order(reference: Array, other: Array, known: int = 0) -> NDArray[np.intp]:
    """The order of the labels of `other` that agrees best with those of `reference`.

    Parameters
    ----------
    reference : ndarray of shape (n_rows, n_labels)
        Responsibilities of the fit, times the weights of the rows.
    other : ndarray of shape (n_rows, n_labels)
        Responsibilities of a refit for the same rows.
    known : int, default=0
        Number of the first labels that are those of known classes, which are never renumbered.

    Returns
    -------
    order : ndarray of shape (n_labels,)
        Label ``order[k]`` of `other` is label k of `reference`.
    """
    n = reference.shape[1]
    order = np.arange(n)
    if known < n - 1:
        agreement = reference[:, known:].T @ other[:, known:]
        agreement[np.diag_indices(n - known)] += _SAME * reference.sum()
        order[known:] = known + linear_sum_assignment(agreement, maximize=True)[1]
    return order


def align(estimator: Any, full: Any, reference: Array | None, X: Any, lengths: Any) -> None:
    """Renumber the labels of a refit, and rotate its factors, to agree with the fit.

    Parameters
    ----------
    estimator : object
        The refit, which is changed.
    full : object
        The fit.
    reference : ndarray of shape (n_rows, n_labels) or None
        Responsibilities of the fit, times the weights of the rows.
    X, lengths : object
        The rows that the responsibilities are those of.
    """
    # Entries that are held tell the components apart.
    if reference is not None and not getattr(full, "fixed", None):
        other = responsibilities_of(estimator, X, lengths)
        if other is not None and other.shape == reference.shape:
            order = best_order(reference, other, len(getattr(full, "classes_", ())))
            if not np.array_equal(order, np.arange(len(order))):
                estimator._permute_labels(order)
    if hasattr(estimator, "_rotate_to"):
        estimator._rotate_to(full)
