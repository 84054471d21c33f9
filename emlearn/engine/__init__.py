"""Expectation-maximization for any model: contract, loop, blocks, convergence, restarts."""

from emlearn.engine.acceleration import (
    ACCELERATORS,
    Accelerator,
    AcceleratorRun,
    Anderson,
    Automatic,
    Newton,
    QuasiNewton,
    Squarem,
    find_accelerator,
)
from emlearn.engine.blocks import BlockMapper, Mapper, Threads, add_statistics, use_mapper
from emlearn.engine.convergence import Convergence, GainBelow, RemainingGain, StatisticalGain
from emlearn.engine.estimator import EMEstimator, Fit
from emlearn.engine.exploration import PLANS, SearchPlan, explore, find_plan
from emlearn.engine.fixed import FixedParameters
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel, Penalty
from emlearn.engine.processes import Processes
from emlearn.engine.progress import Observer, StopSignal
from emlearn.engine.race import race
from emlearn.engine.race_plan import Heat, ManyStarts, RacePlan
from emlearn.engine.restarts import Restart, SearchResult, search
from emlearn.engine.result import EMResult, History, Iteration, Status
from emlearn.engine.stepwise import StepwisePlan

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
    "EMEstimator",
    "EMResult",
    "Fit",
    "FixedParameters",
    "GainBelow",
    "Heat",
    "History",
    "Iteration",
    "LatentVariableModel",
    "ManyStarts",
    "Mapper",
    "Newton",
    "Observer",
    "Penalty",
    "Processes",
    "QuasiNewton",
    "RacePlan",
    "RemainingGain",
    "Restart",
    "SearchPlan",
    "SearchResult",
    "Squarem",
    "StatisticalGain",
    "Status",
    "StepwisePlan",
    "StopSignal",
    "Threads",
    "add_statistics",
    "explore",
    "find_accelerator",
    "find_plan",
    "race",
    "run_em",
    "search",
    "use_mapper",
]
