"""SQUAREM: squared extrapolation from two EM steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emlearn.engine.acceleration.contract import Vector


@dataclass(frozen=True)
class Squarem:
    """Squared iterative method with the third step length of Varadhan and Roland.

    Two EM steps show how fast the steps shrink, and the method extrapolates from them. A
    plain EM step follows, which reduces the error in directions where EM is fast. A cycle
    takes three E-steps and keeps two vectors.

    Parameters
    ----------
    first_limit : float, default=4
        Largest step length of the first proposal; EM has step length 1.
    growth : float, default=4
        Factor by which the limit grows after an accepted proposal at the limit. After a
        rejection the limit becomes the rejected step length divided by this factor.

    References
    ----------
    R. Varadhan and C. Roland (2008). "Simple and globally convergent methods for
    accelerating the convergence of any EM algorithm". Scandinavian Journal of Statistics
    35(2), 335-353.
    """

    first_limit: float = 4.0
    growth: float = 4.0

    def start(self) -> SquaremRun:
        """New memory for one run."""
        return SquaremRun(self, limit=self.first_limit)


@dataclass
class SquaremRun:
    """Memory of one run."""

    settings: Squarem
    limit: float
    _step: Vector | None = None
    _length: float = 1.0
    _em_step_is_due: bool = field(default=False)
    _em_step_was_taken: bool = False

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`."""
        if self._em_step_is_due:
            self._em_step_is_due = False
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

    def wants_em_step(self, loss: float) -> bool:
        """See `WantsEMStep.wants_em_step`."""
        self._em_step_was_taken = loss > 0.0
        return self._em_step_was_taken

    def update(self, accepted: bool) -> None:
        """See `AcceleratorRun.update`."""
        growth = self.settings.growth
        if not accepted:
            self.limit = max(self._length / growth, 1.0)
        elif self._length >= self.limit:
            self.limit *= growth
        self._em_step_is_due = accepted and not self._em_step_was_taken
