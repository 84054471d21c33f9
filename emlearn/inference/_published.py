"""Named numbers of a fitted estimator: its published parameters, or a statistic of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: What a callable without names is called.
UNNAMED = "statistic"

# Attributes that describe a fit, not the model.
_OF_THE_FIT = {
    "converged_",
    "n_iter_",
    "log_likelihood_",
    "lower_bound_",
    "lower_bounds_",
    "history_",
    "restarts_",
    "classes_",
    "n_features_in_",
    "n_components_",
    "feature_names_in_",
    "alpha_",
}


class BadStatistic(ValueError):
    """A statistic returned what has no standard error."""


def published_parameters(estimator: Any) -> dict[str, Array]:
    """The parameters that a fitted estimator publishes, by name without underscore.

    An estimator says which these are in `_published_parameters`. Otherwise they are all its
    attributes with a trailing underscore that hold numbers, besides those that describe the fit.

    Raises
    ------
    ValueError
        If there are none.
    """
    if hasattr(estimator, "_published_parameters"):
        found: dict[str, Array] = estimator._published_parameters()
        return {name: np.array(value, np.float64) for name, value in found.items()}
    found = {}
    for name, value in vars(estimator).items():
        if name.endswith("_") and not name.startswith("_") and name not in _OF_THE_FIT:
            each = value if isinstance(value, Mapping) else {name.rstrip("_"): value}
            for key, part in each.items():
                array = np.asarray(part) if not isinstance(part, str) else np.empty(0, object)
                if array.dtype.kind in "iuf" and array.size:
                    found[str(key)] = array.astype(np.float64)
    if not found:
        raise ValueError(
            f"{type(estimator).__name__} publishes no parameters in attributes with a trailing "
            "underscore: give a statistic, a function of the fitted estimator."
        )
    return found


def named_values(estimator: Any, statistic: Callable[[Any], Any] | None) -> dict[str, Array]:
    """The published parameters, or what a statistic of the estimator returns.

    Raises
    ------
    BadStatistic
        If the statistic returns something other than numbers.
    """
    if statistic is None:
        return published_parameters(estimator)
    value = statistic(estimator)
    each = value if isinstance(value, Mapping) else {UNNAMED: value}
    found = {}
    for name, part in each.items():
        try:
            found[str(name)] = np.array(part, np.float64)
        except (TypeError, ValueError):
            raise BadStatistic(
                "statistic must return a number, an array of numbers or a dict of these; "
                f"{name!r} is {part!r}."
            ) from None
    if not found:
        raise BadStatistic("statistic returned a dict without entries.")
    return found


def flat_names(
    estimates: Mapping[str, Array], replicates: Mapping[str, Array]
) -> dict[str, tuple[NDArray[np.intp], list[str]]]:
    """Positions and names of the distinct entries of each array.

    Entries below the diagonal of symmetric matrices repeat those above it, so these are left out.

    Parameters
    ----------
    estimates : dict of str to ndarray
        The arrays.
    replicates : dict of str to ndarray of shape (n, ...)
        Their replicates: a matrix counts as symmetric if all of them are.

    Returns
    -------
    found : dict of str to (ndarray, list of str)
        Positions in the flattened array, and names such as ``means[0, 1]``.
    """
    found = {}
    for name, value in estimates.items():
        kept = np.ones(value.shape, bool)
        if _is_symmetric(value) and _is_symmetric(replicates[name]):
            kept &= np.triu(np.ones(value.shape[-2:], bool))
        places = np.argwhere(kept)
        labels = [
            name if value.ndim == 0 else f"{name}[{', '.join(map(str, place))}]"
            for place in places.tolist()
        ]
        found[name] = (np.flatnonzero(kept), labels)
    return found


def _is_symmetric(array: Array) -> bool:
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] == 1:
        return False
    size = np.abs(array).max(initial=0.0)
    return bool(np.abs(array - np.swapaxes(array, -1, -2)).max(initial=0.0) <= 1e-12 * size)
