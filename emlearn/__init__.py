"""Expectation-maximization for scikit-learn users."""

from emlearn._version import __version__
from emlearn.hmm import HiddenMarkovEM
from emlearn.impute import MissingDataImputerEM
from emlearn.mixture import FiniteMixtureEM, GaussianMixtureEM

__all__ = [
    "FiniteMixtureEM",
    "GaussianMixtureEM",
    "HiddenMarkovEM",
    "MissingDataImputerEM",
    "__version__",
]
