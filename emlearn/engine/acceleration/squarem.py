"""SQUAREM: squared extrapolation from two EM steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emlearn.engine.acceleration.contract import Vector


@dataclass(frozen=True)
class Squarem:
    """Squared iterative method with the third step length of Varadhan and Roland.

    Two EM steps show how the steps shrink; the third iteration jumps to where steps
    shrinking so would lead. A plain EM step from there removes what the jump added in
    directions that EM settles quickly. So a cycle is three E-steps, and needs no memory
    beyond two vectors.

    Parameters
    ----------
    first_limit : float, default=4
        Largest step length of the first jump; 1 is that of EM.
    growth : float, default=4
        Factor by which the limit grows when an accepted jump has reached it, and
        shrinks when a jump is rejected.

    References
    ----------
    R. Varadhan and C. Roland (2008). "Simple and globally convergent methods for
    accelerating the convergence of any EM algorithm". Scandinavian Journal of Statistics
    35(2), 335-353.
    """

    first_limit: float = 4.0
    growth: float = 4.0

    def start(self) -> SquaremRun:
        """Memory for one run."""
        return SquaremRun(self, limit=self.first_limit)


@dataclass
class SquaremRun:
    """Memory of one run."""

    settings: Squarem
    limit: float
    _step: Vector | None = None
    _length: float = 1.0
    _settle: bool = field(default=False)
    _settled: bool = False

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`."""
        if self._settle:
            self._settle = False
            return None
        first, second = self._step, image - point
        if first is None:
            self._step = second
            return None
        self._step = None
        bend = second - first
        first_norm, bend_norm = np.linalg.norm(first), np.linalg.norm(bend)
        wanted = float(first_norm / bend_norm) if bend_norm > 0.0 else self.limit
        length = min(wanted, self.limit)
        at_limit = wanted >= self.limit
        if length <= 1.0:
            if at_limit:
                self.limit *= self.settings.growth
            return None
        self._length = length
        start = point - first
        return start + 2.0 * length * first + length * length * bend

    def settles(self, loss: float) -> bool:
        """See `SettlingRun.settles`."""
        self._settled = loss > 0.0
        return self._settled

    def judge(self, accepted: bool) -> None:
        """See `AcceleratorRun.judge`."""
        growth = self.settings.growth
        if not accepted:
            self.limit = max(self._length / growth, 1.0)
        elif self._length >= self.limit:
            self.limit *= growth
        self._settle = accepted and not self._settled
