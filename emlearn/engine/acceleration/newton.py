"""Newton steps, for models that know how the objective curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emlearn.engine.acceleration.contract import Vector

# Damping after a first rejection, its factor, and below which part there is none.
_FIRST, _FACTOR, _LEAST = 1.0, 10.0, 1e-2
# Eigenvalue below this part of the largest is a direction without information.
_FLAT = 1e-12


@dataclass(frozen=True)
class Newton:
    """Steps ``inv(information) @ gradient``, shorter after rejected ones (Levenberg, Marquardt).

    Gradient and information are those of `LatentVariableModel.curvature`. The information need
    not be exact, nor positive definite; EM steps go on where a proposal is rejected.
    """

    def start(self) -> NewtonRun:
        """New memory for one run."""
        return NewtonRun()


@dataclass
class NewtonRun:
    """Memory of one run."""

    _damping: float = 0.0

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`: without a curvature there is no proposal."""
        return None

    def propose_newton(self, point: Vector, gradient: Vector, information: Vector) -> Vector | None:
        """See `UsesCurvature.propose_newton`."""
        size = np.sqrt(np.abs(np.diagonal(information)))
        if not (np.isfinite(information).all() and np.isfinite(gradient).all() and size.any()):
            return None
        size = np.where(size > 0.0, size, size.max())
        values, vectors = np.linalg.eigh(information / size[:, None] / size)
        along = vectors.T @ (gradient / size)
        known = values > _FLAT * values[-1]
        step = np.where(known, along / np.where(known, values + self._damping, 1.0), 0.0)
        return point + (vectors @ step) / size

    def update(self, accepted: bool) -> None:
        """See `AcceleratorRun.update`."""
        if not accepted:
            self._damping = max(self._damping * _FACTOR, _FIRST)
        else:
            self._damping = self._damping / _FACTOR if self._damping > _LEAST else 0.0
