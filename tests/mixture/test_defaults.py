"""The fit without options: what changes it, and what it finds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.distributions import Gaussian

STRUCTURES = ["full", "tied", "diag", "spherical"]


def gaussian(name, X, weight=None, K=3, **settings):
    return GaussianMixtureEM(K, covariance_type=name, random_state=0, **settings).fit(
        X, sample_weight=weight
    )


def finite(name, X, weight=None, K=3, **settings):
    return FiniteMixtureEM(K, family="gaussian", random_state=0, **settings).fit(
        X, sample_weight=weight
    )


FITS = [*((gaussian, name) for name in STRUCTURES), (finite, "full")]


def clusters(seed, n=200, d=3):
    rng = np.random.default_rng(seed)
    centers = 2.5 * rng.normal(size=(3, d))
    return rng.normal(size=(n, d)) + centers[rng.integers(3, size=n)]


def assert_same_partition(one, other, X, Y, order=slice(None)):
    __tracebackhide__ = True
    assert_allclose(one.predict_proba(X)[order], other.predict_proba(Y), atol=1e-3)


@pytest.mark.parametrize(("fit", "name"), FITS)
@pytest.mark.parametrize("seed", range(4))
def test_objective_never_falls(fit, name, seed):
    mixture = fit(name, clusters(seed))
    objective = mixture.history_["objective"]
    assert (np.diff(objective) >= 0.0).all()
    assert mixture.converged_


@pytest.mark.parametrize(("fit", "name"), FITS)
@pytest.mark.parametrize("seed", range(4))
def test_weights_are_copies(fit, name, seed):
    X = clusters(seed)
    counts = np.random.default_rng(seed).integers(1, 4, size=len(X))
    weighted = fit(name, X, counts)
    copies = fit(name, np.repeat(X, counts, axis=0))
    assert_allclose(weighted.lower_bound_, copies.lower_bound_, rtol=1e-8)
    assert_same_partition(weighted, copies, X, X)


@pytest.mark.parametrize(("fit", "name"), FITS)
@pytest.mark.parametrize("seed", range(4))
def test_order_of_rows(fit, name, seed):
    X = clusters(seed)
    order = np.random.default_rng(seed).permutation(len(X))
    one, other = fit(name, X), fit(name, X[order])
    assert_allclose(one.lower_bound_, other.lower_bound_, rtol=1e-8)
    assert_same_partition(one, other, X, X[order], order)


@pytest.mark.parametrize(("fit", "name"), FITS)
@pytest.mark.parametrize("seed", range(4))
def test_shift_and_one_factor_of_all_columns(fit, name, seed):
    X = clusters(seed)
    Y = (X + np.array([64.0, -8.0, 512.0])) * 2.0**-7
    assert_same_partition(fit(name, X), fit(name, Y), X, Y)


@pytest.mark.parametrize("name", ["full", "tied", "diag"])
def test_an_optimum_is_one_in_any_units(name):
    """What was found in some units has the same objective, and is not left, in others."""
    X = load_iris().data
    scale = np.array([100.0, 1.0, 0.01, 5.0])
    here = gaussian(name, X)
    there = GaussianMixtureEM(3, covariance_type=name, init_params=here.predict_proba(X)).fit(
        X * scale
    )
    jacobian = np.log(scale).sum()
    assert there.lower_bound_ + jacobian == pytest.approx(here.lower_bound_, abs=1e-6)


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_same_bits_for_any_n_jobs(n_jobs):
    X = clusters(0, n=5000)
    one, other = gaussian("full", X, n_init=3), gaussian("full", X, n_init=3, n_jobs=n_jobs)
    assert one.means_.tobytes() == other.means_.tobytes()
    assert one.restarts_ == other.restarts_


def test_more_effort_is_not_a_worse_fit():
    X = load_iris().data
    for K in (3, 4):
        fits = [gaussian("full", X, K=K, n_init=n).lower_bound_ for n in (1, 10)]
        assert fits[1] >= fits[0] - 1e-6


def test_not_below_scikit_learn():
    X = load_iris().data
    for seed in range(3):
        peer = GaussianMixture(3, random_state=seed, tol=1e-7, max_iter=2000).fit(X)
        own = GaussianMixtureEM(3, random_state=seed).fit(X)
        assert own.log_likelihood_ > peer.score(X) * len(X) - 0.01


# ---- what the defaults find --------------------------------------------------------------


def test_no_spurious_component_on_wine():
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    for seed in range(3):
        mixture = GaussianMixtureEM(3, random_state=seed).fit(X)
        assert 178 * mixture.weights_.min() > 30
        assert adjusted_rand_score(y, mixture.predict(X)) > 0.8


@pytest.mark.parametrize("name", ["full", "tied"])
@pytest.mark.parametrize("d", [5, 10, 40])
@pytest.mark.parametrize("family", [False, True])
def test_clusters_far_apart_are_found_in_many_dimensions(family, d, name):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=d)
        labels = rng.integers(2, size=500)
        shift = 10.0 * direction / np.linalg.norm(direction)
        X = rng.normal(size=(500, d)) + labels[:, None] * shift
        if family:
            mixture = FiniteMixtureEM(2, family=Gaussian(name), random_state=seed)
        else:
            mixture = GaussianMixtureEM(2, covariance_type=name, random_state=seed)
        assert adjusted_rand_score(labels, mixture.fit(X).predict(X)) == 1.0


def test_rows_with_holes_and_a_constant():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 8.0]
    X[rng.random(X.shape) < 0.2] = np.nan
    labels = (
        GaussianMixtureEM(2, random_state=0)
        .fit(np.c_[X, np.full(200, 7.0)])
        .predict(np.c_[X, np.full(200, 7.0)])
    )
    assert adjusted_rand_score(np.arange(200) >= 100, labels) > 0.9
