"""Standard errors and confidence intervals of what estimators publish."""

from emlearn.engine.estimates import Estimates, WaldTest
from emlearn.engine.inference import FittedProblem, Inference, infer
from emlearn.inference._bootstrap import bootstrap
from emlearn.inference._result import BootstrapResult

__all__ = [
    "BootstrapResult",
    "Estimates",
    "FittedProblem",
    "Inference",
    "WaldTest",
    "bootstrap",
    "infer",
]
