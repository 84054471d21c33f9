"""The names of the accelerators."""

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
    """Accelerator with the given name.

    Parameters
    ----------
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"}, Accelerator or None
        Name of an accelerator. An accelerator or None is returned unchanged.

    Returns
    -------
    accelerator : Accelerator or None
        The accelerator.

    Raises
    ------
    ValueError
        If no accelerator has that name.
    """
    if not isinstance(accelerate, str):
        return accelerate
    if accelerate not in ACCELERATORS:
        raise ValueError(
            f"accelerate must be None or one of {sorted(ACCELERATORS)}, got {accelerate!r}."
        )
    return ACCELERATORS[accelerate]
