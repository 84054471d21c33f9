"""Arrays whose entries vary separately, or sum to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emlearn.engine.parameters._part import ROUNDING, Array, Mask, Part

# A probability of fewer rows than the first of these is 0. One of fewer rows than the second is at
# the bound too if the gradient pushes it there: by this part of the gradient of the others, or by
# this many rows of all.
_NOTHING, _FEW, _OFF, _PUSHED = 1e-6, 0.5, 0.1, 1e-3


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
            near |= at <= self.floor * (1.0 + ROUNDING)
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
        above = total > 1.0 + ROUNDING
        short = ~free.any(axis=-1) & (np.abs(total - 1.0) > ROUNDING)
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
