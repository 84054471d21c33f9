"""Expectation-maximization for any model: contract, loop, blocks, convergence, restarts."""

from emlearn.engine.acceleration import Accelerator, AcceleratorRun
from emlearn.engine.blocks import BlockMapper, add_statistics
from emlearn.engine.convergence import Convergence, GainBelow, RemainingGain
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.restarts import Restart, SearchResult, search
from emlearn.engine.result import EMResult, History, Iteration, Status

__all__ = [
    "Accelerator",
    "AcceleratorRun",
    "BlockMapper",
    "Convergence",
    "DegenerateModelError",
    "EMResult",
    "GainBelow",
    "History",
    "Iteration",
    "LatentVariableModel",
    "RemainingGain",
    "Restart",
    "SearchResult",
    "Status",
    "add_statistics",
    "run_em",
    "search",
]
