"""Finite mixtures."""

from emlearn.mixture._finite_mixture import FiniteMixtureEM
from emlearn.mixture._gaussian_mixture import GaussianMixtureEM

__all__ = ["FiniteMixtureEM", "GaussianMixtureEM"]
