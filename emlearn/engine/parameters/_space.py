"""The parts of all published arrays, and their free coordinates around a point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from emlearn.engine.parameters._part import Array, Mask, Part

Public = dict[str, Array]


@dataclass(frozen=True, eq=False)
class ParameterSpace:
    """The parts of the published parameters of a model, by name."""

    parts: Mapping[str, Part]

    def impose(self, public: Mapping[str, Array], fixed: Mapping[str, Array]) -> Public:
        """Published parameters with the fixed entries put in; `fixed` is as `read_fixed` made it.

        Raises
        ------
        DegenerateModelError
            If there are no valid parameters with these entries and the others.
        """
        return {
            name: self.parts[name].impose(value, fixed[name]) if name in fixed else value
            for name, value in public.items()
        }

    def n_free(self, public: Mapping[str, Array], fixed: Mapping[str, Array]) -> int:
        """Number of free coordinates."""
        total = 0
        for name, part in self.parts.items():
            at = np.asarray(public[name], np.float64)
            held = ~np.isnan(fixed[name]) if name in fixed else np.zeros(at.shape, bool)
            total += part.count_free(at, held)
        return total

    def coordinates(
        self,
        public: Mapping[str, Array],
        fixed: Mapping[str, Array] | None = None,
        *,
        one_row: float = 0.0,
        gradient: Mapping[str, Array] | None = None,
    ) -> Coordinates:
        """Free coordinates around published parameters.

        Parameters
        ----------
        public : mapping of str to ndarray
            The published parameters.
        fixed : mapping of str to ndarray, default=None
            Entries that are held; NaN where free.
        one_row : float, default=0
            The probability that one row of the data has. If it is positive, entries at a boundary
            are held too.
        gradient : mapping of str to ndarray, default=None
            Gradient of the objective, which tells more about what is at a boundary.
        """
        fixed = fixed or {}
        at = {name: np.asarray(public[name], np.float64) for name in self.parts}
        held, boundary, directions = {}, {}, {}
        for name, part in self.parts.items():
            value = at[name]
            own = ~np.isnan(fixed[name]) if name in fixed else np.zeros(value.shape, bool)
            near = np.zeros(value.shape, bool)
            if one_row > 0.0:
                push = None if gradient is None else np.asarray(gradient[name])
                near = part.at_boundary(value, one_row, push) & ~own
            held[name], boundary[name] = own, near
            directions[name] = part.directions(value, own | near)
        return Coordinates(self.parts, at, held, boundary, directions)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Free coordinates of published parameters around a point.

    Attributes
    ----------
    parts : mapping of str to Part
        The parts.
    at : dict of str to ndarray
        The point, where all coordinates are 0.
    held, boundary : dict of str to ndarray of bool
        Entries that are fixed by the user, and others that are at a boundary.
    directions : dict of str to ndarray of shape (n_entries, n_free)
        Derivatives of the entries with respect to the coordinates of the part.
    """

    parts: Mapping[str, Part]
    at: Public
    held: Mapping[str, Mask]
    boundary: Mapping[str, Mask]
    directions: Mapping[str, Array]

    @property
    def n_free(self) -> int:
        """Number of coordinates."""
        return sum(own.shape[1] for own in self.directions.values())

    def split(self, vector: Array) -> dict[str, Array]:
        """The coordinates of each part."""
        sizes = [own.shape[1] for own in self.directions.values()]
        return dict(zip(self.directions, np.split(vector, np.cumsum(sizes)[:-1]), strict=True))

    def move(self, vector: Array) -> Public:
        """Published parameters at other coordinates."""
        return {
            name: self.parts[name].move(self.at[name], self.directions[name], own)
            for name, own in self.split(vector).items()
        }

    def pull(self, gradient: Mapping[str, Any], vector: Array) -> Array:
        """Gradient with respect to the coordinates, from that with respect to the entries.

        Parameters
        ----------
        gradient : mapping of str to ndarray
            As if all entries were separate.
        vector : ndarray of shape (n_free,)
            The coordinates at which the gradient was taken.
        """
        found = []
        for name, step in self.split(vector).items():
            tangent = self.parts[name].tangent(self.at[name], self.directions[name], step)
            found.append(tangent.T @ np.ravel(gradient[name]))
        return np.concatenate(found) if found else np.zeros(0)

    def jacobian(self) -> Array:
        """Derivatives of all entries, in the order of the parts, (n_entries, n_free)."""
        sizes = [self.at[name].size for name in self.parts]
        found = np.zeros((sum(sizes), self.n_free))
        row = column = 0
        for name, size in zip(self.parts, sizes, strict=True):
            own = self.directions[name]
            found[row : row + size, column : column + own.shape[1]] = own
            row, column = row + size, column + own.shape[1]
        return found
