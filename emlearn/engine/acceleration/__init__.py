"""Accelerators: strategies that propose longer steps than EM, and their names."""

from emlearn.engine.acceleration.anderson import Anderson
from emlearn.engine.acceleration.automatic import Automatic
from emlearn.engine.acceleration.contract import (
    Accelerator,
    AcceleratorRun,
    UsesCurvature,
    WantsEMStep,
)
from emlearn.engine.acceleration.names import ACCELERATORS, find_accelerator
from emlearn.engine.acceleration.newton import Newton
from emlearn.engine.acceleration.quasi_newton import QuasiNewton
from emlearn.engine.acceleration.squarem import Squarem

__all__ = [
    "ACCELERATORS",
    "Accelerator",
    "AcceleratorRun",
    "Anderson",
    "Automatic",
    "Newton",
    "QuasiNewton",
    "Squarem",
    "UsesCurvature",
    "WantsEMStep",
    "find_accelerator",
]
