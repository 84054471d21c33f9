"""Projections along parallel rays, against areas of clipped polygons and closed forms."""

from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter1d

from emlearn.kernels import projections
from emlearn.tomography import ParallelBeam

ANGLES = np.array([0.0, 0.3, np.pi / 4, 1.2, np.pi / 2, 2.0, 3 * np.pi / 4, 3.0, np.pi, 4.0, 5.5])


@pytest.fixture(params=["base", "v3", "v4", "scipy"])
def level(request, monkeypatch):
    """One module of kernels after another, and none."""
    chosen = None
    if request.param != "scipy":
        base = pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
        names = ["base", "v3", "v4"]
        if request.param not in names[: names.index(base.level()) + 1]:
            pytest.skip("this processor has not the instructions")
        chosen = import_module(f"emlearn.kernels._{request.param}")
    monkeypatch.setattr(projections, "compiled", chosen)


def clipped(corners, normal, limit):
    """The part of a polygon where normal @ point <= limit."""
    kept = []
    for p, q in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        a, b = normal @ p - limit, normal @ q - limit
        if a <= 0.0:
            kept.append(p)
        if a * b < 0.0:
            kept.append(p + a / (a - b) * (q - p))
    return np.array(kept).reshape(-1, 2)


def area(corners):
    if len(corners) < 3:
        return 0.0
    x, y = corners.T
    return 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def system_matrix(shape, angles, n_bins, pixel_size=1.0, bin_width=1.0):
    """Areas of all pixels in the strips of all bins, by clipping squares."""
    rows, columns = shape
    matrix = np.zeros((len(angles), n_bins, rows, columns))
    square = 0.5 * pixel_size * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    edges = bin_width * (np.arange(n_bins + 1) - n_bins / 2)
    for a, angle in enumerate(angles):
        normal = np.array([np.cos(angle), np.sin(angle)])
        for i in range(rows):
            for j in range(columns):
                center = pixel_size * np.array([j - (columns - 1) / 2, (rows - 1) / 2 - i])
                below = [area(clipped(square + center, normal, edge)) for edge in edges]
                matrix[a, :, i, j] = np.diff(below) / bin_width
    return matrix.reshape(len(angles) * n_bins, rows * columns)


def matrix_of(system):
    return system.forward(np.eye(system.n_pixels)).T


SETTINGS = {
    "square": ((5, 5), {}),
    "wide": ((3, 6), {"n_bins": 9}),
    "tall": ((6, 2), {"n_bins": 7}),
    "detector too narrow": ((5, 5), {"n_bins": 3}),
    "narrow bins": ((4, 3), {"n_bins": 20, "bin_width": 0.23}),
    "wide bins": ((4, 5), {"n_bins": 3, "bin_width": 2.6}),
    "large pixels": ((3, 3), {"n_bins": 11, "pixel_size": 2.5, "bin_width": 1.0}),
    "one pixel": ((1, 1), {}),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.usefixtures("level")
def test_entries_are_areas_of_pixels_in_strips(setting):
    shape, options = SETTINGS[setting]
    projector = ParallelBeam(shape, ANGLES, **options)
    expected = system_matrix(
        shape, ANGLES, projector.n_bins, projector.pixel_size, projector.bin_width
    )
    matrix = matrix_of(projector)
    assert_allclose(matrix, expected, rtol=1e-11, atol=1e-12)
    assert matrix.min() >= 0.0
    assert_allclose(projector.back(np.eye(projector.n_rays)), expected, rtol=1e-11, atol=1e-12)
    assert_allclose(projector.sensitivity(), expected.sum(axis=0), rtol=1e-11)


OPTIONS = {
    "plain": {},
    "attenuation": {"attenuation": True},
    "blur": {"blur": 0.8},
    "blur by distance": {"blur": 0.5, "blur_slope": 0.05},
    "all, and too few bins": {
        "attenuation": True, "blur": 0.5, "blur_slope": 0.1, "n_bins": 8, "bin_width": 0.7
    },
}  # fmt: skip


def some_projector(options, shape, angles):
    options = dict(options)
    if options.pop("attenuation", False):
        options["attenuation"] = np.random.default_rng(2).random(shape) / 5
    return ParallelBeam(shape, angles, **options)


@pytest.mark.parametrize("shape", [(13, 13), (9, 14)], ids=["square", "oblong"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("n_images", [1, 3, 11])
@pytest.mark.usefixtures("level")
def test_back_is_the_transpose(options, shape, n_images):
    projector = some_projector(OPTIONS[options], shape, np.linspace(0, 2 * np.pi, 10, False))
    rng = np.random.default_rng(0)
    images, rays = rng.random((n_images, projector.n_pixels)), rng.random((2, projector.n_rays))
    assert_allclose(projector.forward(images) @ rays.T, images @ projector.back(rays).T, rtol=1e-13)


@pytest.mark.parametrize("options", OPTIONS)
def test_kernels_and_scipy_agree(options, monkeypatch):
    pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
    projector = some_projector(OPTIONS[options], (9, 14), 8)
    compiled = matrix_of(projector)
    monkeypatch.setattr(projections, "compiled", None)
    assert_allclose(compiled, matrix_of(projector), rtol=1e-12, atol=1e-14)


def test_several_images_are_projected_as_each_alone():
    projector = ParallelBeam((8, 8), 7)
    images = np.random.default_rng(0).random((5, 64))
    together = projector.forward(images)
    assert together.shape == (5, projector.n_rays)
    for image, rays in zip(images, together, strict=True):
        assert_allclose(projector.forward(image[None])[0], rays, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("n_angles", [1, 8, 45])
def test_results_have_the_same_bits_for_any_number_of_threads(n_angles, monkeypatch):
    projector = ParallelBeam((17, 17), n_angles, blur=1.0)
    images = np.random.default_rng(0).random((11, 17 * 17))
    results = []
    monkeypatch.setattr("emlearn.tomography._view_projector._WORTH", 1)
    for n in (1, 2, 5):
        monkeypatch.setattr("emlearn.tomography._view_projector.available_threads", lambda n=n: n)
        rays = projector.forward(images)
        results.append((rays, projector.back(rays)))
    for rays, back in results[1:]:
        assert_array_equal(rays, results[0][0])
        assert_array_equal(back, results[0][1])


def test_a_disk_has_the_projections_of_its_closed_form():
    n, radius, center = 128, 40.0, (9.5, -14.0)
    fine = 8
    place = (np.arange(n * fine) + 0.5) / fine - n / 2
    inside = np.hypot(place - center[0], -place[:, None] - center[1]) <= radius
    disk = inside.reshape(n, fine, n, fine).mean(axis=(1, 3))
    projector = ParallelBeam((n, n), 24)
    rays = projector.forward(disk.reshape(1, -1)).reshape(24, -1)
    middle = np.arange(projector.n_bins) - (projector.n_bins - 1) / 2
    angles = projector.angles[:, None]
    offset = middle - center[0] * np.cos(angles) - center[1] * np.sin(angles)

    def chord_integral(u):
        u = np.clip(u, -radius, radius)
        return u * np.sqrt(radius**2 - u**2) + radius**2 * np.arcsin(u / radius)

    expected = chord_integral(offset + 0.5) - chord_integral(offset - 0.5)
    # A disk of pixels is not quite round: its edge is seen a little blurred.
    assert np.abs(rays - expected).sum() < 0.006 * expected.sum()
    inner = np.abs(offset) < 0.85 * radius
    assert_allclose(rays[inner], expected[inner], rtol=0.01)


@pytest.mark.parametrize("blur", [0.0, 2.0])
def test_every_angle_has_the_counts_of_the_image(blur):
    image = np.zeros((20, 31))
    image[4:16, 9:20] = np.random.default_rng(0).random((12, 11))
    projector = ParallelBeam((20, 31), 50, blur=blur)
    rays = projector.forward(image.reshape(1, -1)).reshape(50, -1)
    assert_allclose(rays.sum(axis=1), image.sum(), rtol=1e-13)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_quarter_turn_of_the_image_is_one_of_the_angles(options):
    attenuation = np.random.default_rng(1).random((12, 12)) / 5
    image = np.random.default_rng(3).random((12, 12))
    settings = dict(OPTIONS[options])
    attenuated = settings.pop("attenuation", False)

    def sinogram(turns):
        body = {"attenuation": np.rot90(attenuation, turns)} if attenuated else {}
        projector = ParallelBeam((12, 12), ANGLES + turns * np.pi / 2, **settings, **body)
        return projector.forward(np.rot90(image, turns).reshape(1, -1))

    for turns in (1, 2, 3):
        assert_allclose(sinogram(turns), sinogram(0), rtol=2e-6 if attenuated else 1e-11)


def test_opposite_views_are_reversed_without_attenuation():
    projector = ParallelBeam((7, 10), np.append(ANGLES, ANGLES + np.pi))
    image = np.random.default_rng(0).random((1, 70))
    near, far = projector.forward(image).reshape(2, len(ANGLES), -1)
    assert_allclose(near, far[:, ::-1], rtol=1e-11, atol=1e-12)


def test_blur_is_the_gaussian_filter_of_scipy():
    image = np.random.default_rng(0).random((1, 400))
    sharp = ParallelBeam((20, 20), 9).forward(image).reshape(9, -1)
    blurred = ParallelBeam((20, 20), 9, blur=1.25).forward(image).reshape(9, -1)
    expected = gaussian_filter1d(sharp, 1.25, axis=1, mode="constant", truncate=4.0)
    assert_allclose(blurred, expected, rtol=1e-12)


@pytest.mark.parametrize("angle", [0.0, np.pi / 2, np.pi, 3 * np.pi / 2, 0.7])
def test_blur_grows_with_the_distance_of_a_point(angle):
    x, y = 6.0, -9.0
    image = np.zeros((41, 41))
    image[20 - int(y), 20 + int(x)] = 1.0
    projector = ParallelBeam(
        (41, 41), [angle], n_bins=301, bin_width=0.25, blur=0.4, blur_slope=0.06,
        detector_distance=35.0,
    )  # fmt: skip
    rays = projector.forward(image.reshape(1, -1))[0]
    place = 0.25 * (np.arange(301) - 150)
    mean = rays @ place / rays.sum()
    assert_allclose(mean, x * np.cos(angle) + y * np.sin(angle), atol=1e-3)
    distance = 35.0 - (y * np.cos(angle) - x * np.sin(angle))
    sharp = ParallelBeam((41, 41), [angle], n_bins=301, bin_width=0.25)
    bare = sharp.forward(image.reshape(1, -1))[0]
    variance = rays @ np.square(place - mean) / rays.sum()
    variance -= bare @ np.square(place - mean) / bare.sum()
    # Layers are one pixel deep.
    assert_allclose(np.sqrt(variance), 0.4 + 0.06 * distance, atol=0.06 / 2 + 2e-3)


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2, 2.5, np.pi, 4.0, 5.9])
def test_a_point_in_a_disk_is_attenuated_by_its_depth(angle):
    n, radius, mu = 101, 40.0, 0.02
    place = np.arange(n) - 50.0
    body = np.where(np.hypot(place, place[:, None]) <= radius, mu, 0.0)
    x, y = 11.0, 17.0
    image = np.zeros((n, n))
    image[50 - 17, 50 + 11] = 1.0
    rays = ParallelBeam((n, n), [angle], attenuation=body).forward(image.reshape(1, -1))
    across, depth = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    length = np.sqrt(radius**2 - across**2) - depth
    assert_allclose(rays.sum(), np.exp(-mu * length), atol=0.015)


@pytest.mark.parametrize("angle", [0.3, 0.7, 1.1, 2.0, 2.6, 3.5, 4.4, 5.0, 6.0])
def test_attenuation_is_the_integral_of_a_smooth_map(angle):
    def body(x, y):
        return 0.05 * np.exp(-0.5 * (np.square(x + 3.0) + np.square(y - 5.0)) / 64.0)

    place = np.arange(91) - 45.0
    x, y = 4.0, -7.0
    image = np.zeros((91, 91))
    image[45 + 7, 45 + 4] = 1.0
    projector = ParallelBeam((91, 91), [angle], attenuation=body(place, -place[:, None]))
    arrived = projector.forward(image.reshape(1, -1)).sum()
    along = np.linspace(0.0, 60.0, 6001)
    means = body(x - along * np.sin(angle), y + along * np.cos(angle))
    assert_allclose(arrived, np.exp(-trapezoid(means, along)), rtol=2e-3)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_attenuation_adds_up_half_of_the_own_pixel_and_all_before_it(turns):
    attenuation = np.random.default_rng(0).random((6, 6)) / 3
    image = np.zeros((6, 6))
    image[4, 1] = 1.0
    before = [attenuation[:4, 1], attenuation[4, :1], attenuation[5:, 1], attenuation[4, 2:]][turns]
    projector = ParallelBeam((6, 6), [turns * np.pi / 2], pixel_size=0.5, attenuation=attenuation)
    rays = projector.forward(image.reshape(1, -1)).reshape(-1)
    expected = np.exp(-0.5 * (before.sum() + attenuation[4, 1] / 2))
    assert_allclose(rays.sum(), 0.5 * expected, rtol=1e-6)


def test_angles_that_repeat_or_have_no_order_are_kept_apart():
    angles = [0.4, 2.0, 0.4, np.pi - 0.4, 0.4, np.pi / 2 - 0.4]
    image = np.random.default_rng(0).random((1, 36))
    rays = ParallelBeam((6, 6), angles).forward(image).reshape(6, -1)
    for own, angle in zip(rays, angles, strict=True):
        alone = ParallelBeam((6, 6), [angle]).forward(image)[0]
        assert_allclose(own, alone, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_subset_has_its_rows_of_the_matrix(options):
    projector = some_projector(OPTIONS[options], (6, 5), 8)
    matrix, n = matrix_of(projector), projector.n_bins
    angles = np.concatenate([np.arange(n) + n * a for a in (6, 1, 3)])
    for rays in (angles, np.array([5, 2, 2, 40]), np.arange(projector.n_rays)):
        part = projector.subset(rays)
        assert_allclose(matrix_of(part), matrix[rays], rtol=1e-12, atol=1e-14)
        back = part.back(np.eye(len(rays)))
        assert_allclose(back, matrix[rays], rtol=1e-12, atol=1e-14)
    assert isinstance(projector.subset(angles), ParallelBeam)


WRONG = {
    "image_shape of three": ({"image_shape": (4, 4, 4)}, "image_shape must be two positive"),
    "image_shape of none": ({"image_shape": (0, 4)}, "image_shape must be two positive"),
    "image_shape of floats": ({"image_shape": (4.0, 4.0)}, "image_shape must be two positive"),
    "no angles": ({"angles": []}, "angles must be a number of angles"),
    "zero angles": ({"angles": 0}, "angles must be a positive integer"),
    "table of angles": ({"angles": [[0.0]]}, "angles must be a number of angles"),
    "angle of NaN": ({"angles": [0.0, np.nan]}, "angles must be finite; angle 1 is nan"),
    "no bins": ({"n_bins": 0}, "n_bins must be a positive integer"),
    "bins of a float": ({"n_bins": 4.5}, "n_bins must be a positive integer"),
    "pixels of no size": ({"pixel_size": 0.0}, "pixel_size must be finite and positive"),
    "bins of no size": ({"bin_width": -1.0}, "bin_width must be finite and positive"),
    "other unit": ({"bin_width": 1e-5}, "bin_width=1e-05 is less than a thousandth"),
    "negative blur": ({"blur": -1.0}, "blur must be finite and at least 0"),
    "infinite slope": ({"blur_slope": np.inf}, "blur_slope must be finite"),
    "detector inside": ({"detector_distance": 0.0}, "detector_distance must be finite and pos"),
    "other map": ({"attenuation": np.zeros((4, 5))}, r"attenuation has shape \(4, 5\), but"),
    "negative map": ({"attenuation": -np.eye(4)}, "at row 0, column 0 it is -1.0"),
    "map with NaN": ({"attenuation": np.full((4, 4), np.nan)}, "attenuation must be finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case):
    wrong, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        ParallelBeam(**({"image_shape": (4, 4), "angles": 3} | wrong))


def test_a_blur_that_is_no_number_is_a_type_error():
    with pytest.raises(TypeError, match="blur must be a number"):
        ParallelBeam((4, 4), 3, blur="wide")
