"""Expectation-maximization for any model: contract, loop, blocks, convergence, restarts."""

from emlearn.engine.acceleration import (
    ACCELERATORS,
    Accelerator,
    AcceleratorRun,
    Anderson,
    Automatic,
    QuasiNewton,
    Squarem,
    find_accelerator,
)
from emlearn.engine.blocks import BlockMapper, add_statistics
from emlearn.engine.convergence import Convergence, GainBelow, RemainingGain
from emlearn.engine.exploration import PLANS, SearchPlan, explore, find_plan
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel, Penalty
from emlearn.engine.race import Entrant, Heat, RacePlan, RaceResult, race
from emlearn.engine.restarts import Restart, SearchResult, search
from emlearn.engine.result import EMResult, History, Iteration, Status

__all__ = [
    "ACCELERATORS",
    "PLANS",
    "Accelerator",
    "AcceleratorRun",
    "Anderson",
    "Automatic",
    "BlockMapper",
    "Convergence",
    "DegenerateModelError",
    "EMResult",
    "Entrant",
    "GainBelow",
    "Heat",
    "History",
    "Iteration",
    "LatentVariableModel",
    "Penalty",
    "QuasiNewton",
    "RacePlan",
    "RaceResult",
    "RemainingGain",
    "Restart",
    "SearchPlan",
    "SearchResult",
    "Squarem",
    "Status",
    "add_statistics",
    "explore",
    "find_accelerator",
    "find_plan",
    "race",
    "run_em",
    "search",
]
