"""Quasi-Newton acceleration from a few secants of the EM map."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from emlearn.engine.acceleration.contract import Vector


@dataclass(frozen=True)
class QuasiNewton:
    """Quasi-Newton method of Zhou, Alexander and Lange for fixed points.

    Each pair of successive EM steps u, v is a secant of the EM map: the map takes a change
    u of the parameters to a change v. The smallest matrix that agrees with the last
    secants approximates the derivative of the map in a Newton step to its fixed point.
    A cycle takes two E-steps.

    Parameters
    ----------
    n_secants : int, default=3
        Number of secants to keep.

    References
    ----------
    H. Zhou, D. Alexander and K. Lange (2011). "A quasi-Newton acceleration for
    high-dimensional optimization algorithms". Statistics and Computing 21(2), 261-273.
    """

    n_secants: int = 3

    def start(self) -> QuasiNewtonRun:
        """New memory for one run."""
        return QuasiNewtonRun(deque(maxlen=self.n_secants))


@dataclass
class QuasiNewtonRun:
    """Memory of one run."""

    _secants: deque[tuple[Vector, Vector]]
    _last: tuple[Vector, Vector] | None = field(default=None)
    _wait: bool = False

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`."""
        is_secant = self.observe(point, image)
        if self._wait or not is_secant:
            self._wait = False
            return None
        return self.extrapolate(point, image)

    def wants_em_step(self, loss: float) -> bool:
        """See `WantsEMStep.wants_em_step`."""
        return loss > 0.0

    def update(self, accepted: bool) -> None:
        """See `AcceleratorRun.update`."""
        self._wait = not accepted

    def observe(self, point: Vector, image: Vector) -> bool:
        """Record an EM step; whether it followed another one, so that the two are a secant."""
        step, before = image - point, self._last
        self._last = (image, step)
        if before is None or not np.array_equal(before[0], point):
            return False
        self._secants.append((before[1], step))
        return True

    def extrapolate(self, point: Vector, image: Vector) -> Vector | None:
        """Newton step to the fixed point, or None while there are too few secants."""
        if len(self._secants) < (self._secants.maxlen or 1):
            return None
        change = np.stack([u for u, _ in self._secants])
        mapped = np.stack([v for _, v in self._secants])
        try:
            coefficients = np.linalg.solve(
                change @ change.T - change @ mapped.T, change @ (image - point)
            )
        except np.linalg.LinAlgError:
            return None
        return image + coefficients @ mapped
