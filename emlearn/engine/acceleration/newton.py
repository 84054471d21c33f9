"""Newton steps, for models that know how the objective curves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from emlearn.engine.acceleration.contract import Vector

# Damping after a first rejection, relative to the scaled information; by what it grows with each
# rejection and falls with each acceptance; below which it is none.
_FIRST, _GROWTH, _FALL, _LEAST = 1e-4, 10.0, 3.0, 1e-9
# Eigenvalue below this part of the largest is a direction without information.
_FLAT = 1e-12
# Part of the gain to be expected before a step that is left after a useful one, at most.
_USEFUL = 0.9
# Gain to be expected from a step, in nats, below which curvature hardly changes along it.
_NEAR = 1e-3
# Cosine of the angle between a step and the change of the gradient that shows a curvature.
_CURVED = 1e-8


@dataclass(frozen=True)
class Newton:
    """Steps ``inv(information) @ gradient``, shorter after rejected ones (Levenberg, Marquardt).

    Gradient and information are those of `LatentVariableModel.curvature`. The information need
    not be exact, nor positive definite. Close to the end, it is corrected by what the gradients
    of the last steps showed (BFGS), without which convergence is linear where it is wrong. EM
    steps go on where a proposal is rejected.

    Parameters
    ----------
    memory : int, default=10
        Number of steps whose gradients correct the information.

    References
    ----------
    J. Nocedal and S. J. Wright (2006). "Numerical Optimization", chapters 6 and 10. Springer.
    """

    memory: int = 10

    def start(self) -> NewtonRun:
        """New memory for one run."""
        return NewtonRun(deque(maxlen=self.memory))


@dataclass
class NewtonRun:
    """Memory of one run."""

    _pairs: deque[tuple[Vector, Vector]]
    _damping: float = 0.0
    _last: tuple[Vector, Vector] | None = None
    _slope: float = np.inf

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`: without a curvature there is no proposal."""
        return None

    def propose_newton(self, point: Vector, gradient: Vector, information: Vector) -> Vector | None:
        """See `UsesCurvature.propose_newton`; no step where the last one was of no use."""
        slope = self._slope
        self._slope = self._gain(gradient, information)
        if self._pairs and self._slope > _USEFUL * slope:
            # The corrections are wrong: steps that hardly gain would look like convergence.
            self._pairs.clear()
            self._last = None
            return None
        information = self._corrected(point, gradient, information)
        step = self._step(gradient, information, self._damping)
        return None if step is None else point + step

    def _gain(self, gradient: Vector, information: Vector) -> float:
        """Gain of a step, if the information is exact, as it was given."""
        step = self._step(gradient, information, 0.0)
        return np.inf if step is None else 0.5 * float(gradient @ step)

    @staticmethod
    def _step(gradient: Vector, information: Vector, damping: float) -> Vector | None:
        size = np.sqrt(np.abs(np.diagonal(information)))
        if not (np.isfinite(information).all() and np.isfinite(gradient).all() and size.any()):
            return None
        size = np.where(size > 0.0, size, size.max())
        values, vectors = np.linalg.eigh(information / size[:, None] / size)
        along = vectors.T @ (gradient / size)
        known = values > _FLAT * values[-1]
        step = np.where(known, along / np.where(known, values + damping, 1.0), 0.0)
        found: Vector = (vectors @ step) / size
        return found

    def _corrected(self, point: Vector, gradient: Vector, information: Vector) -> Vector:
        """The information with the curvature along the last steps."""
        if self._last is not None and self._slope < _NEAR:
            step, change = point - self._last[0], self._last[1] - gradient
            if step @ change > _CURVED * np.linalg.norm(step) * np.linalg.norm(change):
                self._pairs.append((step, change))
        self._last = (point, gradient)
        for step, change in self._pairs:
            image = information @ step
            along = float(step @ image)
            if along > 0.0:
                information = information - np.outer(image, image) / along
                information += np.outer(change, change) / (step @ change)
        return information

    def wants_em_step(self, loss: float) -> bool:
        """See `WantsEMStep`: from a proposal that is lower, which may be a long way along a ridge.

        A step is straight, and ridges are not: a noise that falls as effects grow.
        """
        return loss > 0.0

    def update(self, accepted: bool) -> None:
        """See `AcceleratorRun.update`."""
        if not accepted:
            self._damping = max(self._damping * _GROWTH, _FIRST)
        else:
            self._damping = self._damping / _FALL if self._damping > _LEAST else 0.0
