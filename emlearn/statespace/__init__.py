"""State-space models: linear Gaussian states, structural time series, dynamic factors."""

from emlearn.statespace._state_space import LinearGaussianStateSpaceEM

__all__ = ["LinearGaussianStateSpaceEM"]
