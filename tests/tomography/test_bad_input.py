"""Errors name what is wrong and what to do."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from emlearn.tomography import (
    HuberPrior,
    PoissonReconstructionEM,
    RelativeDifferencePrior,
    RichardsonLucyEM,
    select_n_iter,
    thin_counts,
)

from .conftest import make_geometry

GEOMETRY = make_geometry()


def changed(array, place, value):
    array = np.array(array)
    array[place] = value
    return array


MATRICES = {
    "negative": (changed(GEOMETRY.matrix, (3, 2), -1.0), "negative.*row 3, column 2"),
    "negative sparse": (
        sparse.csr_matrix(changed(GEOMETRY.matrix, (3, 2), -1.0)),
        "negative.*row 3, column 2",
    ),
    "NaN": (changed(GEOMETRY.matrix, (0, 1), np.nan), "not finite.*row 0, column 1"),
    "transposed": (GEOMETRY.matrix.T, "X has 60 columns, but system_matrix has 20 rows"),
    "one dimension": (GEOMETRY.matrix[0], "two dimensions"),
    "empty": (np.empty((60, 0)), "empty"),
}


@pytest.mark.parametrize("name", MATRICES)
def test_system_matrix(name):
    matrix, message = MATRICES[name]
    with pytest.raises(ValueError, match=message):
        PoissonReconstructionEM(matrix).fit(GEOMETRY.counts)


COUNTS = {
    "negative": (changed(GEOMETRY.counts, (1, 4), -2.0), "-2 in row 1, ray 4.*background="),
    "NaN": (changed(GEOMETRY.counts, (1, 4), np.nan), "row 1"),
    "infinite": (changed(GEOMETRY.counts, (1, 4), np.inf), "row 1"),
    "one dimension": (GEOMETRY.counts[0], "2D array"),
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("method", ["fit", "transform", "score", "bootstrap"])
def test_counts(name, method):
    counts, message = COUNTS[name]
    em = PoissonReconstructionEM(GEOMETRY.matrix, max_iter=2).fit(GEOMETRY.counts)
    with pytest.raises(ValueError, match=message):
        getattr(em, method)(counts)


def test_uint8_counts_do_not_overflow():
    counts = np.full((1, 60), 250, dtype=np.uint8)
    em = PoissonReconstructionEM(GEOMETRY.matrix).fit(counts)
    np.testing.assert_allclose(em.images_ @ em.sensitivity_, 250.0 * 60)


def test_counts_of_a_ray_that_sees_nothing():
    matrix = changed(GEOMETRY.matrix, 7, 0.0)
    with pytest.raises(ValueError, match="Row 0 of X has counts in ray 7, which sees nothing"):
        PoissonReconstructionEM(matrix).fit(GEOMETRY.counts)


def test_a_system_that_sees_nothing():
    nothing = np.zeros((60, 20))
    with pytest.raises(ValueError, match="sees nothing"):
        PoissonReconstructionEM(nothing).fit(GEOMETRY.counts)
    em = PoissonReconstructionEM(nothing).fit(GEOMETRY.counts, background=1.0)
    np.testing.assert_array_equal(em.images_, 0.0)


@pytest.mark.parametrize(
    ("background", "message"),
    [
        (-1.0, "background must be >= 0, got -1"),
        (np.full(60, np.nan), "background must be finite, got nan at 0"),
        (np.ones(59), r"background has shape \(59,\)"),
        ("much", "background"),
    ],
)
def test_background(background, message):
    with pytest.raises(ValueError, match=message):
        PoissonReconstructionEM(GEOMETRY.matrix).fit(GEOMETRY.counts, background=background)


SETTINGS = {
    "shape": ({"image_shape": (4, 4)}, "16 pixels, but system_matrix has 20 columns"),
    "empty shape": ({"image_shape": (0, 4)}, "positive sizes"),
    "prior without shape": ({"prior": "huber", "prior_weight": 1.0}, "image_shape must be given"),
    "weight without prior": ({"prior_weight": 1.0}, "has no prior"),
    "name of prior": ({"prior": "median"}, "prior"),
    "subsets": ({"n_subsets": 61}, "n_subsets.*60"),
    "no subsets": ({"n_subsets": ()}, "n_subsets"),
    "part of a subset": ({"n_subsets": (2.5, 1)}, "n_subsets"),
    "start of another shape": ({"image_init": np.ones(7)}, "image_init has shape"),
    "negative start": ({"image_init": -np.ones(20)}, "image_init must be >= 0, got -1 at 0"),
    "start of zero": ({"image_init": np.zeros(20)}, "sees nothing.*image_init is positive"),
    "sensitivity": ({"sensitivity": np.full(20, np.inf)}, "sensitivity must be finite"),
    "tolerance": ({"tol": -1.0}, "tol"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name):
    settings, message = SETTINGS[name]
    with pytest.raises(ValueError, match=message):
        PoissonReconstructionEM(GEOMETRY.matrix, **settings).fit(GEOMETRY.counts)


def test_images_to_project():
    em = PoissonReconstructionEM(GEOMETRY.matrix, max_iter=1).fit(GEOMETRY.counts)
    with pytest.raises(ValueError, match="rows of 20 pixels"):
        em.inverse_transform(np.ones((2, 19)))
    with pytest.raises(ValueError, match="NaN"):
        em.inverse_transform(np.full((1, 20), np.nan))
    with pytest.raises(ValueError, match="n_resamples"):
        em.bootstrap(GEOMETRY.counts, n_resamples=1)


def test_counts_to_thin():
    with pytest.raises(ValueError, match="integers"):
        thin_counts([0.5], 0.5)
    with pytest.raises(ValueError, match="fraction"):
        thin_counts([1], 1.0)
    em = PoissonReconstructionEM(GEOMETRY.matrix, accelerate="auto")
    with pytest.raises(ValueError, match="accelerate=None"):
        select_n_iter(em, GEOMETRY.counts)
    with pytest.raises(ValueError, match="n_repeats"):
        select_n_iter(em.set_params(accelerate=None), GEOMETRY.counts, n_repeats=0)


def test_systems_that_are_functions_are_checked_by_their_sums():
    matrix = GEOMETRY.matrix.copy()
    matrix[:, 3] *= -1.0
    em = PoissonReconstructionEM(aslinearoperator(matrix))
    with pytest.raises(ValueError, match="column 3 sums to -"):
        em.fit(GEOMETRY.counts)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_complex_system_matrix(form):
    em = PoissonReconstructionEM(form(GEOMETRY.matrix * (1.0 + 1.0j)))
    with pytest.raises(ValueError, match=r"system_matrix.*complex"):
        em.fit(GEOMETRY.counts)


def test_complex_psf():
    with pytest.raises(ValueError, match=r"psf.*complex"):
        RichardsonLucyEM([0.5 + 1.0j, 0.5]).fit(np.ones(9))


def test_sizes_of_an_image_are_integers():
    with pytest.raises(ValueError, match="image_shape must have positive sizes, all integers"):
        PoissonReconstructionEM(GEOMETRY.matrix, (4.5, 5)).fit(GEOMETRY.counts)


def test_settings_of_priors_are_finite():
    for make in (HuberPrior, RelativeDifferencePrior):
        with pytest.raises(ValueError, match="finite"):
            make(np.inf)
    with pytest.raises(ValueError, match="epsilon"):
        RelativeDifferencePrior(epsilon=np.inf)


def test_bootstrap_of_a_ray_that_sees_nothing():
    matrix = changed(GEOMETRY.matrix, 7, 0.0)
    em = PoissonReconstructionEM(matrix, max_iter=1).fit(np.zeros((1, 60)))
    with pytest.raises(ValueError, match="ray 7, which sees nothing"):
        em.bootstrap(np.ones((1, 60)), n_resamples=2)


@pytest.mark.parametrize("count", [np.inf, np.nan, 1e19])
def test_counts_too_large_to_thin(count):
    with pytest.raises(ValueError, match="finite counts"):
        thin_counts([count, 1.0], 0.5)


def test_thinning_takes_any_number_of_dimensions():
    kept, held_out = thin_counts(7, 0.5, random_state=0)
    assert kept + held_out == 7
    with pytest.raises(ValueError, match="Negative"):
        thin_counts(-np.ones((2, 2, 2)), 0.5)


def test_selection_of_iterations():
    em = PoissonReconstructionEM(GEOMETRY.matrix)
    with pytest.raises(ValueError, match="n_repeats must be an integer"):
        select_n_iter(em, GEOMETRY.counts, n_repeats=1.5)
    with pytest.raises(ValueError, match="rows of counts"):
        select_n_iter(em, np.empty((0, 60)))
    with pytest.raises(TypeError, match="Convolution"):
        select_n_iter(RichardsonLucyEM([1.0]), GEOMETRY.counts)


def test_masked_images():
    image = np.ma.masked_equal([1.0, 2.0, 3.0], 2.0)
    with pytest.raises(ValueError, match="masked"):
        RichardsonLucyEM([0.5, 0.5]).fit(image)
