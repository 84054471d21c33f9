"""What the published parameters of a model are: their free coordinates, bounds and fixed entries.

A parameter space describes each published array by a part: entries that vary separately,
probabilities that sum to one, symmetric matrices, or a curved set with coordinates of its own.
The part says along which straight lines (or curves) the array can move. Information, fixed
parameters and degrees of freedom all come from this one description.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.errors import DegenerateModelError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Public = dict[str, Array]

# What rounding may do to fixed entries that must agree with each other.
_ROUNDING = 1e-8
# A probability of fewer rows than the first of these is 0. One of fewer rows than the second is at
# the bound too if the gradient pushes it there: by this part of the gradient of the others, or by
# this many rows of all.
_NOTHING, _FEW, _OFF, _PUSHED = 1e-6, 0.5, 0.1, 1e-3


class Part(ABC):
    """One published array: which of its entries are free, and where they may move.

    Attributes
    ----------
    axes : tuple of str
        What each axis of the array counts, such as ``("component", "feature")``.
    lower, upper : float
        Bounds of all entries.
    """

    axes: tuple[str, ...]
    lower: float = -np.inf
    upper: float = np.inf

    @abstractmethod
    def directions(self, at: Array, fixed: Mask) -> Array:
        """Directions in which the array can move while the fixed entries stay.

        Parameters
        ----------
        at : ndarray
            The array.
        fixed : ndarray of bool, of the same shape
            Entries that are held.

        Returns
        -------
        directions : ndarray of shape (n_entries, n_free)
            Derivatives of the entries with respect to the free coordinates. Each is of a length
            on which the likelihood changes moderately.
        """

    def count_free(self, at: Array, fixed: Mask) -> int:
        """Number of free coordinates: that of `directions`."""
        return int(self.directions(at, fixed).shape[1])

    def move(self, at: Array, directions: Array, step: Array) -> Array:
        """The array after a step in its free coordinates; by default along straight lines."""
        return at + (directions @ step).reshape(at.shape)

    def tangent(self, at: Array, directions: Array, step: Array) -> Array:
        """Derivatives of the entries with respect to the free coordinates after a step."""
        return directions

    def impose(self, found: Array, fixed: Array) -> Array:
        """The array with the entries of `fixed` that are not NaN put in."""
        return np.where(np.isnan(fixed), found, fixed)

    def check(self, fixed: Array, name: str) -> Array:
        """Entries to hold, checked and completed; NaN where free.

        Raises
        ------
        ValueError
            If no array of this kind has these entries. The message names the parameter.
        """
        known = fixed[~np.isnan(fixed)]
        if not np.isfinite(known).all():
            raise ValueError(f"fixed[{name!r}] has entries that are infinite.")
        if known.size and (known.min() < self.lower or known.max() > self.upper):
            raise ValueError(
                f"fixed[{name!r}] has entries outside of [{self.lower:g}, {self.upper:g}]: "
                f"they range from {known.min():g} to {known.max():g}."
            )
        return fixed

    def at_boundary(self, at: Array, one_row: float, gradient: Array | None) -> Mask:
        """Entries at a bound, where there is no Wald interval.

        Parameters
        ----------
        at : ndarray
            The array.
        one_row : float
            The probability that one row of the data has.
        gradient : ndarray or None
            Gradient of the objective with respect to the entries, if it is known. EM approaches
            a bound slowly: an entry that is close to it and still pushed towards it is there.
        """
        return np.zeros(at.shape, bool)

    def shown(self, at: Array) -> Mask:
        """Entries that a table lists; others repeat these."""
        return np.ones(at.shape, bool)

    def bounds(self, at: Array) -> tuple[Array, Array]:
        """Bounds of each entry."""
        return np.full(at.shape, self.lower), np.full(at.shape, self.upper)


@dataclass(frozen=True, eq=False)
class Entries(Part):
    """Entries that vary separately.

    Parameters
    ----------
    axes : tuple of str, default=()
        What each axis counts.
    scale : ndarray, default=None
        Length of a moderate change of each entry, such as a standard deviation. None: the
        distance from a finite bound, or the entry itself, at least 1e-3.
    lower, upper : float
        Bounds of all entries.
    floor : ndarray, default=None
        Smallest value that estimates can take, if that is more than `lower`; an entry there is
        at a boundary.
    exists : ndarray of bool, default=None
        Entries that are parameters; the others, such as those that fill up an array, are
        constant. None means all.
    """

    axes: tuple[str, ...] = ()
    scale: Array | None = None
    lower: float = -np.inf
    upper: float = np.inf
    floor: Array | None = None
    exists: Mask | None = None

    def _free(self, fixed: Mask) -> Mask:
        return ~fixed if self.exists is None else ~fixed & self.exists

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`."""
        return np.diag(self._scale(at).ravel())[:, self._free(fixed).ravel()]

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`."""
        return int(np.count_nonzero(self._free(fixed)))

    def _scale(self, at: Array) -> Array:
        if self.scale is not None:
            return np.broadcast_to(np.asarray(self.scale, np.float64), at.shape)
        if np.isfinite(self.lower) or np.isfinite(self.upper):
            room = np.minimum(at - self.lower, self.upper - at)
            return np.where(room > 0.0, room, 1.0)
        return np.maximum(np.abs(at), 1e-3)

    def at_boundary(self, at: Array, one_row: float, gradient: Array | None) -> Mask:
        """See `Part`. A scale has no unit, so that only 0 itself, or the floor, is a boundary."""
        near = (at <= self.lower) | (at >= self.upper)
        if np.isfinite(self.lower) and np.isfinite(self.upper):
            push = np.zeros(at.shape) if gradient is None else np.asarray(gradient) * one_row
            near |= (at - self.lower <= _FEW * one_row) & (push < -_PUSHED)
            near |= (self.upper - at <= _FEW * one_row) & (push > _PUSHED)
        if self.floor is not None:
            near |= at <= self.floor * (1.0 + _ROUNDING)
        return near

    def shown(self, at: Array) -> Mask:
        """See `Part`."""
        return np.ones(at.shape, bool) if self.exists is None else self.exists


@dataclass(frozen=True, eq=False)
class Simplex(Part):
    """Probabilities that sum to one along the last axis.

    Parameters
    ----------
    axes : tuple of str, default=()
        What each axis counts.
    exists : ndarray of bool, default=None
        Entries that are parameters; the others are 0. None means all.
    """

    axes: tuple[str, ...] = ()
    exists: Mask | None = None
    lower: float = 0.0
    upper: float = 1.0

    def _held(self, at: Array, fixed: Mask) -> Mask:
        return fixed if self.exists is None else fixed | ~self.exists

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`: each free probability grows at the cost of the largest free one."""
        held = self._held(at, fixed).reshape(-1, at.shape[-1])
        rows = at.reshape(held.shape)
        found = []
        for i, row in enumerate(rows):
            free = np.flatnonzero(~held[i])
            if free.size < 2:
                continue
            largest = free[row[free].argmax()]
            for j in free[free != largest]:
                direction = np.zeros(rows.shape)
                size = max(row[j], np.finfo(np.float64).tiny)
                direction[i, j], direction[i, largest] = size, -size
                found.append(direction.ravel())
        return np.array(found).T if found else np.zeros((at.size, 0))

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`: one less than there are free probabilities in a row."""
        free = (~self._held(at, fixed)).sum(axis=-1)
        return int(np.maximum(free - 1, 0).sum())

    def impose(self, found: Array, fixed: Array) -> Array:
        """See `Part`: the free probabilities keep their proportions."""
        free = np.isnan(fixed)
        left = 1.0 - np.where(free, 0.0, fixed).sum(axis=-1, keepdims=True)
        own = np.where(free, found, 0.0)
        total = own.sum(axis=-1, keepdims=True)
        known = total > 0.0
        # Where all free ones are 0 they share what is left.
        count = np.maximum(free.sum(axis=-1, keepdims=True), 1)
        own = np.where(known, own / np.where(known, total, 1.0), free / count)
        return np.where(free, own * np.maximum(left, 0.0), fixed)

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`."""
        super().check(fixed, name)
        if self.exists is not None:
            wrong = np.argwhere(~self.exists & (fixed > 0.0))
            if len(wrong):
                raise ValueError(
                    f"fixed[{name!r}] is positive at {wrong[0].tolist()}, where the probability is "
                    "always 0: a zero of the starting values, or a level that does not exist."
                )
            fixed = np.where(self.exists, fixed, 0.0)
        free = np.isnan(fixed)
        total = np.where(free, 0.0, fixed).sum(axis=-1)
        above = total > 1.0 + _ROUNDING
        short = ~free.any(axis=-1) & (np.abs(total - 1.0) > _ROUNDING)
        if (above | short).any():
            which = np.argwhere(np.atleast_1d(above | short))[0].tolist()
            where = f" in row {which if len(which) > 1 else which[0]}" if fixed.ndim > 1 else ""
            need = "at most 1" if free.any() else "1"
            raise ValueError(
                f"fixed[{name!r}] has probabilities that sum to "
                f"{np.atleast_1d(total)[tuple(which)]:g}{where}; their sum must be {need}."
            )
        # A single free probability is what the others leave.
        single = free.sum(axis=-1) == 1
        rest = np.maximum(1.0 - total, 0.0)[..., None]
        return np.where(single[..., None] & free, rest, fixed)

    def at_boundary(self, at: Array, one_row: float, gradient: Array | None) -> Mask:
        """See `Part`."""
        near = at <= _NOTHING * one_row
        if gradient is not None:
            # At a maximum within the bounds, the gradients of all entries equal this sum.
            total = (gradient * at).sum(axis=-1, keepdims=True)
            near |= (gradient * at < _FEW) & (gradient < (1.0 - _OFF) * total)
        # What is left for the last one is then known.
        near |= (~near).sum(axis=-1, keepdims=True) == 1
        return near if self.exists is None else near & self.exists

    def shown(self, at: Array) -> Mask:
        """See `Part`: not what has to be 1."""
        if at.shape[-1] == 1:
            return np.zeros(at.shape, bool)
        return np.ones(at.shape, bool) if self.exists is None else self.exists


def per_probability(counts: Array, probability: Array) -> Array:
    """Gradient of ``sum(counts * log(probability))``; 0 where a probability is 0."""
    found = np.zeros(np.shape(counts))
    return np.divide(counts, probability, out=found, where=np.asarray(probability) > 0.0)


@dataclass(frozen=True, eq=False)
class Symmetric(Part):
    """Symmetric positive definite matrices along the last two axes.

    Parameters
    ----------
    axes : tuple of str, default=()
        What each axis counts.
    """

    axes: tuple[str, ...] = ()

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`. Lengths are those of conditional standard deviations."""
        d = at.shape[-1]
        matrices = at.reshape(-1, d, d)
        held = fixed.reshape(matrices.shape)
        found = []
        for k, matrix in enumerate(matrices):
            deviation = 1.0 / np.sqrt(np.diagonal(np.linalg.inv(matrix)))
            for i, j in zip(*np.triu_indices(d), strict=True):
                if not held[k, i, j]:
                    direction = np.zeros(matrices.shape)
                    direction[k, i, j] = direction[k, j, i] = deviation[i] * deviation[j]
                    found.append(direction.ravel())
        return np.array(found).T if found else np.zeros((at.size, 0))

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`: entries of the upper triangle."""
        triangle: Mask = np.triu(np.ones(at.shape[-2:], bool))
        return int(np.count_nonzero(~fixed & triangle))

    def impose(self, found: Array, fixed: Array) -> Array:
        """See `Part`.

        Raises
        ------
        DegenerateModelError
            If a matrix is then not positive definite.
        """
        matrices = super().impose(found, fixed)
        try:
            np.linalg.cholesky(matrices)
        except np.linalg.LinAlgError:
            raise DegenerateModelError(
                "a covariance with fixed entries is not positive definite"
            ) from None
        return matrices

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`: an entry given on one side of the diagonal holds for both."""
        super().check(fixed, name)
        other = np.swapaxes(fixed, -1, -2)
        both = ~np.isnan(fixed) & ~np.isnan(other)
        limit = _ROUNDING * np.abs(np.where(both, fixed, 0.0)).max(initial=0.0)
        if (np.abs(np.where(both, fixed - other, 0.0)) > limit).any():
            raise ValueError(f"fixed[{name!r}] must be symmetric.")
        fixed = np.where(np.isnan(fixed), other, fixed)
        d = fixed.shape[-1]
        for k, matrix in enumerate(fixed.reshape(-1, d, d)):
            known = np.flatnonzero(~np.isnan(np.diagonal(matrix)))
            block = matrix[np.ix_(known, known)]
            if (np.diagonal(block) <= 0.0).any() or (
                not np.isnan(block).any() and known.size and np.linalg.eigvalsh(block)[0] <= 0.0
            ):
                raise ValueError(
                    f"fixed[{name!r}]: matrix {k} has entries that no positive definite matrix has."
                )
        return fixed

    def bounds(self, at: Array) -> tuple[Array, Array]:
        """See `Part`: variances are positive."""
        diagonal = np.broadcast_to(np.eye(at.shape[-1], dtype=bool), at.shape)
        return np.where(diagonal, 0.0, -np.inf), np.full(at.shape, np.inf)

    def shown(self, at: Array) -> Mask:
        """See `Part`: the upper triangle."""
        triangle: Mask = np.triu(np.ones(at.shape[-2:], bool))
        return np.broadcast_to(triangle, at.shape)


@dataclass(frozen=True, eq=False)
class Curved(Part):
    """An array that moves on a curved set, which has coordinates of its own.

    There may be more coordinates than the set has dimensions; only directions in which the
    array moves count. Its entries cannot be held one by one.

    Parameters
    ----------
    encode : callable
        Coordinates, a vector, from the array.
    decode : callable
        The array from coordinates.
    n_free : int
        Number of dimensions of the set.
    axes : tuple of str, default=()
        What each axis counts.
    symmetric : bool, default=False
        Whether the last two axes are those of symmetric matrices.
    """

    encode: Callable[[Array], Array]
    decode: Callable[[Array], Array]
    n_free: int
    axes: tuple[str, ...] = ()
    symmetric: bool = False

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`: derivatives along the leading directions of the coordinates."""
        if fixed.all():
            return np.zeros((at.size, 0))
        return self._derivative(self.encode(at), np.eye(self.encode(at).size)) @ self._basis(at)

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`."""
        return 0 if fixed.all() else self.n_free

    def _basis(self, at: Array) -> Array:
        derivative = self._derivative(self.encode(at), np.eye(self.encode(at).size))
        length = np.linalg.norm(derivative, axis=1, keepdims=True)
        scaled = derivative / np.where(length > 0.0, length, 1.0)
        basis: Array = np.linalg.svd(scaled, full_matrices=False)[2][: self.n_free].T
        return basis

    def _derivative(self, coordinates: Array, along: Array) -> Array:
        h = 1e-5
        columns = [
            (self.decode(coordinates + h * step) - self.decode(coordinates - h * step)).ravel()
            for step in along.T
        ]
        return np.array(columns).T / (2.0 * h)

    def move(self, at: Array, directions: Array, step: Array) -> Array:
        """See `Part`."""
        if not step.size:
            return at
        return self.decode(self.encode(at) + self._basis(at) @ step)

    def tangent(self, at: Array, directions: Array, step: Array) -> Array:
        """See `Part`."""
        if not step.size:
            return directions
        basis = self._basis(at)
        return self._derivative(self.encode(at) + basis @ step, basis)

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`: all entries or none."""
        super().check(fixed, name)
        free = np.isnan(fixed)
        if free.any() and not free.all():
            raise ValueError(
                f"fixed[{name!r}] must hold all entries or none: they cannot vary separately."
            )
        return fixed

    def bounds(self, at: Array) -> tuple[Array, Array]:
        """See `Part`."""
        return Symmetric().bounds(at) if self.symmetric else super().bounds(at)

    def shown(self, at: Array) -> Mask:
        """See `Part`."""
        if not self.symmetric:
            return np.ones(at.shape, bool)
        return Symmetric().shown(at)


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
