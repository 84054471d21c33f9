"""Tests of convergence: each looks at the objectives so far and says whether to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


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
        return 16.0 * self.precision * (abs(objective) + 16.0 * total_weight)


@dataclass(frozen=True)
class GainBelow(_PerWeight):
    """Stop when the last gain is below `tol` per unit of weight.

    This is the usual test. It stops too early where EM is slow: with a rate of 0.999
    the gain still to come is a thousand times the last one.
    """

    def check(self, objectives: Sequence[float], total_weight: float) -> Check:
        """See `Convergence.check`."""
        rate, remaining = _aitken(objectives)
        if len(objectives) < 2:
            return Check(False, rate, remaining)
        limit = max(self.tol * total_weight, self.rounding(objectives[-1], total_weight))
        return Check(objectives[-1] - objectives[-2] <= limit, rate, remaining)


@dataclass(frozen=True)
class RemainingGain(_PerWeight):
    """Stop when what is estimated still to be gained is below `tol` per unit of weight.

    Gains of EM shrink geometrically near its limit. With rate rho and last gain g, the
    gain still to come is g rho / (1 - rho) (Aitken). The test is met when that is below
    `tol`, or when the gain itself cannot be told from rounding.

    References
    ----------
    D. Boehning, E. Dietz, R. Schaub, P. Schlattmann and B. G. Lindsay (1994). "The
    distribution of the likelihood ratio for mixtures of densities from the
    one-parameter exponential family". Annals of the Institute of Statistical
    Mathematics 46(2), 373-388.
    """

    def check(self, objectives: Sequence[float], total_weight: float) -> Check:
        """See `Convergence.check`."""
        rate, remaining = _aitken(objectives)
        if len(objectives) < 2:
            return Check(False, rate, remaining)
        rounding = self.rounding(objectives[-1], total_weight)
        if objectives[-1] - objectives[-2] <= rounding:
            return Check(True, rate, min(remaining, rounding))
        return Check(remaining <= self.tol * total_weight, rate, remaining)


def _aitken(objectives: Sequence[float]) -> tuple[float, float]:
    """Rate of convergence and remaining gain, from the last gains.

    Of the last two rates the larger is taken: early in a run the rates grow towards
    that of the slowest direction, which the estimate must not forget.
    """
    if len(objectives) < 3:
        return float("nan"), float("inf")
    gain = objectives[-1] - objectives[-2]
    before = objectives[-2] - objectives[-3]
    if gain <= 0.0:
        return 0.0, 0.0
    rate = gain / before if gain < before else 1.0
    if len(objectives) > 3:
        earlier = objectives[-3] - objectives[-4]
        rate = max(rate, before / earlier if before < earlier else 1.0)
    return rate, gain * rate / (1.0 - rate) if rate < 1.0 else float("inf")
