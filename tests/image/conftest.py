"""Small images."""

import numpy as np
import pytest


def _blocks(shape=(24, 30), noise=0.6, seed=0, dtype=float):
    """An image of three classes in large blocks, and their labels."""
    rng = np.random.default_rng(seed)
    at = sum(np.indices(shape) // 8)
    labels = at % 3
    return (10.0 + 2.0 * labels + noise * rng.normal(size=shape)).astype(dtype), labels


@pytest.fixture(scope="session")
def blocks():
    """Function that makes an image of three classes, and their labels."""
    return _blocks
