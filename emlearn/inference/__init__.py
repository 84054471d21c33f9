"""Standard errors and confidence intervals of what estimators publish."""

from emlearn.inference._bootstrap import bootstrap
from emlearn.inference._result import BootstrapResult

__all__ = ["BootstrapResult", "bootstrap"]
