"""What the kernels of projections do with arguments that no projector gives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

UPRIGHT = np.array([[0.5, 1.0, 0.0, 0.0, 0.0, 1.0]])


def seen(kernels, geometry, image, n_bins=4, n_slabs=1):
    out = np.full((len(geometry), n_slabs, n_bins, 1), np.nan)
    kernels.project_lines(image[..., None], geometry, None, 1.0, out)
    return out[..., 0]


def test_columns_add_up(kernels):
    image = np.arange(12.0).reshape(3, 4)
    assert_allclose(seen(kernels, UPRIGHT, image)[0, 0], image.sum(axis=0))


def test_slabs_are_rounded_down_and_kept_within(kernels):
    image = np.arange(12.0).reshape(3, 4)
    assert_allclose(seen(kernels, UPRIGHT, image, n_slabs=3)[0], image)
    assert_allclose(seen(kernels, UPRIGHT, image, n_slabs=2)[0], [image[0], image[1:].sum(axis=0)])
    beyond = UPRIGHT.copy()
    beyond[0, 3] = -1e300
    assert_allclose(seen(kernels, beyond, image, n_slabs=2)[0, 0], image.sum(axis=0))


@pytest.mark.parametrize("start", [-1e300, -5.0, 5.0, 1e300])
def test_pixels_beside_the_detector_are_not_seen(kernels, start):
    geometry = UPRIGHT.copy()
    geometry[0, 0] = start
    assert_allclose(seen(kernels, geometry, np.ones((2, 4)), n_bins=1), 0.0)


def test_a_point_without_width_is_in_one_bin(kernels):
    geometry = np.array([[2.5, 0.0, 0.0, 0.0, 0.0, 0.0]])
    assert_allclose(seen(kernels, geometry, np.full((1, 1), 3.0)), [[[0.0, 0.0, 3.0, 0.0]]])


def test_only_the_lines_asked_for_are_written(kernels):
    images = np.full((4, 3, 1), 7.0)
    kernels.backproject_lines(np.ones((1, 1, 3, 1)), UPRIGHT, None, 2.0, 1.0, 3.0, images)
    assert_allclose(images[:, :, 0], np.repeat([7.0, 2.0, 2.0, 7.0], 3).reshape(4, 3))


@pytest.mark.parametrize(
    ("geometry", "images", "message"),
    [
        (np.full((1, 6), np.nan), 1, "geometry is not finite"),
        (np.full((1, 6), np.inf), 1, "geometry is not finite"),
        (np.full((1, 6), 1e9), 1, "seen by too many bins"),
        (UPRIGHT, 3, "there must be 1, 4 or 8 images"),
        (np.ones((1, 5)), 1, "there must be 6 numbers"),
    ],
)
def test_what_cannot_be_projected_is_refused(kernels, geometry, images, message):
    with pytest.raises(ValueError, match=message):
        kernels.project_lines(
            np.ones((2, 2, images)), geometry, None, 1.0, np.ones((1, 1, 3, images))
        )


@pytest.mark.parametrize("lines", [(-1.0, 1.0), (2.0, 1.0), (0.0, 5.0), (np.nan, 1.0)])
def test_lines_that_are_not_there_are_refused(kernels, lines):
    with pytest.raises(ValueError, match="there are no such lines"):
        kernels.backproject_lines(
            np.ones((1, 1, 3, 1)), UPRIGHT, None, 1.0, *lines, np.ones((4, 3, 1))
        )
