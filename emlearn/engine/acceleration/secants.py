"""Quasi-Newton steps from gradients, in the metric of the complete data."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from emlearn.engine.acceleration.automatic import Automatic, AutomaticRun
from emlearn.engine.acceleration.contract import Vector

# Eigenvalue below this part of the largest is a direction without information.
_FLAT = 1e-12
# Cosine of the angle between a step and the change of the gradient that shows a curvature.
_CURVED = 1e-10
# Rejections in a row after which others make the proposals, and for how many iterations at first.
_PATIENCE, _REST, _LONGEST = 2, 3, 12


@dataclass(frozen=True)
class GradientSecants:
    """Steps of limited-memory BFGS that start from the information of complete data.

    Gradient and information are those of `LatentVariableModel.curvature`. An EM step is nearly
    the Newton step for the information of complete data. What EM does not know, the missing
    information, shows in how gradients change along the steps. Where the objective does not
    curve down along them, `Automatic` makes the proposals.

    Parameters
    ----------
    memory : int, default=40
        Number of steps whose gradients correct the information.

    References
    ----------
    K. Lange (1995). "A quasi-Newton acceleration of the EM algorithm". Statistica Sinica 5(1),
    1-18.

    M. Jamshidian and R. I. Jennrich (1997). "Acceleration of the EM algorithm by using
    quasi-Newton methods". Journal of the Royal Statistical Society B 59(3), 569-587.
    """

    memory: int = 40

    def start(self) -> GradientSecantsRun:
        """New memory for one run."""
        return GradientSecantsRun(deque(maxlen=self.memory), Automatic().start())


@dataclass
class GradientSecantsRun:
    """Memory of one run."""

    _pairs: deque[tuple[Vector, Vector]]
    _automatic: AutomaticRun
    _is_own: bool = False
    _last: tuple[Vector, Vector] | None = None
    _shrink: float = 1.0
    _in_a_row: int = 0
    _rest: int = 0
    _next_rest: int = _REST

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`: without a curvature there is no proposal."""
        return None

    def propose_newton(self, point: Vector, gradient: Vector, information: Vector) -> Vector | None:
        """See `UsesCurvature.propose_newton`."""
        if not (np.isfinite(gradient).all() and np.isfinite(information).all()):
            return None
        self._learn(point, gradient)
        solve = _solver(information)
        if solve is None:
            return None
        em_step = solve(gradient)
        step = self._direction(gradient, solve) if self._pairs else em_step
        # What is missing can only lengthen steps: others come from pairs of another region.
        useful = float(gradient @ step) > float(gradient @ em_step)
        if not useful:
            self._pairs.clear()
        self._is_own = useful and not self._rest
        if not self._is_own:
            self._rest = max(0, self._rest - 1)
            return self._automatic.propose(point, point + em_step)
        found: Vector = point + self._shrink * step
        return found

    def _learn(self, point: Vector, gradient: Vector) -> None:
        if self._last is not None:
            step, change = point - self._last[0], self._last[1] - gradient
            if step @ change > _CURVED * np.linalg.norm(step) * np.linalg.norm(change):
                self._pairs.append((step, change))
        self._last = (point, gradient)

    def _direction(self, gradient: Vector, solve: Callable[[Vector], Vector]) -> Vector:
        """The two loops of limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4)."""
        q, weights = gradient.copy(), []
        for step, change in reversed(self._pairs):
            weight = float(step @ q) / float(step @ change)
            weights.append(weight)
            q -= weight * change
        r = solve(q)
        for (step, change), weight in zip(self._pairs, reversed(weights), strict=True):
            r += step * (weight - float(change @ r) / float(step @ change))
        return r

    def wants_em_step(self, loss: float) -> bool:
        """See `WantsEMStep`: from a proposal that is lower."""
        return loss > 0.0 if self._is_own else self._automatic.wants_em_step(loss)

    def update(self, accepted: bool) -> None:
        """See `AcceleratorRun.update`: shorter steps after a rejection."""
        if not self._is_own:
            self._automatic.update(accepted)
        elif accepted:
            self._shrink, self._in_a_row = min(1.0, 2.0 * self._shrink), 0
            self._next_rest = _REST
        else:
            self._shrink, self._in_a_row = max(0.125, 0.5 * self._shrink), self._in_a_row + 1
            if self._in_a_row >= _PATIENCE:
                self._pairs.clear()
                self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest, _LONGEST)


def _solver(information: Vector) -> Callable[[Vector], Vector] | None:
    """Solves with the information, along directions that have some."""
    size = np.sqrt(np.abs(np.diagonal(information)))
    if not size.any():
        return None
    size = np.where(size > 0.0, size, size.max())
    scaled = information / size[:, None] / size
    with suppress(np.linalg.LinAlgError):
        factor = cho_factor(scaled, lower=True, check_finite=False)
        if np.diagonal(factor[0]).min() ** 2 > _FLAT:
            return lambda right: cho_solve(factor, right / size, check_finite=False) / size
    values, vectors = np.linalg.eigh(scaled)
    known = values > _FLAT * values[-1]
    root = vectors[:, known] / np.sqrt(values[known]) / size[:, None]
    return lambda right: root @ (root.T @ right)
