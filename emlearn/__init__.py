"""Expectation-maximization for scikit-learn users."""

from emlearn._version import __version__
from emlearn.impute import MissingDataImputerEM
from emlearn.mixture import GaussianMixtureEM

__all__ = ["GaussianMixtureEM", "MissingDataImputerEM", "__version__"]
