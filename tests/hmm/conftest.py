"""Fixtures for the tests of hidden Markov models."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def gaussian_chains(draw_chains):
    """Rows of three Gaussian states in two columns: sequences of many lengths."""
    rng = np.random.default_rng(3)
    lengths = np.concatenate([[1, 1, 2, 40], rng.integers(1, 20, size=30)])
    transmat = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.25, 0.05, 0.7]])
    states = draw_chains(rng, lengths, [0.5, 0.3, 0.2], transmat)
    means = np.array([[0.0, 0.0], [3.0, 1.0], [0.0, 4.0]])
    X = means[states] + rng.standard_normal((len(states), 2)) * [1.0, 0.7]
    return X, lengths, states
