"""Reading and checking of published parameters, which a user may have set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

# Probabilities that a user types in are rounded.
_SUM_TOLERANCE = 1e-6


class ParameterError(ValueError):
    """A published parameter is not valid.

    Parameters
    ----------
    name : str
        Name of the parameter.
    problem : str
        What is wrong. It completes "rate ...".
    place : tuple of int, default=()
        The component where it is wrong, and the column if there is one.
    """

    def __init__(self, name: str, problem: str, place: tuple[Any, ...] = ()):
        words = [f"{what} {i}" for what, i in zip(("component", "column"), place, strict=False)]
        where = f" of {', '.join(words)}" if words else ""
        super().__init__(f"{name}{where} {problem}.")
        self._args = (name, problem, place)

    def __reduce__(self) -> tuple[Any, ...]:
        return ParameterError, self._args

    def at(
        self,
        rename: Callable[[str], str] = str,
        component: Callable[[int], Any] = int,
        columns: Sequence[int] | None = None,
    ) -> ParameterError:
        """The same error about the parameter that this one is a part of."""
        name, problem, place = self._args
        place = tuple(map(component, place[:1])) + place[1:]
        if columns is not None and len(place) > 1:
            place = (place[0], columns[place[1]])
        return ParameterError(rename(name), problem, place)


def require_names(public: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise ParameterError if a parameter is missing."""
    for name in names:
        if name not in public:
            have = ", ".join(map(str, public)) or "none"
            raise ParameterError(name, f"is missing from the parameters; those given are: {have}")


def read_parameter(
    public: Mapping[str, ArrayLike], name: str, shape: tuple[int | str, ...]
) -> Array:
    """A published parameter as a finite float64 array.

    Parameters
    ----------
    public : mapping of str to array-like
        Parameters by name.
    name : str
        Name of the one to read.
    shape : tuple of int or str
        Shape that it must have. A str stands for any length but 0, and names it.

    Raises
    ------
    ParameterError
        If it is missing, has another shape, or has an entry that is not finite.
    """
    array = _numbers(public, name)
    lengths = zip(array.shape, shape, strict=False)
    fits = all(n > 0 if isinstance(own, str) else n == own for n, own in lengths)
    if array.ndim != len(shape) or not fits:
        need = f"({', '.join(map(str, shape))})"
        raise ParameterError(name, f"must have shape {need}, got {array.shape}")
    require_entries(np.isfinite(array), array, name, "which is not finite")
    return array


def shape_of_parameter(public: Mapping[str, ArrayLike], name: str) -> tuple[int, int]:
    """The first two axes of a published parameter: components and features.

    Raises
    ------
    ParameterError
        If it is missing, or has fewer than two dimensions.
    """
    shape = _numbers(public, name).shape
    if len(shape) < 2:
        need = "must have shape (n_components, n_features, ...)"
        raise ParameterError(name, f"{need}, got {shape}")
    return shape[0], shape[1]


def _numbers(public: Mapping[str, ArrayLike], name: str) -> Array:
    require_names(public, (name,))
    try:
        return np.asarray(public[name], np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ParameterError(name, f"must be an array of numbers: {error}") from None


def require_entries(valid: Array, array: Array, name: str, problem: str) -> None:
    """Raise ParameterError for the first entry that is not valid."""
    if not valid.all():
        place = tuple(int(i) for i in np.argwhere(~valid)[0])
        raise ParameterError(name, f"is {array[place]:.6g}, {problem}", place[:2])


def read_probabilities(
    public: Mapping[str, ArrayLike], name: str, shape: tuple[int | str, ...]
) -> Array:
    """Published probabilities, normalized along the last axis.

    Raises
    ------
    ParameterError
        If one is negative, or they do not sum to 1; names the component.
    """
    array = read_parameter(public, name, shape)
    require_entries(array >= 0.0, array, name, "which is negative")
    total = array.sum(axis=-1)
    wrong = np.argwhere(np.abs(total - 1.0) > _SUM_TOLERANCE)
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise ParameterError(name, f"sums to {total[place]:.8g}, but must sum to 1", place)
    return array / total[..., None]
