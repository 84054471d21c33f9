import numpy as np
import pytest

from emlearn.datasets import load_holzinger_swineford


@pytest.fixture
def scores():
    """Scores of children in nine tests."""
    return load_holzinger_swineford().data


@pytest.fixture
def make():
    """Function that draws rows of a factor analysis, some entries missing."""

    def draw(n, d, k, missing=0.0, seed=0):
        rng = np.random.default_rng(seed)
        loadings = rng.normal(size=(d, k))
        X = rng.normal(size=(n, k)) @ loadings.T
        X += rng.normal(size=(n, d)) * rng.uniform(0.5, 1.5, d) + rng.normal(size=d)
        X[rng.random(X.shape) < missing] = np.nan
        return X

    return draw
