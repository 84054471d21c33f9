"""Deconvolution against the formula of the algorithm and against scikit-image."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import convolve
from scipy.signal.windows import gaussian
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from emlearn.tomography import Convolution, PoissonReconstructionEM, RichardsonLucyEM

PSF = np.multiply.outer(gaussian(5, 1.0), gaussian(5, 1.2))
PSF /= PSF.sum()


def scene(shape=(48, 40), seed=0):
    """A scene larger than the window, and what the window shows of it."""
    rng = np.random.default_rng(seed)
    larger = np.full(tuple(n + 4 for n in shape), 20.0)
    larger[tuple(rng.integers(0, n, 60) for n in larger.shape)] = rng.uniform(500, 3000, 60)
    larger[10:30, : larger.shape[1] // 2] += 80.0
    seen = convolve(larger, PSF, mode="valid")
    return larger[2:-2, 2:-2], rng.poisson(seen).astype(np.float64)


@pytest.mark.parametrize("extend", [True, False], ids=["extended", "window"])
@pytest.mark.parametrize("background", [None, 3.0], ids=["no background", "background"])
def test_iterates_are_those_of_the_formula(extend, background):
    _, counts = scene((12, 10))
    system = Convolution(PSF, counts.shape, extend=extend)
    matrix = system.forward(np.eye(system.n_pixels)).T
    deconvolution = RichardsonLucyEM(PSF, extend=extend, max_iter=0)
    image = deconvolution.fit(counts, background=background).reconstruction_.images_[0]
    assert image.min() == image.max() > 0.0
    for _ in range(7):
        mean = matrix @ image + (background or 0.0)
        image = image / matrix.sum(axis=0) * (matrix.T @ (counts.ravel() / mean))
    found = deconvolution.set_params(max_iter=7).fit(counts, background=background)
    assert_allclose(found.reconstruction_.images_[0], image, rtol=1e-10)
    within = image.reshape(system.image_shape)
    within = system.window(within[None])[0] if extend else within
    assert_allclose(found.images_, within, rtol=1e-10)


def test_interior_is_that_of_scikit_image():
    restoration = pytest.importorskip("skimage.restoration")
    _, counts = scene((64, 60))
    n_iter = 5
    counts /= counts.max()
    expected = restoration.richardson_lucy(counts, PSF, num_iter=n_iter, clip=False)
    system = Convolution(PSF, counts.shape)
    start = np.full(system.n_pixels, 0.5)
    em = PoissonReconstructionEM(system, max_iter=n_iter, image_init=start)
    ours = system.window(em.fit_transform(counts.reshape(1, -1)).reshape(1, *system.image_shape))
    # What borders do reaches two radii further with each iteration.
    inside = (slice(4 * n_iter, -4 * n_iter),) * 2
    assert ours[0][inside].size > 400
    # scikit-image adds 1e-12 to means, by default.
    assert_allclose(ours[0][inside], expected[inside], rtol=1e-9)


@pytest.mark.parametrize("shape", [(60,), (20, 17), (9, 8, 7)], ids=["line", "image", "volume"])
@pytest.mark.parametrize("extend", [True, False], ids=["extended", "window"])
def test_counts_are_conserved(shape, extend):
    rng = np.random.default_rng(0)
    psf = rng.random((3,) * len(shape))
    counts = rng.poisson(4.0, shape)
    for n_iter in (1, 9):
        found = RichardsonLucyEM(psf, extend=extend, max_iter=n_iter).fit(counts)
        kept = found.sensitivity_ @ found.reconstruction_.images_[0]
        assert_allclose(kept, counts.sum(), rtol=1e-12)
        assert found.images_.shape == shape


def test_a_flat_image_stays_flat():
    found = RichardsonLucyEM(PSF, max_iter=20).fit_transform(np.full((15, 12), 7))
    assert_allclose(found, 7.0, rtol=1e-12)


def test_borders_are_as_good_as_the_interior():
    y, x = np.indices((64, 64))
    truth = 100.0 + 60.0 * np.sin(x / 5.0) * np.cos(y / 4.0)
    seen = convolve(truth, PSF, mode="valid")
    truth = truth[2:-2, 2:-2]
    border = np.ones(truth.shape, bool)
    border[3:-3, 3:-3] = False
    errors = {}
    for extend in (True, False):
        found = RichardsonLucyEM(PSF, max_iter=100, extend=extend).fit_transform(seen)
        errors[extend] = np.abs(found - truth)[border].max()
    assert errors[True] < 6.0
    assert errors[False] > 50.0


@pytest.mark.parametrize("kind", ["?", "u1", "i2", "u4", "f2", "f4", "f8"])
def test_numbers_of_any_type_are_taken(kind):
    values = (np.arange(80).reshape(8, 10) * 3).astype(kind)
    before = values.copy()
    found = RichardsonLucyEM(PSF, max_iter=4).fit_transform(values)
    expected = RichardsonLucyEM(PSF, max_iter=4).fit_transform(values.astype(float))
    assert_array_equal(found, expected)
    assert_array_equal(values, before)
    assert found.dtype == np.float64


def test_iterations_do_not_depend_on_the_unit():
    _, counts = scene()
    fitted = RichardsonLucyEM(PSF, max_iter=6)
    assert_allclose(fitted.fit_transform(counts) / 255, fitted.fit_transform(counts / 255), 1e-10)


def test_images_of_a_stack_are_as_each_alone():
    stack = np.array([scene(seed=seed)[1] for seed in range(3)])
    em = RichardsonLucyEM(PSF, max_iter=5, n_jobs=2)
    found = em.fit_transform(stack)
    assert found.shape == stack.shape
    for own, image in zip(found, stack, strict=True):
        assert_allclose(clone(em).fit_transform(image), own, rtol=1e-12)


def test_later_images_may_have_another_size():
    _, counts = scene()
    em = RichardsonLucyEM(PSF, max_iter=5).fit(counts)
    other = scene((21, 30))[1]
    assert_allclose(em.transform(other), clone(em).fit_transform(other))
    assert_allclose(em.transform(counts), em.images_)
    assert_allclose(em.score(counts), em.log_likelihood_)


def test_blurred_again_images_are_near_the_counts():
    _, counts = scene()
    em = RichardsonLucyEM(PSF, max_iter=50, extend=False).fit(counts, background=2.0)
    again = em.inverse_transform(em.images_, background=2.0)
    expected = convolve(em.images_, PSF, mode="same") + 2.0
    assert_allclose(again, expected, rtol=1e-10)
    assert np.square(again - counts).mean() < 1.2 * counts.mean()


def test_background_may_be_a_map():
    _, counts = scene()
    dark = np.random.default_rng(0).random(counts.shape)
    em = RichardsonLucyEM(PSF, max_iter=3)
    one = em.fit_transform(counts, background=dark)
    assert_allclose(em.fit_transform(counts[None], background=dark[None])[0], one)
    assert not np.allclose(em.fit_transform(counts), one)


def test_a_prior_makes_smooth_images():
    _, counts = scene()
    rough = RichardsonLucyEM(PSF, max_iter=40).fit_transform(counts)
    smooth = RichardsonLucyEM(PSF, max_iter=40, prior="quadratic", prior_weight=0.01)
    assert np.abs(np.diff(smooth.fit_transform(counts))).mean() < np.abs(np.diff(rough)).mean()


WRONG = {
    "negative": (-np.ones((4, 4)), r"pixels >= 0, but the one at \(0, 0\) is negative: -1.0"),
    "NaN": (np.full((4, 4), np.nan), r"the one at \(0, 0\) is not finite: nan"),
    "too few dimensions": (np.ones(4), r"X has shape \(4,\), but must be an image of 2 dim"),
    "too many dimensions": (np.ones((1, 1, 4, 4)), "or a stack of such images"),
    "empty": (np.ones((0, 4)), "X has no pixels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_images_are_named(case):
    image, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        RichardsonLucyEM(PSF).fit(image)


def test_what_is_no_image_is_a_type_error():
    with pytest.raises(TypeError, match="Images must have numbers"):
        RichardsonLucyEM(PSF).fit([["a", "b"], ["c", "d"]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"psf": np.zeros((3, 3))}, "psf must have a positive"),
        ({"psf": -PSF}, "negative"),
        ({"max_iter": -1}, "max_iter"),
        ({"prior_weight": 1.0}, "has no prior"),
        ({"extend": "yes"}, "extend"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_hyperparameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        RichardsonLucyEM(**({"psf": PSF} | options)).fit(np.ones((6, 6)))


def test_a_background_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"background has shape \(3,\), but must be a number"):
        RichardsonLucyEM(PSF).fit(np.ones((6, 6)), background=np.ones(3))


def test_before_the_fit_there_are_no_images():
    with pytest.raises(NotFittedError):
        RichardsonLucyEM(PSF).transform(np.ones((6, 6)))


def test_an_image_without_light_is_dark():
    assert_array_equal(RichardsonLucyEM(PSF).fit_transform(np.zeros((6, 6))), 0.0)


def test_light_far_from_all_else_is_found_with_fourier_transforms():
    psf = np.multiply.outer(gaussian(21, 2.0), gaussian(21, 2.0))
    image = np.zeros((64, 64))
    image[8, 8], image[50, 50] = 1e12, 1.0
    found = RichardsonLucyEM(psf, max_iter=30).fit_transform(image)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("brightest", [1e3, 1e6])
def test_a_bright_border_does_not_drown_a_dim_image(brightest):
    # Light from far outside, of which the window sees less than rounding errors.
    tails = np.exp(-0.5 * np.square(np.arange(-20, 21) / 3.0))
    image = np.ones((60, 60))
    image[0] = brightest
    em = RichardsonLucyEM(np.outer(tails, tails), max_iter=50).fit(image)
    fitted = em.reconstruction_
    total = fitted.images_ @ fitted.sensitivity_
    assert_allclose(total, image.sum(), rtol=1e-9)
    assert np.diff(fitted.lower_bounds_).min() > -1e-9 * abs(fitted.lower_bound_)
    assert em.images_.max() < 10.0 * brightest
