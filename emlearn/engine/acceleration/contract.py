"""The place of an accelerator in the loop.

An accelerator never sees the model: it is told the vector forms of the last parameters
and of their image under the EM map, and may propose another vector. The loop guards it:
a proposal that is no valid parameter, or whose objective is lower than the one before,
is rejected and the plain EM step taken instead. So no accelerator can break the
monotonicity of EM; a bad one only wastes E-steps.

Every proposal costs one E-step, from which its objective and its own image under the EM
map both follow; a rejected one costs that of the plain step besides.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class AcceleratorRun(Protocol):
    """The memory of an accelerator during one run."""

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """Next vector to try, or None for the plain EM step.

        Parameters
        ----------
        point : ndarray of shape (n_parameters,)
            Where the last E-step was taken. Not to be written to.
        image : ndarray of shape (n_parameters,)
            What the EM map makes of it. Not to be written to.
        """
        ...

    def judge(self, accepted: bool) -> None:
        """Told after each proposal whether it was accepted."""
        ...


class SettlingRun(AcceleratorRun, Protocol):
    """One whose proposals may be judged after an EM step from them.

    The loop asks every run that has this method.

    An extrapolation that is right in the slow directions of EM can be wrong in the quick
    ones. One EM step mends that, where otherwise the proposal would be lost.
    """

    def settles(self, loss: float) -> bool:
        """Whether to take an EM step from the proposal before it is judged.

        Asked after every evaluation of a proposal.

        Parameters
        ----------
        loss : float
            By how much the objective is lower at the proposal than at the point; negative
            where it is higher.
        """
        ...


class Accelerator(Protocol):
    """A way to accelerate EM: immutable settings that start a fresh memory per run."""

    def start(self) -> AcceleratorRun:
        """Memory for one run."""
        ...
