"""State-space models: linear Gaussian states, structural time series, dynamic factors."""
