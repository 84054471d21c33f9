"""Parts whose arrays are arranged in another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emlearn.engine.parameters._part import Array, Mask, Part


@dataclass(frozen=True, eq=False)
class InParts(Part):
    """Arrays of a part whose first axis is split in two, such as component and part.

    Parameters
    ----------
    part : Part
        The part, for arrays with a single first axis.
    shape : tuple of int
        The two axes.
    """

    part: Part
    shape: tuple[int, int]

    @property
    def axes(self) -> tuple[str, ...]:  # type: ignore[override]  # of each instance
        """What each axis counts."""
        return (self.part.axes[0], "part", *self.part.axes[1:])

    @property
    def lower(self) -> float:  # type: ignore[override]  # of each instance
        """That of the part."""
        return self.part.lower

    @property
    def upper(self) -> float:  # type: ignore[override]  # of each instance
        """That of the part."""
        return self.part.upper

    def _flat(self, array: Any) -> Any:
        return array.reshape(-1, *array.shape[2:])

    def _split(self, array: Any) -> Any:
        return array.reshape(*self.shape, *array.shape[1:])

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`."""
        return self.part.directions(self._flat(at), self._flat(fixed))

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`."""
        return self.part.count_free(self._flat(at), self._flat(fixed))

    def move(self, at: Array, directions: Array, step: Array) -> Array:
        """See `Part`."""
        moved: Array = self._split(self.part.move(self._flat(at), directions, step))
        return moved

    def tangent(self, at: Array, directions: Array, step: Array) -> Array:
        """See `Part`."""
        return self.part.tangent(self._flat(at), directions, step)

    def impose(self, found: Array, fixed: Array) -> Array:
        """See `Part`."""
        imposed: Array = self._split(self.part.impose(self._flat(found), self._flat(fixed)))
        return imposed

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`."""
        checked: Array = self._split(self.part.check(self._flat(fixed), name))
        return checked

    def at_boundary(self, at: Array, one_row: float, gradient: Array | None) -> Mask:
        """See `Part`."""
        flat = None if gradient is None else self._flat(gradient)
        near: Mask = self._split(self.part.at_boundary(self._flat(at), one_row, flat))
        return near

    def shown(self, at: Array) -> Mask:
        """See `Part`."""
        shown: Mask = self._split(self.part.shown(self._flat(at)))
        return shown

    def bounds(self, at: Array) -> tuple[Array, Array]:
        """See `Part`."""
        low, high = self.part.bounds(self._flat(at))
        return self._split(low), self._split(high)


@dataclass(frozen=True, eq=False)
class Repeated(Part):
    """One array that is published once for each component.

    Parameters
    ----------
    part : Part
        The array without the axis of components.
    """

    part: Part

    @property
    def axes(self) -> tuple[str, ...]:  # type: ignore[override]  # of each instance
        """What each axis counts."""
        return ("component", *self.part.axes)

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`."""
        return np.tile(self.part.directions(at[0], np.asarray(fixed.any(axis=0))), (len(at), 1))

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`."""
        return self.part.count_free(at[0], np.asarray(fixed.any(axis=0)))

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`: the same for all components."""
        known = np.where(np.isnan(fixed), np.inf, fixed).min(axis=0)
        one = np.where(np.isinf(known), np.nan, known)
        if not (np.isnan(fixed) | (fixed == one)).all():
            raise ValueError(f"fixed[{name!r}] must be the same for all components.")
        return np.repeat(self.part.check(one, name)[None], len(fixed), axis=0)

    def bounds(self, at: Array) -> tuple[Array, Array]:
        """See `Part`."""
        low, high = self.part.bounds(at[0])
        return np.broadcast_to(low, at.shape), np.broadcast_to(high, at.shape)

    def shown(self, at: Array) -> Mask:
        """See `Part`: the first of the components."""
        shown = np.zeros(at.shape, bool)
        shown[0] = self.part.shown(at[0])
        return shown
