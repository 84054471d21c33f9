"""Blur as a system, against scipy's direct convolution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.signal import convolve
from scipy.signal.windows import gaussian

from emlearn.tomography import Convolution

RNG = np.random.default_rng(0)
ROUND = np.multiply.outer(gaussian(7, 1.3), gaussian(5, 1.0))

CASES = {
    "one dimension": ([1.0, 2.0, 0.5], (9,)),
    "even number of entries": ([1.0, 2.0, 0.5, 0.1], (9,)),
    "product of short ones": (ROUND, (11, 8)),
    "product of long ones": (np.multiply.outer(gaussian(19, 3), gaussian(17, 2)), (20, 17)),
    "no product": (RNG.random((4, 5)), (12, 9)),
    "one entry": (np.full((1, 1), 3.0), (5, 4)),
    "volume": (RNG.random((3, 4, 2)), (6, 5, 7)),
    "short volume": (np.multiply.outer(ROUND[:3, :4], [1.0, 2.0]), (4, 5, 3)),
    "larger than the window": (RNG.random((9, 6)), (4, 5)),
}


@pytest.fixture(params=CASES)
def case(request):
    psf, shape = CASES[request.param]
    return np.asarray(psf) / np.sum(psf), shape


def test_blur_is_that_of_the_direct_sum(case):
    psf, shape = case
    system = Convolution(7.0 * psf, shape)
    assert system.image_shape == tuple(np.add(shape, psf.shape) - 1)
    images = np.random.default_rng(1).random((3, *system.image_shape))
    images[:, system.sensitivity().reshape(system.image_shape) == 0.0] = 0.0
    seen = system.forward(images.reshape(3, -1)).reshape(3, *shape)
    for image, own in zip(images, seen, strict=True):
        assert_allclose(own, convolve(image, psf, mode="valid", method="direct"), rtol=1e-12)


def test_without_the_outside_it_is_that_of_the_same_size(case):
    psf, shape = case
    image = np.random.default_rng(1).random(shape)
    seen = Convolution(psf, shape, extend=False).forward(image.reshape(1, -1))
    first = [(k - 1) // 2 for k in psf.shape]
    within = tuple(slice(f, f + n) for f, n in zip(first, shape, strict=True))
    expected = convolve(image, psf, mode="full", method="direct")[within]
    assert_allclose(seen.reshape(shape), expected, rtol=1e-11)


@pytest.mark.parametrize("extend", [True, False], ids=["extended", "window"])
def test_back_is_the_transpose(case, extend):
    psf, shape = case
    system = Convolution(psf, shape, extend=extend)
    matrix = system.forward(np.eye(system.n_pixels)).T
    assert_allclose(system.back(np.eye(system.n_rays)), matrix, rtol=1e-11, atol=1e-15)
    assert_allclose(system.sensitivity(), matrix.sum(axis=0), rtol=1e-11, atol=1e-15)
    assert matrix.min() >= 0.0


def test_the_window_is_where_points_are_seen_in_their_place():
    psf = np.zeros((5, 4))
    psf[2, 1] = 1.0
    system = Convolution(psf, (6, 7))
    image = np.random.default_rng(1).random((1, *system.image_shape))
    seen = system.forward(image.reshape(1, -1)).reshape(1, 6, 7)
    assert_allclose(system.window(image), seen, rtol=1e-14)


@pytest.mark.parametrize(
    ("psf", "message"),
    [
        (np.zeros((3, 3)), "psf must have a positive, finite sum; it is 0.0"),
        (np.array([[1.0, -0.5]]), r"the one at \(0, 1\) is negative"),
        (np.array([[np.nan, 1.0]]), r"the one at \(0, 0\) is NaN"),
        (np.ones(3), r"images have shape \(4, 4\), but psf has shape \(3,\)"),
        (np.ones((0, 2)), r"psf must be an array of numbers; its shape is \(0, 2\)"),
        (2.0, r"psf must be an array of numbers; its shape is \(\)"),
    ],
    ids=["zero", "negative", "NaN", "other dimensions", "empty", "number"],
)
def test_wrong_point_spread_functions_are_named(psf, message):
    with pytest.raises(ValueError, match=message):
        Convolution(psf, (4, 4))


def test_what_the_window_hardly_sees_counts_as_not_seen():
    tails = np.exp(-0.5 * np.square(np.arange(-20, 21) / 3.0))
    system = Convolution(np.outer(tails, tails), (30, 30))
    light = convolve(np.ones((30, 30)), np.outer(tails, tails) / tails.sum() ** 2, method="direct")
    expected = np.where(light >= 1e-6, light, 0.0)
    assert (expected == 0.0).any()
    assert_allclose(system.sensitivity(), expected.ravel(), rtol=1e-9)
