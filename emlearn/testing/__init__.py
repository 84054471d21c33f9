"""Whether models and families keep their contracts.

`check_latent_variable_model` is for models, `check_family` for families of distributions,
`check_covariance_structure` for structures of Gaussian covariances. Each property is one
function, so that the traceback of a failure names it. A failure is an AssertionError that
says what was found and where to look.
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
