"""The contract between the loop and an accelerator.

An accelerator does not know the model. It receives the vector forms of the current
parameters and of their image under the EM map, and can propose another vector. The loop
rejects a proposal that is not a valid parameter or does not raise the objective, and
takes the plain EM step instead. So the objective never decreases, whatever an accelerator
proposes; a bad accelerator only wastes E-steps.

A proposal costs one E-step, which gives both its objective and the statistics for the
next M-step. A rejected proposal costs one E-step more than plain EM.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class AcceleratorRun(Protocol):
    """The memory of an accelerator during one run."""

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """Vector to try next, or None for the plain EM step.

        Parameters
        ----------
        point : ndarray of shape (n_parameters,)
            The current parameters. Must not be modified.
        image : ndarray of shape (n_parameters,)
            Their image under the EM map. Must not be modified.
        """
        ...

    def update(self, accepted: bool) -> None:
        """Learn whether the last proposal was accepted; called after each proposal."""
        ...


class WantsEMStep(AcceleratorRun, Protocol):
    """A run that may want an EM step from a proposal before the loop accepts or rejects it.

    An extrapolation can be good in the directions where EM is slow and bad in the others.
    One EM step corrects the latter, and saves a proposal that would be rejected. The loop
    calls `wants_em_step` if a run has it.
    """

    def wants_em_step(self, loss: float) -> bool:
        """Whether to take an EM step from the proposal; called after its E-step.

        Parameters
        ----------
        loss : float
            Objective at the current parameters minus objective at the proposal.
        """
        ...


class UsesCurvature(AcceleratorRun, Protocol):
    """A run that proposes from derivatives of the objective; the loop calls it if it has this."""

    def propose_newton(self, point: Vector, gradient: Vector, information: Vector) -> Vector | None:
        """Vector to try next, or None for the plain EM step.

        Parameters
        ----------
        point : ndarray of shape (n_parameters,)
            The current parameters.
        gradient : ndarray of shape (n_parameters,)
            Gradient of the objective.
        information : ndarray of shape (n_parameters, n_parameters)
            Minus the second derivatives of the objective, or an approximation.
        """
        ...


class Accelerator(Protocol):
    """A way to accelerate EM: immutable settings, from which each run gets its own memory."""

    def start(self) -> AcceleratorRun:
        """New memory for one run."""
        ...
