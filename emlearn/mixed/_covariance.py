"""Covariances of random effects, which may be singular."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.constrained import put_in, scoring
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Array, Mask, Symmetric

# Eigenvalues of correlations that are 0 but for rounding.
_ROUNDING = 1e-9


def blocks_of(pattern: Mask) -> list[NDArray[np.intp]]:
    """Effects of each block of a pattern, in the order of the first ones."""
    return [np.flatnonzero(row) for j, row in enumerate(pattern) if not row[:j].any()]


def square_root(matrix: Array) -> Array:
    """Symmetric T with ``T @ T`` the matrix, which may be singular.

    Raises
    ------
    DegenerateModelError
        If the matrix is not positive semi-definite.
    """
    values, vectors = np.linalg.eigh(matrix)
    if not values[0] >= 0.0:
        size = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
        unit = np.where(size > 0.0, size, 1.0)
        if not np.linalg.eigvalsh(matrix / unit[:, None] / unit)[0] >= -_ROUNDING:
            raise DegenerateModelError("a covariance is not positive semi-definite")
    found: Array = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return found


def bounded(root: Array, smallest: float) -> Array:
    """A symmetric square root of nearly the same matrix, with eigenvalues not below `smallest`.

    Those of exactly 0 stay: effects without a variance are none.
    """
    return _raised(root, smallest, zero=0.0)


def invertible(root: Array, smallest: float) -> Array:
    """As `bounded`, with eigenvalues of 0 raised, too."""
    return _raised(root, smallest, zero=smallest)


def _raised(root: Array, smallest: float, zero: float) -> Array:
    values, vectors = np.linalg.eigh(root)
    if values[0] >= smallest:
        return root
    values = np.where(values == 0.0, zero, np.maximum(np.abs(values), smallest))
    found: Array = (vectors * values) @ vectors.T
    return found


def is_singular(matrix: Array) -> bool:
    """Whether a positive semi-definite matrix is singular."""
    size = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
    if not size.all():
        return True
    return bool(np.linalg.eigvalsh(matrix / size[:, None] / size)[0] <= _ROUNDING)


def _entries(block: Array, fixed: Mask) -> list[Array]:
    """Directions of the free entries of a positive definite matrix."""
    size = np.sqrt(np.diagonal(block))
    unit = size / np.sqrt(np.diagonal(np.linalg.inv(block / size[:, None] / size)))
    found = []
    for i, j in np.argwhere(np.triu(~fixed)):
        direction = np.zeros(block.shape)
        direction[i, j] = direction[j, i] = unit[i] * unit[j]
        found.append(direction)
    return found


class _Root:
    """A singular covariance as ``R @ R.T`` with R of full column rank, and how it moves."""

    def __init__(self, block: Array):
        self._size = np.sqrt(np.diagonal(block))
        values, vectors = np.linalg.eigh(block / self._size[:, None] / self._size)
        kept = values > _ROUNDING
        self._values, self._range, self._null = values[kept], vectors[:, kept], vectors[:, ~kept]
        self._root = self._size[:, None] * self._range * np.sqrt(self._values)
        self._inverse = np.linalg.pinv(self._root)

    def directions(self) -> list[Array]:
        """Changes of the matrix to which its rank is the same, at first."""
        rank, found = len(self._values), []
        for i in range(rank):
            for j in range(i + 1):
                outer = np.outer(self._range[:, i], self._range[:, j])
                found.append(np.sqrt(self._values[i] * self._values[j]) * outer)
            for null in self._null.T:
                found.append(self._values[i] * np.outer(self._range[:, i], null))
        return [0.5 * self._size[:, None] * (own + own.T) * self._size for own in found]

    def change(self, direction: Array) -> Array:
        """Change of R that changes the matrix so, at first."""
        part = direction @ self._inverse.T
        found: Array = part - 0.5 * self._root @ (self._inverse @ part)
        return found


@dataclass(frozen=True, eq=False)
class RandomCovariance(Symmetric):
    """Covariance of the random effects of a level; it may be singular.

    Parameters
    ----------
    pattern : ndarray of bool of shape (q, q)
        Entries that may differ from 0: blocks.
    axes : tuple of str, default=("effect", "effect")
        What each axis counts.
    """

    pattern: Mask = field(kw_only=True)
    axes: tuple[str, ...] = ("effect", "effect")

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`: single entries; those of a singular block move such that its rank stays.

        Lengths are those of standard deviations, given the others if possible.
        """
        found = []
        for own in self._blocks(at):
            block, held = at[own], fixed[own]
            if not is_singular(block):
                moves = _entries(block, held)
            else:
                moves = [] if held.any() else _Root(block).directions()
            for move in moves:
                direction = np.zeros(at.shape)
                direction[own] = move
                found.append(direction.ravel())
        return np.array(found).T if found else np.zeros((at.size, 0))

    def move(self, at: Array, directions: Array, step: Array) -> Array:
        """See `Part`: singular blocks stay so, also to the second order."""
        change = (directions @ step).reshape(at.shape)
        moved = at + change
        for own in self._blocks(at):
            if is_singular(at[own]):
                root = _Root(at[own]).change(change[own])
                moved[own] += root @ root.T
        return moved

    def tangent(self, at: Array, directions: Array, step: Array) -> Array:
        """See `Part`."""
        found = directions.copy()
        change = (directions @ step).reshape(at.shape)
        for own in self._blocks(at):
            if is_singular(at[own]):
                root = _Root(at[own])
                now = root.change(change[own])
                for k, direction in enumerate(directions.T):
                    more = np.zeros(at.shape)
                    product = root.change(direction.reshape(at.shape)[own]) @ now.T
                    more[own] = product + product.T
                    found[:, k] += more.ravel()
        return found

    def _blocks(self, at: Array) -> list[tuple[Array, ...]]:
        """Blocks of the pattern, without effects of variance 0."""
        there = np.diagonal(at) > 0.0
        live: list[Any] = [block[there[block]] for block in blocks_of(self.pattern)]
        return [np.ix_(own, own) for own in live if own.size]

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`."""
        return int(np.count_nonzero(self.shown(at) & ~fixed))

    def at_boundary(self, at: Array, one_row: float, gradient: Array | None) -> Mask:
        """See `Part`: effects of variance 0."""
        none = np.diagonal(at) <= 0.0
        return (none[:, None] | none) & self.pattern

    def impose(self, found: Array, fixed: Array) -> Array:
        """See `Part`: others change where the result would not be positive semi-definite.

        Raises
        ------
        DegenerateModelError
            If no positive semi-definite matrix has the entries.
        """
        matrix = np.where(np.isnan(fixed), found, fixed)
        for own in self._held_blocks(fixed):
            matrix[own] = put_in(found[own], fixed[own])
        square_root(matrix)
        return matrix

    def maximum(self, target: Array, start: Array, fixed: Array) -> Array:
        """The matrix with the entries of `fixed` that is closest to `target` by likelihood.

        Parameters
        ----------
        target : ndarray of shape (q, q)
            What the matrix would be if all entries were free.
        start : ndarray of shape (q, q)
            A matrix with the entries; the result is not worse.
        fixed : ndarray of shape (q, q)
            Entries to hold; NaN where free.
        """
        matrix = np.where(np.isnan(fixed), target, fixed)
        for own in self._held_blocks(fixed):
            if np.isnan(fixed[own]).all():
                continue
            matrix[own] = scoring(target[own], start[own], np.isnan(fixed[own]))
        return matrix

    def _held_blocks(self, fixed: Array) -> list[tuple[Array, ...]]:
        """Blocks of the pattern with free entries, without effects whose variance is held at 0."""
        there = np.diagonal(fixed) != 0.0
        found = []
        for block in blocks_of(self.pattern):
            own = np.ix_(block[there[block]], block[there[block]])
            if np.isnan(fixed[own]).any():
                found.append(own)
        return found

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`: an entry given on one side of the diagonal holds for both."""
        if not np.isfinite(fixed[~np.isnan(fixed)]).all():
            raise ValueError(f"fixed[{name!r}] has entries that are infinite.")
        both = ~np.isnan(fixed) & ~np.isnan(fixed.T)
        if not np.allclose(np.where(both, fixed, 0.0), np.where(both, fixed.T, 0.0)):
            raise ValueError(f"fixed[{name!r}] must be symmetric.")
        fixed = np.where(np.isnan(fixed), fixed.T, fixed)
        fixed = np.where(self.pattern, fixed, np.where(np.isnan(fixed), 0.0, fixed))
        if (fixed[~self.pattern] != 0.0).any():
            raise ValueError(
                f"fixed[{name!r}] has a covariance of effects that are independent: it must be 0."
            )
        none = np.diagonal(fixed) == 0.0
        alone = none[:, None] | none
        fixed = np.where(alone & np.isnan(fixed), 0.0, fixed)
        known = np.flatnonzero(~np.isnan(np.diagonal(fixed)))
        block = fixed[np.ix_(known, known)]
        wrong = bool((np.diagonal(block) < 0.0).any())
        if not wrong and known.size and not np.isnan(block).any():
            try:
                square_root(block)
            except DegenerateModelError:
                wrong = True
        if wrong:
            raise ValueError(f"fixed[{name!r}] has entries that no covariance matrix has.")
        return fixed

    def shown(self, at: Array) -> Mask:
        """See `Part`: the upper triangle."""
        triangle: Mask = np.triu(self.pattern)
        return triangle
