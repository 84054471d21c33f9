"""What the loadings of factors are, as published parameters: matrices up to a rotation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.parameters import Array, Mask, Part


@dataclass(frozen=True, eq=False)
class Loadings(Part):
    """Loadings (n_components, n_features, n_factors) of which only ``L L'`` matters.

    A rotation ``L R`` is no change, so loadings move in the directions that are perpendicular to
    those of rotations, ``L A`` with A antisymmetric. Those of a component are held together.

    Parameters
    ----------
    scale : ndarray of shape (n_components, n_features)
        Length of a moderate change of each row of the loadings.
    """

    scale: Array
    axes: tuple[str, ...] = ("component", "feature", "factor")

    def directions(self, at: Array, fixed: Mask) -> Array:
        """See `Part`."""
        found = []
        for k, (loadings, scale) in enumerate(zip(at, self.scale, strict=True)):
            for direction in [] if fixed[k].all() else _perpendicular(loadings / scale[:, None]):
                own = np.zeros(at.shape)
                own[k] = direction * scale[:, None]
                found.append(own.ravel())
        return np.array(found).T if found else np.zeros((at.size, 0))

    def count_free(self, at: Array, fixed: Mask) -> int:
        """See `Part`."""
        _, n_features, n_factors = at.shape
        each = n_features * n_factors - n_factors * (n_factors - 1) // 2
        return each * int(np.count_nonzero(~fixed.all(axis=(1, 2))))

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`: all entries of a component or none."""
        super().check(fixed, name)
        free = np.isnan(fixed)
        if (free.any(axis=(1, 2)) & ~free.all(axis=(1, 2))).any():
            raise ValueError(
                f"fixed[{name!r}] must hold all loadings of a component or none: they can rotate."
            )
        return fixed


def _perpendicular(loadings: Array) -> NDArray[np.float64]:
    """An orthonormal basis of the directions without rotations, (n_directions, d, k)."""
    d, k = loadings.shape
    turns = []
    for i in range(k):
        for j in range(i):
            turn = np.zeros((d, k))
            turn[:, i], turn[:, j] = loadings[:, j], -loadings[:, i]
            turns.append(turn.ravel())
    if not turns:
        return np.eye(d * k).reshape(-1, d, k)
    basis = np.linalg.svd(np.array(turns))[2][len(turns) :]
    return basis.reshape(-1, d, k)
