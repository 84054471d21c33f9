"""Expectation-maximization for scikit-learn users."""

from emlearn._version import __version__
from emlearn.mixture import GaussianMixtureEM

__all__ = ["GaussianMixtureEM", "__version__"]
