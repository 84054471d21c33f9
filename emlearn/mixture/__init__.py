"""Finite mixtures."""

from emlearn.mixture._gaussian_mixture import GaussianMixtureEM

__all__ = ["GaussianMixtureEM"]
