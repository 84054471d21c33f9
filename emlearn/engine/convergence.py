"""Convergence tests: each sees the objectives so far and says whether to stop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np


class Trace(list[float]):
    """Objectives of a run, with the steps that led to them.

    Attributes
    ----------
    steps : list of str
        One for each objective; see `Iteration.step`.
    """

    def __init__(self, count_parameters: Callable[[], int] = lambda: 0) -> None:
        super().__init__()
        self._count_parameters = count_parameters
        self.steps: list[str] = []
        self._last_accelerated = -1

    def add(self, objective: float, step: str) -> None:
        """Append an objective and the step that led to it."""
        if step == "accepted":
            self._last_accelerated = len(self)
        self.append(objective)
        self.steps.append(step)

    @cached_property
    def n_parameters(self) -> int:
        """Number of free parameters of the model."""
        return self._count_parameters()

    def accelerated_within(self, n_steps: int) -> bool:
        """Whether an accelerator made one of the last `n_steps` steps."""
        return self._last_accelerated >= max(0, len(self) - n_steps)


class Check(NamedTuple):
    """Verdict of a convergence test.

    Attributes
    ----------
    converged : bool
        Whether to stop.
    rate : float
        Estimated linear rate of convergence; NaN until there are two gains.
    remaining : float
        Estimated gain still to come; inf until there is an estimate.
    """

    converged: bool
    rate: float
    remaining: float


class Convergence(Protocol):
    """A convergence test. It has no state and is called after every iteration."""

    def check(self, objectives: Sequence[float], total_weight: float) -> Check:
        """Say whether a run has converged.

        Parameters
        ----------
        objectives : sequence of float
            Objectives of the run, the start first. They do not decrease, except by rounding.
        total_weight : float
            Number of observations, or the sum of their weights.
        """
        ...

    def rounding(self, objective: float, total_weight: float) -> float:
        """Largest change of the objective that rounding errors alone can cause."""
        ...


_EPS = float(np.finfo(np.float64).eps)


class _Rounding:
    """The size of rounding errors, from the relative precision of the E-step."""

    precision: float

    def rounding(self, objective: float, total_weight: float) -> float:
        """Sixteen units in the last place of the objective and of the terms it is summed from."""
        return 16.0 * self.precision * (abs(objective) + 16.0 * total_weight)

    def noise(self, objective: float, total_weight: float) -> float:
        """Gain that cannot be told from rounding errors.

        The errors of the terms cancel in part, and are similar at neighboring parameters: those
        of gains were measured to be about a sixteenth of a unit in the last place. If this is
        too low in some case, a decrease soon ends the run.
        """
        return self.rounding(objective, total_weight) / 256.0


@dataclass(frozen=True)
class GainBelow(_Rounding):
    """Stop when the last gain is below `tol` per unit of weight.

    This is the usual test. It stops too early where EM is slow: at a rate of 0.999 the
    gain still to come is a thousand times the last gain.

    Parameters
    ----------
    tol : float
        Tolerance in nats per unit of weight.
    precision : float, default=machine epsilon of float64
        Relative precision of the arithmetic of the E-step.
    """

    tol: float
    precision: float = _EPS

    def check(self, objectives: Sequence[float], total_weight: float) -> Check:
        """See `Convergence.check`."""
        remaining, rate = _estimate(objectives)
        if len(objectives) < 2:
            return Check(False, rate, remaining)
        if _is_accelerated(objectives):
            return Check(False, rate, remaining)
        limit = max(self.tol * total_weight, self.noise(objectives[-1], total_weight))
        return Check(objectives[-1] - objectives[-2] <= limit, rate, remaining)


class _Remaining(_Rounding, ABC):
    """Stop when the estimated remaining gain is below a limit.

    Near its limit, the gains of EM shrink geometrically. With rate rho and last gain g,
    the gain still to come is g rho / (1 - rho) (Aitken). The test is met when this is
    below the limit, or when the last gain cannot be told from rounding errors.

    The gains of accelerated steps do not shrink in this way. In an accelerated run there
    are estimates from the plain EM steps between the accelerated ones, and from windows of
    one, two, four and more cycles of steps. The largest one counts.

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
        if not _is_accelerated(objectives) and objectives[-1] - objectives[-2] <= noise:
            return Check(True, rate, min(remaining, noise))
        return Check(remaining <= self._limit(objectives, total_weight), rate, remaining)

    @abstractmethod
    def _limit(self, objectives: Sequence[float], total_weight: float) -> float:
        """Remaining gain, in nats in total, at which a run has converged."""


@dataclass(frozen=True)
class RemainingGain(_Remaining):
    """Stop when the estimated remaining gain is below `tol` per unit of weight.

    See `docs/convergence.md` for the estimate.

    Parameters
    ----------
    tol : float
        Tolerance in nats per unit of weight.
    precision : float, default=machine epsilon of float64
        Relative precision of the arithmetic of the E-step.
    """

    tol: float
    precision: float = _EPS

    def _limit(self, objectives: Sequence[float], total_weight: float) -> float:
        return self.tol * total_weight


#: Remaining gain in nats below which no published digit changes.
NEGLIGIBLE = 1e-5
# The same per unit of weight, where weights are not counts but very small.
_PER_WEIGHT = 1e-7
# Largest remaining gain per free parameter, and in total.
_PER_PARAMETER, _IN_TOTAL = 1e-3, 0.125
# Observations times free parameters from which on an iteration is expensive.
_EXPENSIVE = 1e7


@dataclass(frozen=True)
class StatisticalGain(_Remaining):
    """Stop when the estimates are off by much less than their standard errors.

    If the objective has g nats in total left to gain, no direction of the p free parameters
    is off by more than ``sqrt(2 g)`` standard errors, and stopping there adds ``2 g / p`` to
    the mean squared error of a parameter, in squared standard errors, on average. So a run
    stops at the latest when g is below ``min(0.001 p, 0.125)`` nats: at most 0.2 % on average,
    and half a standard error in the worst direction.

    Where iterations are cheap, more is affordable: with n observations the limit is that
    bound times ``min(1, n p / 1e7) ** 2``, but at least 1e-5 nats.

    Parameters
    ----------
    precision : float, default=machine epsilon of float64
        Relative precision of the arithmetic of the E-step.
    """

    precision: float = _EPS

    def _limit(self, objectives: Sequence[float], total_weight: float) -> float:
        p = max(getattr(objectives, "n_parameters", 1), 1)
        largest = min(_PER_PARAMETER * p, _IN_TOTAL)
        smallest = min(NEGLIGIBLE, _PER_WEIGHT * total_weight)
        return max(largest * min(1.0, total_weight * p / _EXPENSIVE) ** 2, smallest)


# Gains that an estimate uses, and iterations in one cycle of an accelerator.
_WINDOW = 10
_CYCLE = 4


def _is_accelerated(objectives: Sequence[float]) -> bool:
    """Whether the last step was an accelerator's.

    A small gain then means nothing: a proposal only has to gain something.
    """
    return isinstance(objectives, Trace) and objectives.steps[-1] == "accepted"


class _Estimate(NamedTuple):
    remaining: float
    rate: float


def _estimate(objectives: Sequence[float]) -> _Estimate:
    """Remaining gain, and the rate of convergence it is computed from.

    The largest of several rates counts. Early in a run, and after each accelerated step,
    the rates grow toward the rate of the slowest direction. Plain EM needs only the last
    two.
    """
    if len(objectives) < 3:
        return _Estimate(float("inf"), float("nan"))
    if not (isinstance(objectives, Trace) and objectives.accelerated_within(_WINDOW)):
        marks = objectives[-4:]
        gains = [after - before for before, after in pairwise(marks)]
        return _geometric(gains[-1], max(_ratio(b, a) for a, b in pairwise(gains)))
    recent = objectives[-_WINDOW - 1 :]
    gains = [after - before for before, after in pairwise(recent)]
    plain = [step != "accepted" for step in objectives.steps[-len(gains) :]]
    return max(_by_steps(gains, plain), _by_cycles(objectives))


def _by_steps(gains: Sequence[float], plain: Sequence[bool]) -> _Estimate:
    """Estimate from pairs of successive plain EM steps and the gain of the last one."""
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
    """Largest estimate from the gains of the last windows of a cycle, two cycles, four, and so on.

    Gains of single steps are too uneven to extrapolate. An accelerator leaves the slow directions
    behind, and short windows see only the fast ones: therefore windows of up to a quarter of the
    run.
    """
    estimate, length = _by_windows(objectives, _CYCLE), 2 * _CYCLE
    while 4 * length < len(objectives):
        estimate = max(estimate, _by_windows(objectives, length))
        length *= 2
    return estimate


def _by_windows(objectives: Sequence[float], length: int) -> _Estimate:
    """Estimate from the gains of the last three windows of some iterations each."""
    marks = objectives[: -3 * length - 2 : -length]
    if len(marks) < 4:
        return _Estimate(float("inf"), float("nan"))
    last, middle, first = (after - before for after, before in pairwise(marks))
    rate = max(_ratio(last, middle), _ratio(middle, first))
    remaining, _ = _geometric(last, rate)
    return _Estimate(remaining, rate ** (1.0 / length))


def _ratio(gain: float, before: float) -> float:
    if gain <= 0.0:
        return 0.0
    return gain / before if gain < before else 1.0


def _geometric(gain: float, rate: float) -> _Estimate:
    """Sum of all later gains, if each is `rate` times the one before."""
    if gain <= 0.0:
        return _Estimate(0.0, 0.0)
    return _Estimate(gain * rate / (1.0 - rate) if rate < 1.0 else float("inf"), rate)
