"""Ordered subsets, one step late, and counts held out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import poisson

from emlearn.tomography import (
    HuberPrior,
    PoissonReconstructionEM,
    QuadraticPrior,
    System,
    select_n_iter,
    thin_counts,
)
from emlearn.tomography._subsets import subset_order

from .conftest import make_geometry


@pytest.mark.parametrize(
    ("n", "order"), [(1, [0]), (4, [0, 2, 1, 3]), (8, [0, 4, 2, 6, 1, 5, 3, 7]), (3, [0, 2, 1])]
)
def test_order(n, order):
    assert subset_order(n) == order


def ordered_subsets(geometry, n_views, n_subsets, n_iter):
    """Hudson and Larkin's iteration in its usual form."""
    matrix, counts, b = geometry.matrix, geometry.counts[0], geometry.background
    image = np.full(matrix.shape[1], (counts.sum() - b.sum()) / matrix.sum())
    views = np.arange(len(matrix)).reshape(n_views, -1)
    for _ in range(n_iter):
        for t in subset_order(n_subsets):
            rays = np.concatenate([views[v] for v in range(n_views) if v % n_subsets == t])
            part = matrix[rays]
            image = image * (part.T @ (counts[rays] / (part @ image + b[rays]))) / part.sum(axis=0)
    return image


class Views(System):
    """A dense matrix with views."""

    def __init__(self, matrix, n_views):
        super().__init__(*matrix.shape, n_views=n_views)
        self.matrix = matrix

    def forward(self, images):
        return images @ self.matrix.T

    def back(self, rays):
        return rays @ self.matrix


@pytest.mark.parametrize("n_views", [60, 12])
@pytest.mark.parametrize("n_subsets", [2, 4, 5])
def test_passes_are_those_of_hudson_and_larkin(geometry, n_views, n_subsets):
    em = PoissonReconstructionEM(Views(geometry.matrix, n_views), n_subsets=n_subsets, max_iter=3)
    em.fit(geometry.counts, background=geometry.background)
    assert_allclose(em.images_[0], ordered_subsets(geometry, n_views, n_subsets, 3), rtol=1e-10)
    assert em.n_iter_ == 3
    assert not em.converged_
    mean = em.images_ @ geometry.matrix.T + geometry.background
    assert_allclose(em.log_likelihood_, poisson.logpmf(geometry.counts, mean).sum())


def test_subsets_are_faster_and_need_not_end_at_the_maximum(geometry):
    def objective(**settings):
        return PoissonReconstructionEM(geometry.matrix, **settings).fit(
            geometry.counts, background=geometry.background
        )

    assert objective(n_subsets=6, max_iter=3).lower_bound_ > objective(max_iter=3).lower_bound_
    limit = objective(tol=1e-11, max_iter=20_000, accelerate="auto").lower_bound_
    cycle = objective(n_subsets=6, max_iter=2000).lower_bound_
    assert cycle < limit - 1e-3
    schedule = objective(n_subsets=(6, 6, 3, 1), tol=1e-11, max_iter=20_000, accelerate="auto")
    assert schedule.converged_
    assert_allclose(schedule.lower_bound_, limit, atol=1e-6)


def test_schedule_is_one_number_for_each_iteration(geometry):
    def images(start=None, **settings):
        em = PoissonReconstructionEM(geometry.matrix, image_init=start, **settings)
        return em.fit_transform(geometry.counts[:1])

    after = images(n_subsets=6, max_iter=2)
    after = images(after[0], n_subsets=3, max_iter=1)
    after = images(after[0], max_iter=4)
    assert_allclose(images(n_subsets=(6, 6, 3, 1), max_iter=7), after, rtol=1e-12)


def test_subsets_with_a_prior_are_near_its_maximum():
    geometry = make_geometry(240, level=50.0)
    settings = {"prior": QuadraticPrior(), "prior_weight": 0.01}

    def fit(**more):
        em = PoissonReconstructionEM(geometry.matrix, geometry.shape, **settings, **more)
        return em.fit(geometry.counts, background=geometry.background)

    limit = fit(tol=1e-10, max_iter=20_000, accelerate="auto")
    found = fit(n_subsets=4, max_iter=100)
    assert abs(found.images_ - limit.images_).max() < 0.05 * limit.images_.max()


def test_one_step_late_ends_at_the_same_maximum(geometry):
    settings = {"prior": HuberPrior(1.0), "prior_weight": 0.2}

    def fit(**more):
        em = PoissonReconstructionEM(geometry.matrix, geometry.shape, **settings, **more)
        return em.fit(geometry.counts, background=geometry.background)

    limit = fit(tol=1e-12, max_iter=20_000, accelerate="auto")
    late = fit(prior_update="one-step-late", max_iter=1000)
    assert_allclose(late.lower_bound_, limit.lower_bound_, atol=1e-4)
    assert not late.converged_
    assert late.n_iter_ == 1000


def test_one_step_late_can_fall_and_stays_finite(geometry):
    settings = {"prior": QuadraticPrior(), "prior_weight": 30.0}
    bounds = []
    for n_iter in range(1, 12):
        em = PoissonReconstructionEM(
            geometry.matrix,
            geometry.shape,
            prior_update="one-step-late",
            max_iter=n_iter,
            image_init=geometry.images[0] + 0.1,
            **settings,
        )
        bounds.append(em.fit(geometry.counts).lower_bound_)
    assert np.isfinite(bounds).all()
    assert np.diff(bounds).min() < 0.0


def test_thinned_counts_are_independent_and_sum_up():
    counts = np.random.default_rng(0).poisson(40.0, 20_000)
    kept, held_out = thin_counts(counts, 0.25, random_state=0)
    assert_array_equal(kept + held_out, counts)
    assert abs(kept.mean() - 30.0) < 0.2
    assert abs(kept.var() - 30.0) < 1.5
    assert abs(np.corrcoef(kept, held_out)[0, 1]) < 0.03


def blurred(seed, level):
    rng = np.random.default_rng(seed)
    x = np.arange(60)
    matrix = np.exp(-0.5 * ((x[:, None] - x) / 3.0) ** 2)
    image = level * (1.0 + np.sin(x / 5.0))
    return matrix, image, rng.poisson(matrix @ image + 0.5)


@pytest.mark.parametrize("level", [1.0, 10.0])
def test_iterations_chosen_predict_better_than_many(level):
    chosen, many = [], []
    for seed in range(5):
        matrix, image, counts = blurred(seed, level)
        em = PoissonReconstructionEM(matrix, max_iter=300)
        selection = select_n_iter(em, counts[None], 0.5, n_repeats=3, random_state=0)
        assert len(selection.scores) == 301
        assert np.diff(selection.fitted_scores).min() > -1e-9
        assert selection.n_iter == selection.scores.argmax()
        for n_iter, errors in ((selection.n_iter, chosen), (300, many)):
            found = em.set_params(max_iter=n_iter).fit(counts[None], background=0.5).images_[0]
            errors.append(np.square(found - image).mean())
    assert np.mean(chosen) < 0.5 * np.mean(many)


def test_scores_of_counts_held_out(geometry):
    counts = geometry.counts[:1]
    em = PoissonReconstructionEM(geometry.matrix, n_subsets=(3, 1), max_iter=4)
    found = select_n_iter(em, counts, 0.4, fraction=0.25, random_state=7)
    kept, held_out = thin_counts(counts, 0.25, random_state=np.random.RandomState(7))
    for n_iter in range(5):
        em.set_params(max_iter=n_iter).fit(kept, background=0.75 * 0.4)
        mean = em.images_ @ geometry.matrix.T / 3.0 + 0.1
        assert_allclose(found.scores[n_iter], poisson.logpmf(held_out, mean).sum())
        assert_allclose(found.fitted_scores[n_iter], em.log_likelihood_)
