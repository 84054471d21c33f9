"""Fitting: what is reported, stopping, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import emlearn
from emlearn import GaussianMixtureEM


def test_public_names():
    assert emlearn.GaussianMixtureEM is emlearn.mixture.GaussianMixtureEM
    assert "GaussianMixtureEM" in emlearn.mixture.__all__


def test_what_is_reported_belongs_together(covariance_type, blobs):
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, n_init=3, random_state=0)
    mixture.fit(blobs)
    n = len(blobs)
    history = mixture.history_
    assert set(history) >= {"objective", "gain", "rate", "remaining", "e_steps", "step"}
    assert all(len(column) == mixture.n_iter_ + 1 for column in history.values())
    assert_allclose(history["gain"][1:], np.diff(history["objective"]), atol=1e-9)
    assert history["step"][0] == "start"
    assert_allclose(mixture.lower_bounds_, history["objective"][1:] / n)
    assert len(mixture.lower_bounds_) == mixture.n_iter_
    assert mixture.lower_bound_ == mixture.lower_bounds_[-1]
    assert mixture.log_likelihood_ == pytest.approx(mixture.score(blobs) * n, rel=1e-12)
    assert mixture.lower_bound_ * n <= mixture.log_likelihood_
    bound = mixture.lower_bound_ * n
    finished = [run for run in mixture.restarts_ if np.isclose(run.objective, bound, rtol=1e-12)]
    assert "converged" in {run.status for run in finished}
    assert mixture.n_iter_ in {run.n_iter for run in finished}
    assert {run.status for run in mixture.restarts_} <= {"converged", "outrun"}
    assert mixture.converged_ is True
    assert len({run.seed for run in mixture.restarts_}) == len(mixture.restarts_) > 3
    mixture.set_params(reg_covar=0).fit(blobs)
    assert mixture.lower_bound_ == pytest.approx(mixture.score(blobs), rel=1e-10)


def test_the_bound_includes_the_ridge(blobs, naive, covariance_type):
    ridge = 0.5
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, reg_covar=ridge, random_state=0
    ).fit(blobs)
    matrices = naive.matrices(mixture.covariances_, covariance_type, 3, 2)
    params = mixture.weights_, mixture.means_, matrices
    total = naive.objective(blobs, np.ones(len(blobs)), *params, ridge)
    assert mixture.lower_bound_ == pytest.approx(total / len(blobs), rel=1e-9)
    assert mixture.log_likelihood_ > total


def test_the_automatic_ridge_is_relative_to_the_variances(blobs):
    variance = blobs.var(axis=0)
    auto = GaussianMixtureEM(random_state=0).fit(blobs)
    assert_allclose(auto.covariances_[0], np.cov(blobs.T, bias=True) + 1e-6 * np.diag(variance))
    sphere = GaussianMixtureEM(covariance_type="spherical").fit(blobs)
    assert_allclose(sphere.covariances_, variance.mean() * (1.0 + 1e-6))


def test_tol_is_what_is_left_to_gain(covariance_type, blobs):
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", random_state=1
    )
    best = mixture.set_params(tol=1e-11, max_iter=10_000).fit(blobs).lower_bound_
    n_iter = mixture.n_iter_
    for tol in (1e-2, 1e-4, 1e-6):
        mixture.set_params(tol=tol, max_iter=1000).fit(blobs)
        assert mixture.converged_
        assert mixture.n_iter_ <= n_iter
        assert best - mixture.lower_bound_ <= 3.0 * tol


def test_no_tolerance_ends_at_rounding(groups):
    mixture = GaussianMixtureEM(2, tol=0, max_iter=10_000, random_state=0).fit(groups)
    assert mixture.converged_
    assert mixture.n_iter_ < 1000


def test_one_warning_if_it_did_not_converge(blobs, recwarn):
    mixture = GaussianMixtureEM(
        3, max_iter=2, n_init=4, init_params="kmeans", random_state=0, tol=1e-9
    )
    mixture.fit(blobs)
    (warning,) = recwarn.list
    assert warning.category is ConvergenceWarning
    assert warning.filename == __file__
    assert "EM did not converge" in str(warning.message)
    assert "max_iter=2" in str(warning.message)
    assert mixture.converged_ is False
    assert mixture.n_iter_ == 2
    assert {run.status for run in mixture.restarts_} == {"max_iter"}


def test_no_iterations(blobs):
    mixture = GaussianMixtureEM(3, max_iter=0, random_state=0).fit(blobs)
    assert mixture.n_iter_ == 0
    assert mixture.predict(blobs).shape == (150,)


def test_fit_predict_is_fit_then_predict(covariance_type, blobs):
    weight = np.random.default_rng(0).random(len(blobs))
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", random_state=0
    )
    labels = clone(mixture).fit_predict(blobs, sample_weight=weight)
    assert_array_equal(labels, mixture.fit(blobs, sample_weight=weight).predict(blobs))
    assert_array_equal(
        clone(mixture).fit_transform(blobs), clone(mixture).fit(blobs).transform(blobs)
    )


def test_many_features():
    """So many features that BLAS computes the products; rows of two distant groups."""
    rng = np.random.default_rng(0)
    d, n = 300, 700
    side = rng.integers(2, size=n)
    X = rng.normal(size=(n, d)) + 3.0 * side[:, None]
    mixture = GaussianMixtureEM(2, reg_covar=0.5, init_params="kmeans", random_state=0).fit(X)
    assert (np.diff(mixture.lower_bounds_) > -1e-9).all()
    for k in range(2):
        (group,) = {int(side[i]) for i in np.flatnonzero(mixture.predict(X) == k)}
        own = X[side == group]
        np.testing.assert_allclose(mixture.means_[k], own.mean(axis=0), atol=1e-8)
        expected = np.cov(own.T, bias=True) + 0.5 * np.eye(d)
        np.testing.assert_allclose(mixture.covariances_[k], expected, atol=1e-8)


def test_weights_of_another_shape_are_refused():
    mixture = GaussianMixtureEM(1).fit([[0.0], [1.0], [3.0], [4.0]])
    for value in (None, [[1.0]]):
        mixture.weights_ = value
        with pytest.raises(ValueError, match=r"weights_ must have shape \(n_components,\)"):
            mixture.score([[0.0]])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"covariance_type": "round"}, "'covariance_type' parameter of GaussianMixtureEM"),
        ({"means": "high"}, "'means' must be an array of numbers"),
        ({"weights": "a"}, "'weights' must be an array of numbers"),
    ],
)
def test_known_parameters_are_refused_by_name(wrong, message):
    given = {"weights": [1.0], "means": [[0.0]], "covariances": [[[1.0]]], **wrong}
    with pytest.raises(ValueError, match=message):
        GaussianMixtureEM.from_parameters(**given)
