"""What a run of EM returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Status(Enum):
    """How a run ended.

    `CONVERGED` and `MAX_ITER` say it; `FAILED`: the model could not go on; `STALLED`: a step
    lowered the objective; `STOPPED`: a callback asked for it; `MERGED`: the run was seen to
    arrive at an optimum that another start had found.
    """

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    FAILED = "failed"
    STALLED = "stalled"
    STOPPED = "stopped"
    MERGED = "merged"

    @property
    def usable(self) -> bool:
        """Whether the parameters of the run may be published."""
        return self is not Status.FAILED


class Iteration(NamedTuple):
    """One line of a run's history.

    Attributes
    ----------
    objective : float
        Log-likelihood + log prior at the parameters after this iteration.
    gain : float
        Increase of the objective over the iteration before; NaN for the start.
    rate : float
        Estimated linear rate of convergence; NaN until there are two gains.
    remaining : float
        Estimate of what the objective still has to gain; inf until there is one.
    e_steps : int
        E-steps spent so far, rejected proposals included.
    step : str
        Where the parameters came from: "start", "em", or the accelerator's "accepted"
        or "rejected" (the plain EM step was then taken); "kept" where the step lowered
        the objective by rounding and the parameters before were kept.
    step_norm : float
        Length of the EM step from the parameters before, in the coordinates of
        `to_vector`: how far these were from a fixed point, whatever step was then
        taken. NaN for the start, and for models without a vector form.
    """

    objective: float
    gain: float
    rate: float
    remaining: float
    e_steps: int
    step: str
    step_norm: float = float("nan")


class History(tuple[Iteration, ...]):
    """The iterations of a run, the start first."""

    __slots__ = ()

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """One array for each field of `Iteration`."""
        columns = zip(*self, strict=True) if self else ((),) * len(Iteration._fields)
        return {
            name: np.asarray(column)
            for name, column in zip(Iteration._fields, columns, strict=True)
        }


@dataclass(frozen=True)
class EMResult:
    """Outcome of one run of EM.

    Attributes
    ----------
    params : object
        Parameters at which `objective` was evaluated; None if the run failed before
        its first E-step ended.
    objective : float
        Log-likelihood + log prior at `params`; -inf where `params` is None.
    status : Status
        How the run ended.
    message : str
        Why it failed or stalled; empty otherwise.
    history : History
        One entry for the start and one for each iteration.
    n_e_steps : int
        Number of E-steps, those included whose outcome was not kept.
    statistics : object, default=None
        Expected statistics at `params`, from which `run_em` can go on.
    """

    params: Any
    objective: float
    status: Status
    message: str
    history: History
    n_e_steps: int
    statistics: Any = field(default=None, repr=False, compare=False)

    @property
    def converged(self) -> bool:
        """Whether the convergence test was met."""
        return self.status is Status.CONVERGED

    @property
    def n_iter(self) -> int:
        """Number of M-steps."""
        return max(len(self.history) - 1, 0)
