"""Whether a model keeps its contract with the engine: `check_latent_variable_model`.

Each property is one function of a `ModelCase`, so that the traceback of a failure names
it. A failure is an AssertionError that says what was found and where to look.
"""

from emlearn.testing._checks import CHECKS
from emlearn.testing._kit import check_latent_variable_model, take_rows

__all__ = ["CHECKS", "check_latent_variable_model", "take_rows"]
