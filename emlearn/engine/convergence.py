"""Tests of convergence: each looks at the objectives so far and says whether to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np


class Trace(list[float]):
    """Objectives of a run that also know which steps led to them.

    Attributes
    ----------
    steps : list of str
        See `Iteration.step`; as many as there are objectives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []
        self._last_jump = -1

    def add(self, objective: float, step: str) -> None:
        """Append an objective and the step that led to it."""
        if step == "accepted":
            self._last_jump = len(self)
        self.append(objective)
        self.steps.append(step)

    def jumped_within(self, n_steps: int) -> bool:
        """Whether one of the last steps was an accelerator's."""
        return self._last_jump >= max(0, len(self) - n_steps)


class Check(NamedTuple):
    """What a test of convergence found."""

    converged: bool
    rate: float
    remaining: float


class Convergence(Protocol):
    """A test of convergence. Stateless; asked after every iteration."""

    def check(self, objectives: Sequence[float], total_weight: float) -> Check:
        """Judge the objectives of a run, the start's first.

        Parameters
        ----------
        objectives : sequence of float
            Never decreasing beyond rounding.
        total_weight : float
            Number of observations, or the sum of their weights.
        """
        ...

    def rounding(self, objective: float, total_weight: float) -> float:
        """The change of the objective that rounding errors alone can make."""
        ...


@dataclass(frozen=True)
class _PerWeight:
    """Tolerance per unit of weight, and the rounding below which nothing is measured.

    Parameters
    ----------
    tol : float
        Tolerance in nats per unit of weight.
    precision : float, default=machine epsilon of float64
        Relative precision of the arithmetic of the E-step.
    """

    tol: float
    precision: float = float(np.finfo(np.float64).eps)

    def rounding(self, objective: float, total_weight: float) -> float:
        """Some units in the last place of the sum of the log-densities and of their terms."""
        return 16.0 * self.noise(objective, total_weight)

    def noise(self, objective: float, total_weight: float) -> float:
        """The gain below which there is none.

        Errors at neighbouring parameters are much alike, so that this is less than what
        a fall may come from. Where it is too little, a fall ends the run soon.
        """
        return self.precision * (abs(objective) + 16.0 * total_weight)


@dataclass(frozen=True)
class GainBelow(_PerWeight):
    """Stop when the last gain is below `tol` per unit of weight.

    This is the usual test. It stops too early where EM is slow: with a rate of 0.999
    the gain still to come is a thousand times the last one.
    """

    def check(self, objectives: Sequence[float], total_weight: float) -> Check:
        """See `Convergence.check`."""
        remaining, rate = _estimate(objectives)
        if len(objectives) < 2:
            return Check(False, rate, remaining)
        if _jumped(objectives):
            return Check(False, rate, remaining)
        limit = max(self.tol * total_weight, self.noise(objectives[-1], total_weight))
        return Check(objectives[-1] - objectives[-2] <= limit, rate, remaining)


@dataclass(frozen=True)
class RemainingGain(_PerWeight):
    """Stop when what is estimated still to be gained is below `tol` per unit of weight.

    Gains of EM shrink geometrically near its limit. With rate rho and last gain g, the
    gain still to come is g rho / (1 - rho) (Aitken). The test is met when that is below
    `tol`, or when the gain itself cannot be told from noise.

    Jumps of an accelerator do not shrink so. In an accelerated run, g and rho are those
    of the plain steps between the jumps, and those of whole cycles of steps and jumps;
    the larger of the two estimates counts.

    References
    ----------
    D. Boehning, E. Dietz, R. Schaub, P. Schlattmann and B. G. Lindsay (1994). "The
    distribution of the likelihood ratio for mixtures of densities from the
    one-parameter exponential family". Annals of the Institute of Statistical
    Mathematics 46(2), 373-388.
    """

    def check(self, objectives: Sequence[float], total_weight: float) -> Check:
        """See `Convergence.check`."""
        remaining, rate = _estimate(objectives)
        if len(objectives) < 2:
            return Check(False, rate, remaining)
        noise = self.noise(objectives[-1], total_weight)
        if not _jumped(objectives) and objectives[-1] - objectives[-2] <= noise:
            return Check(True, rate, min(remaining, noise))
        return Check(remaining <= self.tol * total_weight, rate, remaining)


# Gains that are looked at, and of an accelerated run the iterations that are one cycle.
_WINDOW = 10
_CYCLE = 4


def _jumped(objectives: Sequence[float]) -> bool:
    """Whether the last step was a proposal of an accelerator.

    Then a small gain says little: a proposal only has to be no loss.
    """
    return isinstance(objectives, Trace) and objectives.steps[-1] == "accepted"


class _Estimate(NamedTuple):
    remaining: float
    rate: float


def _estimate(objectives: Sequence[float]) -> _Estimate:
    """Remaining gain, and the rate of convergence that it was found with.

    Of several rates the largest is taken: early in a run, and after each jump of an
    accelerator, the rates grow towards that of the slowest direction, which the estimate
    must not forget. Of plain EM the last two are enough.
    """
    if len(objectives) < 3:
        return _Estimate(float("inf"), float("nan"))
    if not (isinstance(objectives, Trace) and objectives.jumped_within(_WINDOW)):
        marks = objectives[-4:]
        gains = [after - before for before, after in pairwise(marks)]
        return _geometric(gains[-1], max(_ratio(b, a) for a, b in pairwise(gains)))
    recent = objectives[-_WINDOW - 1 :]
    gains = [after - before for before, after in pairwise(recent)]
    plain = [step != "accepted" for step in objectives.steps[-len(gains) :]]
    return max(_by_steps(gains, plain), _by_cycles(objectives))


def _by_steps(gains: Sequence[float], plain: Sequence[bool]) -> _Estimate:
    """From pairs of successive steps of plain EM, and the last of these steps."""
    rates = [
        _ratio(gain, before)
        for before, gain, first, second in zip(gains, gains[1:], plain, plain[1:], strict=False)
        if first and second
    ]
    if not rates:
        return _Estimate(0.0, 0.0)
    last = next(gain for gain, is_plain in zip(gains[::-1], plain[::-1], strict=True) if is_plain)
    return _geometric(last, max(rates))


def _by_cycles(objectives: Sequence[float]) -> _Estimate:
    """From the gains of the last cycles of an accelerator, whatever their steps were.

    Single gains of an accelerated run are too uneven to be extrapolated.
    """
    marks = objectives[::-_CYCLE][:4]
    if len(marks) < 4:
        return _Estimate(float("inf"), float("nan"))
    last, middle, first = (after - before for after, before in pairwise(marks))
    rate = max(_ratio(last, middle), _ratio(middle, first))
    remaining, _ = _geometric(last, rate)
    return _Estimate(remaining, rate ** (1.0 / _CYCLE))


def _ratio(gain: float, before: float) -> float:
    if gain <= 0.0:
        return 0.0
    return gain / before if gain < before else 1.0


def _geometric(gain: float, rate: float) -> _Estimate:
    """What follows a gain if all further ones shrink at the rate."""
    if gain <= 0.0:
        return _Estimate(0.0, 0.0)
    return _Estimate(gain * rate / (1.0 - rate) if rate < 1.0 else float("inf"), rate)
