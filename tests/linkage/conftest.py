"""Simulated comparison vectors."""

import numpy as np
import pytest

M = [[0.05, 0.10, 0.85], [0.10, 0.90], [0.05, 0.05, 0.10, 0.80]]
U = [[0.90, 0.05, 0.05], [0.80, 0.20], [0.70, 0.20, 0.05, 0.05]]


def draw(n, seed=0, prevalence=0.1, missing=0.05, m=M, u=U):
    """Levels and which pairs are matches."""
    rng = np.random.default_rng(seed)
    match = rng.random(n) < prevalence
    columns = [
        np.where(match, rng.choice(len(a), n, p=a), rng.choice(len(b), n, p=b))
        for a, b in zip(m, u, strict=True)
    ]
    X = np.stack(columns, axis=1).astype(float)
    X[rng.random(X.shape) < missing] = np.nan
    return X, match


@pytest.fixture
def vectors():
    """Function that draws comparison vectors."""
    return draw


@pytest.fixture(scope="session")
def sample():
    """3000 pairs with missing comparisons, and which are matches."""
    return draw(3000)
