"""A small system with random entries, an image and counts."""

from typing import NamedTuple

import numpy as np
import pytest


class Geometry(NamedTuple):
    """A system of random entries, and counts of two images."""

    matrix: np.ndarray
    shape: tuple[int, int]
    images: np.ndarray
    background: np.ndarray
    counts: np.ndarray


def make_geometry(n_rays=60, shape=(4, 5), level=5.0, seed=0):
    rng = np.random.default_rng(seed)
    n_pixels = shape[0] * shape[1]
    matrix = rng.random((n_rays, n_pixels)) * (rng.random((n_rays, n_pixels)) < 0.4)
    images = rng.gamma(1.0, level, (2, n_pixels))
    background = rng.uniform(0.2, 1.0, n_rays)
    counts = rng.poisson(images @ matrix.T + background).astype(float)
    return Geometry(matrix, shape, images, background, counts)


@pytest.fixture
def geometry():
    return make_geometry()
