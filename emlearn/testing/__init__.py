"""Checks of the contracts of models, families and covariance structures.

`check_latent_variable_model` checks models, `check_family` checks families of distributions, and
`check_covariance_structure` checks structures of Gaussian covariances. Each property has its own
function, which the traceback of a failure names. A failure is an AssertionError that says what is
wrong and where to look.
"""

from emlearn.testing._checks import CHECKS
from emlearn.testing._family import check_family
from emlearn.testing._kit import check_latent_variable_model, take_rows
from emlearn.testing._structure import check_covariance_structure

__all__ = [
    "CHECKS",
    "check_covariance_structure",
    "check_family",
    "check_latent_variable_model",
    "take_rows",
]
