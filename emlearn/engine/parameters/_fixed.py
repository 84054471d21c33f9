"""Entries to hold, as a user gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emlearn.engine.parameters._part import Array
from emlearn.engine.parameters._space import ParameterSpace, Public


def read_fixed(
    fixed: Any, space: ParameterSpace, public: Mapping[str, Array], names: Mapping[str, str]
) -> Public:
    """Entries to hold, as a user gives them: checked, and by the names of the model.

    Parameters
    ----------
    fixed : mapping of str to array-like
        By published name without underscore; NaN where free.
    space : ParameterSpace
        The parts.
    public : mapping of str to ndarray
        Published parameters, for their shapes.
    names : mapping of str to str
        Names of the model by names that users may give.

    Raises
    ------
    ValueError
        If a name is unknown, a shape is wrong, or the entries are impossible. It is named.
    """
    if not isinstance(fixed, Mapping):
        raise ValueError(
            f"fixed must be a dict of arrays by parameter, with NaN where free; got {fixed!r}."
        )
    found: Public = {}
    for name, value in fixed.items():
        if name not in names:
            raise ValueError(
                f"fixed has the unknown parameter {name!r}; the parameters are "
                f"{', '.join(dict.fromkeys(names))}."
            )
        own = names[name]
        if own in found:
            raise ValueError(f"fixed names the parameter {own!r} twice.")
        try:
            array = np.array(value, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"fixed[{name!r}] must hold numbers, and NaN where free.") from None
        array = _only_once(array, np.shape(public[own]))
        shape = np.shape(public[own])
        if array.shape != shape:
            raise ValueError(
                f"fixed[{name!r}] must have shape {shape}, that of the estimates, with NaN where "
                f"free; got shape {array.shape}."
            )
        found[own] = array if np.isnan(array).all() else space.parts[own].check(array, name)
    return {name: value for name, value in found.items() if not np.isnan(value).all()}


def _only_once(array: Array, shape: tuple[int, ...]) -> Array:
    """An array that all components share, if it is given once for each of them."""
    repeats = array.ndim == len(shape) + 1 and array.shape[1:] == shape and len(array) > 0
    if repeats and np.array_equal(array, np.broadcast_to(array[0], array.shape), equal_nan=True):
        return array[0]
    return array
