"""Plain EM first, and acceleration where the observed rate says that it pays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emlearn.engine.acceleration.contract import Vector
from emlearn.engine.acceleration.quasi_newton import QuasiNewton, QuasiNewtonRun
from emlearn.engine.acceleration.squarem import Squarem, SquaremRun


@dataclass(frozen=True)
class Automatic:
    """Start as plain EM; accelerate once its steps shrink slowly.

    Near a fixed point the quasi-Newton method needs the fewest E-steps. Further away its
    proposals often are rejected, and those of SQUAREM seldom. So SQUAREM proposes for some
    cycles, then the former until it is rejected, then SQUAREM again: for more cycles each
    time in a row.

    Parameters
    ----------
    slow_rate : float, default=0.8
        Ratio of the lengths of successive EM steps above which EM is slow.
    patience : int, default=4
        Steps in a row that have to be slow before the first proposal.
    largest_waste : float, default=1/6
        Largest share of rejected proposals among the E-steps. Above it EM goes on alone,
        so that no more than 1.2 times the E-steps of its iterations are spent.
    n_cycles : int, default=6
        Proposals of SQUAREM at first and after a rejection; twice as many after the next.
    near : QuasiNewton
        Proposes near a fixed point.
    far : Squarem
        Proposes elsewhere.
    """

    slow_rate: float = 0.8
    patience: int = 4
    largest_waste: float = 1.0 / 6.0
    n_cycles: int = 6
    near: QuasiNewton = field(default_factory=QuasiNewton)
    far: Squarem = field(default_factory=Squarem)

    def start(self) -> AutomaticRun:
        """Memory for one run."""
        return AutomaticRun(
            self,
            self.near.start(),
            self.far.start(),
            _Pace(self),
            _Turns(self.n_cycles, self.n_cycles),
        )


@dataclass
class AutomaticRun:
    """Memory of one run."""

    settings: Automatic
    _near: QuasiNewtonRun
    _far: SquaremRun
    _pace: _Pace
    _turns: _Turns
    _n_e_steps: int = 0
    _n_wasted: int = 0
    _tried: int = 0

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`."""
        self._n_e_steps += 1
        is_secant = self._near.observe(point, image)
        if not self._pace.is_slow(point, image) or not self._affordable():
            return None
        if self._turns.is_far:
            return self._far.propose(point, image)
        return self._near.extrapolate(point, image) if is_secant else None

    def settles(self, loss: float) -> bool:
        """See `SettlingRun.settles`."""
        proposer = self._far if self._turns.is_far else self._near
        settles = proposer.settles(loss)
        self._tried = 1 + settles
        return settles

    def judge(self, accepted: bool) -> None:
        """See `AcceleratorRun.judge`."""
        # A proposal that was settled and accepted is two iterations in one.
        self._n_e_steps += self._tried - accepted
        if not accepted:
            self._n_wasted += self._tried
        self._tried = 0
        if self._turns.is_far:
            self._far.judge(accepted)
        self._turns.judge(accepted)

    def _affordable(self) -> bool:
        """Whether one more rejection, of a proposal that was settled, would be within the limit."""
        allowed = self.settings.largest_waste * (self._n_e_steps + 2)
        return self._n_wasted + 2 <= allowed


@dataclass
class _Pace:
    """Whether EM is slow; once it was, it always is."""

    settings: Automatic
    _n_slow: int = 0
    _last: float = np.inf

    def is_slow(self, point: Vector, image: Vector) -> bool:
        if self._n_slow < self.settings.patience:
            length = float(np.linalg.norm(image - point))
            slow = length > self.settings.slow_rate * self._last
            self._n_slow = self._n_slow + 1 if slow else 0
            self._last = length
        return self._n_slow >= self.settings.patience


@dataclass
class _Turns:
    """Which of the two accelerators proposes next."""

    _n_cycles: int
    _left: int
    _n_rejected: int = 0

    @property
    def is_far(self) -> bool:
        return self._left > 0

    def judge(self, accepted: bool) -> None:
        if self.is_far:
            self._left -= 1
        elif accepted:
            self._n_rejected = 0
        else:
            self._left = self._n_cycles * 2 ** min(self._n_rejected, 4)
            self._n_rejected += 1
