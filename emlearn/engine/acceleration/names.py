"""Accelerators by the names that estimators take."""

from __future__ import annotations

from emlearn.engine.acceleration.anderson import Anderson
from emlearn.engine.acceleration.automatic import Automatic
from emlearn.engine.acceleration.contract import Accelerator
from emlearn.engine.acceleration.quasi_newton import QuasiNewton
from emlearn.engine.acceleration.squarem import Squarem

ACCELERATORS: dict[str, Accelerator] = {
    "auto": Automatic(),
    "squarem": Squarem(),
    "quasi-newton": QuasiNewton(),
    "anderson": Anderson(),
}


def find_accelerator(accelerate: str | Accelerator | None) -> Accelerator | None:
    """Accelerator of a name; None, and an accelerator itself, are returned as they are.

    Parameters
    ----------
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"}, Accelerator or None
        What an estimator was given.

    Raises
    ------
    ValueError
        If there is no accelerator of that name.
    """
    if not isinstance(accelerate, str):
        return accelerate
    if accelerate not in ACCELERATORS:
        raise ValueError(
            f"accelerate must be None or one of {sorted(ACCELERATORS)}, got {accelerate!r}."
        )
    return ACCELERATORS[accelerate]
