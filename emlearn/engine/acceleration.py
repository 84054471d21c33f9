"""The place of an accelerator in the loop.

An accelerator never sees the model: it is told the vector forms of the last parameters
and of their image under the EM map, and may propose another vector. The loop guards it:
a proposal that is no valid parameter, or whose objective is lower than the one before,
is rejected and the plain EM step taken instead. So no accelerator can break the
monotonicity of EM; a bad one only wastes E-steps.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class AcceleratorRun(Protocol):
    """The memory of an accelerator during one run."""

    def propose(
        self, point: NDArray[np.float64], image: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Next vector to try, or None for the plain EM step.

        Parameters
        ----------
        point : ndarray of shape (n_parameters,)
            Where the last E-step was taken.
        image : ndarray of shape (n_parameters,)
            What the EM map makes of it.
        """
        ...

    def judge(self, accepted: bool) -> None:
        """Told after each proposal whether it was accepted."""
        ...


class Accelerator(Protocol):
    """A way to accelerate EM: immutable settings that start a fresh memory per run."""

    def start(self) -> AcceleratorRun:
        """Memory for one run."""
        ...
