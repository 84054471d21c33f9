"""The result of a run of EM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Status(Enum):
    """How a run ended.

    `CONVERGED`: the convergence test was met. `MAX_ITER`: the largest number of iterations
    was reached. `FAILED`: the model could not continue. `STALLED`: a step lowered the
    objective by more than rounding explains. `STOPPED`: the callback stopped the run.
    `OUTRUN`: the run was left behind in a race, and not finished.
    """

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    FAILED = "failed"
    STALLED = "stalled"
    STOPPED = "stopped"
    OUTRUN = "outrun"

    @property
    def usable(self) -> bool:
        """Whether the run has parameters that can be used."""
        return self is not Status.FAILED


class Iteration(NamedTuple):
    """One entry of the history of a run.

    Attributes
    ----------
    objective : float
        Log-likelihood + log prior at the parameters after this iteration.
    gain : float
        Increase of the objective in this iteration; NaN for the start.
    rate : float
        Estimated linear rate of convergence; NaN until there are two gains.
    remaining : float
        Estimated gain still to come; inf until there is an estimate.
    e_steps : int
        E-steps spent so far, rejected proposals included.
    step : str
        Origin of the parameters: "start"; "em", a plain EM step; "accepted", a proposal
        of the accelerator; "rejected", the plain EM step after a rejected proposal; or
        "kept", the parameters before, because the step lowered the objective.
    step_norm : float
        Length of the EM step from the parameters before this iteration, in the
        coordinates of `to_vector`, also if another step was taken. It is 0 at a fixed
        point. NaN for the start and for models without a vector form.
    """

    objective: float
    gain: float
    rate: float
    remaining: float
    e_steps: int
    step: str
    step_norm: float = float("nan")

    def reachable(self, n_steps: int) -> float:
        """Objective after `n_steps` more steps that each gain as much as the last one.

        It is a bound if the gains shrink. It is inf if they do not, as they then bound nothing.
        """
        return self.objective + n_steps * self.gain if self.rate < 1.0 else float("inf")


#: Called at the start and after each iteration of a run. A true value stops the run.
Callback = Callable[[int, Iteration], "bool | None"]


class History(tuple[Iteration, ...]):
    """The iterations of a run, beginning with the start."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Its length and its ends, not each iteration."""
        ends = f", {self[0].objective:.8g} to {self[-1].objective:.8g}" if self else ""
        return f"<History of {max(len(self) - 1, 0)} iterations{ends}>"

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """One array for each field of `Iteration`, by name."""
        columns = zip(*self, strict=True) if self else ((),) * len(Iteration._fields)
        arrays: dict[str, NDArray[Any]] = {
            name: np.asarray(column)
            for name, column in zip(Iteration._fields, columns, strict=True)
        }
        arrays["standard_errors"] = np.sqrt(2.0 * np.asarray(arrays["remaining"], np.float64))
        return arrays


@dataclass(frozen=True)
class EMResult:
    """Result of one run of EM.

    Attributes
    ----------
    params : object
        Parameters at which `objective` was evaluated; None if the run failed in its
        first E-step or before.
    objective : float
        Log-likelihood + log prior at `params`; -inf if `params` is None.
    status : Status
        How the run ended.
    message : str
        Why the run failed or stalled; empty otherwise.
    history : History
        One entry for the start and one for each iteration.
    n_e_steps : int
        Number of E-steps, including those of rejected proposals.
    statistics : object
        Expected statistics at `params`, from which another run can continue.
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
