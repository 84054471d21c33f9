"""Classes known of some rows: from `y` to components, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from emlearn.latent.labels import UNKNOWN

Array = NDArray[Any]


class KnownLabels(NamedTuple):
    """What `y` says.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The classes, sorted; class c is component c.
    components : ndarray of shape (n_rows,)
        Component of each row, `UNKNOWN` where it is not known.
    """

    classes: Array
    components: NDArray[np.intp]


def read_labels(y: Any, X: Any) -> KnownLabels | None:
    """Classes of the rows, of which -1 is that of rows whose class is unknown.

    None if no class is known.

    Raises
    ------
    ValueError
        If `y` has another length than X, is continuous, or is an array of strings, in
        which -1 cannot be told from "-1".
    """
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    if y.dtype.kind in "US":
        raise ValueError(
            "y is an array of strings, in which no row can be marked as unknown. Pass it with "
            "dtype object, and -1 for the rows whose class is not known."
        )
    unknown = np.array([value == UNKNOWN for value in y], bool) if y.dtype == object else y == -1
    if unknown.all():
        return None
    check_classification_targets(y[~unknown])
    classes, codes = np.unique(y[~unknown], return_inverse=True)
    components = np.full(len(y), UNKNOWN, np.intp)
    components[~unknown] = codes
    return KnownLabels(classes, components)


def classes_of(components: Array, classes: Array) -> Array:
    """Classes of components; -1 for those beyond the classes, which are none of them."""
    named = components < len(classes)
    known = classes[np.minimum(components, len(classes) - 1)]
    if named.all():
        return known
    if known.dtype.kind not in "if":
        known = known.astype(object)
    return np.where(named, known, UNKNOWN)
