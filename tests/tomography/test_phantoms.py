"""The head of Shepp and Logan against the areas and places of its ellipses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.tomography import ParallelBeam, shepp_logan


def test_the_sum_is_that_of_the_ellipses():
    """Areas times contrast, in units of half the image; ellipses in the dark parts are cut at 0."""
    areas = np.pi * np.array([
        0.69 * 0.92, -0.8 * 0.6624 * 0.874, -0.2 * 0.11 * 0.31, -0.2 * 0.16 * 0.41,
        0.1 * 0.21 * 0.25, 0.1 * 0.046**2 * 2, 0.1 * 0.046 * 0.023 * 2, 0.1 * 0.023**2,
    ])  # fmt: skip
    image = shepp_logan(256)
    assert_allclose(4.0 * image.mean(), areas.sum(), rtol=2e-3)


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [(64, 64, 0.2), (64, 78, 0.0), (64, 50, 0.0), (42, 64, 0.3), (6, 64, 1.0), (0, 0, 0.0)],
)
def test_parts_have_their_activity(row, column, value):
    assert_allclose(shepp_logan(128)[row, column], value, atol=1e-12)


@pytest.mark.parametrize("kind", ["activity", "attenuation"])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_sizes(size, kind):
    image = shepp_logan(size, kind)
    assert image.shape == (size, size)
    assert image.min() >= 0.0


@pytest.mark.parametrize("size", [64, 128])
def test_attenuation_is_that_of_centimeters(size):
    head = shepp_logan(size, "attenuation")
    along = ParallelBeam((size, size), [0.0], n_bins=size).forward(head.reshape(1, -1))[0]
    # Down the middle: 19.2 cm of brain and 1 cm of skull.
    middle = along[size // 2 - 1 : size // 2 + 1].mean()
    assert_allclose(middle, 0.15 * 0.874 * 22 + 0.28 * (0.92 - 0.874) * 22, rtol=0.01)


@pytest.mark.parametrize("size", [0, -3, 2.5, True])
def test_sizes_that_are_none_are_named(size):
    with pytest.raises(ValueError, match="size must be a positive integer"):
        shepp_logan(size)


def test_other_kinds_are_named():
    with pytest.raises(ValueError, match='kind must be "activity" or "attenuation"'):
        shepp_logan(8, "mass")
