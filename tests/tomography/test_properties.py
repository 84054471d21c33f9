"""What must hold for any system and any counts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.tomography import (
    HuberPrior,
    PoissonReconstructionEM,
    QuadraticPrior,
    RelativeDifferencePrior,
)

from .conftest import make_geometry

PRIORS = [None, QuadraticPrior(), HuberPrior(0.5), RelativeDifferencePrior()]
seeds = pytest.mark.parametrize("seed", range(3))


def fit(geometry, prior=None, prior_weight=0.5, background=None, **settings):
    if prior is not None:
        settings.update(prior=prior, prior_weight=prior_weight)
    em = PoissonReconstructionEM(geometry.matrix, geometry.shape, **settings)
    return em.fit(geometry.counts, background=background)


@seeds
@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_objective_never_falls(prior, accelerate, seed):
    geometry = make_geometry(seed=seed)
    em = fit(geometry, prior, background=0.3, accelerate=accelerate, max_iter=80)
    assert np.diff(em.history_["objective"]).min() >= 0.0
    assert np.isfinite(em.images_).all()
    assert em.images_.min() >= 0.0


@seeds
@pytest.mark.parametrize("n_iter", [1, 2, 30])
def test_counts_are_conserved(seed, n_iter):
    geometry = make_geometry(seed=seed)
    em = fit(geometry, max_iter=n_iter)
    assert_allclose(em.images_ @ em.sensitivity_, geometry.counts.sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_order_of_rays_has_no_effect(geometry, prior):
    order = np.random.default_rng(0).permutation(len(geometry.matrix))
    other = geometry._replace(matrix=geometry.matrix[order], counts=geometry.counts[:, order])
    assert_allclose(
        fit(other, prior, max_iter=20).images_, fit(geometry, prior, max_iter=20).images_, 1e-10
    )


def test_rows_do_not_depend_on_each_other(geometry):
    em = fit(geometry, max_iter=30, accelerate="squarem", n_jobs=2)
    for row in (0, 1):
        assert_array_equal(em.transform(geometry.counts[row : row + 1])[0], em.images_[row])


def test_number_of_threads_has_no_effect():
    geometry = make_geometry(1500, (20, 20))
    one, two = (fit(geometry, max_iter=5, n_jobs=n) for n in (1, 2))
    assert_array_equal(one.images_, two.images_)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_counts_in_other_units(geometry, factor):
    for prior in (None, RelativeDifferencePrior()):
        one = fit(geometry, prior, background=0.5, max_iter=20)
        scaled = geometry._replace(counts=factor * geometry.counts)
        other = fit(scaled, prior, background=factor * 0.5, max_iter=20)
        assert_allclose(other.images_ / factor, one.images_, rtol=1e-8, atol=1e-12)


def test_start_with_more_background_than_counts(geometry):
    background = 2.0 * geometry.counts.mean()
    one = fit(geometry, background=background, max_iter=0)
    scaled = geometry._replace(counts=1e4 * geometry.counts)
    other = fit(scaled, background=1e4 * background, max_iter=0)
    assert_allclose(other.images_, 1e4 * one.images_)


def test_system_in_other_units(geometry):
    other = geometry._replace(matrix=4.0 * geometry.matrix)
    assert_allclose(4.0 * fit(other).images_, fit(geometry).images_, rtol=1e-10)


def test_weights_are_copies_of_rows(geometry):
    weights = np.array([2.0, 3.0])
    em = PoissonReconstructionEM(geometry.matrix, max_iter=9)
    em.fit(geometry.counts, sample_weight=weights)
    found = em.log_likelihood_, em.lower_bound_
    score = em.score(geometry.counts, sample_weight=weights)
    copies = np.repeat(geometry.counts, [2, 3], axis=0)
    em.fit(copies)
    assert_allclose(found, (em.log_likelihood_, em.lower_bound_))
    assert_allclose(score, em.score(copies))


def test_pixels_that_are_not_seen():
    geometry = make_geometry()
    geometry.matrix[:, 7] = 0.0
    em = fit(geometry)
    assert em.sensitivity_[7] == 0.0
    assert_array_equal(em.images_[:, 7], 0.0)
    smooth = fit(geometry, QuadraticPrior(), max_iter=3000, tol=1e-12).images_.reshape(2, 4, 5)
    around = {(0, 1): 0.5**0.5, (0, 2): 1.0, (0, 3): 0.5**0.5, (1, 1): 1.0}
    around.update({(1, 3): 1.0, (2, 1): 0.5**0.5, (2, 2): 1.0, (2, 3): 0.5**0.5})
    mean = sum(w * smooth[:, i, j] for (i, j), w in around.items()) / sum(around.values())
    assert_allclose(smooth[:, 1, 2], mean, rtol=1e-3)


def test_rays_that_see_nothing():
    geometry = make_geometry()
    geometry.matrix[5] = 0.0
    geometry.counts[:, 5] = 0.0
    em = fit(geometry)
    assert np.isfinite(em.log_likelihood_)
    without = np.delete(np.arange(60), 5)
    other = geometry._replace(matrix=geometry.matrix[without], counts=geometry.counts[:, without])
    assert_allclose(fit(other).images_, em.images_, rtol=1e-12)
    geometry.counts[:, 5] = 3.0
    assert np.isfinite(fit(geometry, background=0.1).images_).all()


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_no_counts(geometry, prior):
    geometry.counts[:] = 0.0
    em = fit(geometry, prior, background=0.1, max_iter=200)
    assert_allclose(em.images_, 0.0, atol=1e-12)


def test_identity_without_prior_returns_the_counts():
    counts = [[0.0, 1.0, 5.0], [2.0, 0.0, 0.0]]
    assert_allclose(PoissonReconstructionEM().fit_transform(counts), counts)


def test_three_dimensions(geometry):
    em = PoissonReconstructionEM(
        geometry.matrix, (2, 2, 5), prior="relative_difference", prior_weight=0.3, max_iter=30
    ).fit(geometry.counts)
    assert np.diff(em.history_["objective"]).min() >= 0.0


def test_start(geometry):
    start = geometry.images[0].copy()
    start[3] = 0.0
    settings = {"image_init": start.reshape(geometry.shape)}
    assert_array_equal(fit(geometry, max_iter=0, **settings).images_[1], start)
    assert_array_equal(fit(geometry, **settings).images_[:, 3], 0.0)


def test_tolerance_ends_the_run_and_warns(geometry):
    from sklearn.exceptions import ConvergenceWarning

    em = fit(geometry, QuadraticPrior(), tol="auto", max_iter=5000, accelerate="auto")
    assert em.converged_
    assert em.n_iter_ < 5000
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        fit(geometry, tol="auto", max_iter=3)


def test_bootstrap_has_the_errors_of_new_counts():
    geometry = make_geometry(200, (3, 3), level=50.0)
    em = PoissonReconstructionEM(geometry.matrix, max_iter=20)
    one = geometry.counts[:1]
    found = em.fit(one).bootstrap(one, geometry.background, n_resamples=150, random_state=0)
    rng = np.random.default_rng(1)
    mean = geometry.images[:1] @ geometry.matrix.T + geometry.background
    new = rng.poisson(np.tile(mean, (150, 1)))
    expected = em.transform(new, geometry.background).std(axis=0, ddof=1)
    assert_allclose(found.standard_errors[0], expected, rtol=0.25)
    assert_allclose(found.mean, em.transform(one, geometry.background), rtol=0.2)
    again = em.bootstrap(one, geometry.background, n_resamples=150, random_state=0)
    assert_array_equal(again.standard_errors, found.standard_errors)
