"""Symmetric matrices, and curved sets with coordinates of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters._part import ROUNDING, Array, Mask, Part


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
        limit = ROUNDING * np.abs(np.where(both, fixed, 0.0)).max(initial=0.0)
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
