"""Plain EM first, and acceleration once EM is slow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emlearn.engine.acceleration.contract import Vector
from emlearn.engine.acceleration.quasi_newton import QuasiNewton, QuasiNewtonRun
from emlearn.engine.acceleration.squarem import Squarem, SquaremRun


@dataclass(frozen=True)
class Automatic:
    """Start as plain EM, and accelerate once the EM steps shrink slowly.

    Near a fixed point the quasi-Newton method needs the fewest E-steps. Elsewhere its
    proposals are often rejected, and those of SQUAREM seldom. So SQUAREM makes the first
    proposals, then the quasi-Newton method until one of its proposals is rejected, then
    SQUAREM again, and so on. With each rejection in a row, SQUAREM gets twice as many
    proposals as the time before.

    Parameters
    ----------
    slow_rate : float, default=0.8
        EM is slow when a step is longer than this fraction of the step before.
    patience : int, default=4
        Number of slow steps in a row before the first proposal.
    max_rejected_fraction : float, default=1/6
        Largest fraction of the E-steps that rejected proposals may take. There are no
        proposals while one more rejection could exceed it. So a run takes at most 1.2
        times as many E-steps as it would without the rejected ones.
    n_cycles : int, default=6
        Number of proposals of SQUAREM at first and after a rejection.
    quasi_newton : QuasiNewton
        Settings of the quasi-Newton method.
    squarem : Squarem
        Settings of SQUAREM.
    """

    slow_rate: float = 0.8
    patience: int = 4
    max_rejected_fraction: float = 1.0 / 6.0
    n_cycles: int = 6
    quasi_newton: QuasiNewton = field(default_factory=QuasiNewton)
    squarem: Squarem = field(default_factory=Squarem)

    def start(self) -> AutomaticRun:
        """New memory for one run."""
        return AutomaticRun(
            self,
            self.quasi_newton.start(),
            self.squarem.start(),
            _SlowStart(self),
            _Schedule(self.n_cycles, self.n_cycles),
        )


@dataclass
class AutomaticRun:
    """Memory of one run."""

    settings: Automatic
    _quasi_newton: QuasiNewtonRun
    _squarem: SquaremRun
    _slow_start: _SlowStart
    _schedule: _Schedule
    _n_e_steps: int = 0
    _n_rejected: int = 0
    _n_tried: int = 0

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`."""
        self._n_e_steps += 1
        is_secant = self._quasi_newton.observe(point, image)
        if not self._slow_start.is_over(point, image) or not self._can_afford_rejection():
            return None
        if self._schedule.is_squarem:
            return self._squarem.propose(point, image)
        return self._quasi_newton.extrapolate(point, image) if is_secant else None

    def wants_em_step(self, loss: float) -> bool:
        """See `WantsEMStep.wants_em_step`."""
        proposer = self._squarem if self._schedule.is_squarem else self._quasi_newton
        wanted = proposer.wants_em_step(loss)
        self._n_tried = 1 + wanted
        return wanted

    def update(self, accepted: bool) -> None:
        """See `AcceleratorRun.update`."""
        # `propose` has counted the E-step of the iteration; an accepted proposal takes no other.
        self._n_e_steps += self._n_tried - accepted
        if not accepted:
            self._n_rejected += self._n_tried
        self._n_tried = 0
        if self._schedule.is_squarem:
            self._squarem.update(accepted)
        self._schedule.update(accepted)

    def _can_afford_rejection(self) -> bool:
        """Whether a rejection after two more E-steps would be within the limit."""
        allowed = self.settings.max_rejected_fraction * (self._n_e_steps + 2)
        return self._n_rejected + 2 <= allowed


@dataclass
class _SlowStart:
    """Plain EM at first; it is over once EM has been slow for `patience` steps in a row."""

    settings: Automatic
    _n_slow: int = 0
    _last: float = np.inf

    def is_over(self, point: Vector, image: Vector) -> bool:
        if self._n_slow < self.settings.patience:
            length = float(np.linalg.norm(image - point))
            slow = length > self.settings.slow_rate * self._last
            self._n_slow = self._n_slow + 1 if slow else 0
            self._last = length
        return self._n_slow >= self.settings.patience


@dataclass
class _Schedule:
    """Which of the two accelerators makes the next proposal."""

    _n_cycles: int
    _n_squarem: int
    _n_rejected: int = 0

    @property
    def is_squarem(self) -> bool:
        return self._n_squarem > 0

    def update(self, accepted: bool) -> None:
        if self.is_squarem:
            self._n_squarem -= 1
        elif accepted:
            self._n_rejected = 0
        else:
            self._n_squarem = self._n_cycles * 2 ** min(self._n_rejected, 4)
            self._n_rejected += 1
