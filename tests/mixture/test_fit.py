"""Fitting: starts, stopping, reports, and inputs that stay unchanged."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import emlearn
from emlearn import GaussianMixtureEM
from emlearn.latent.starts import POINT_STARTS as NAMED

PARAMETERS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]
STARTS = sorted({*NAMED, "search"})


def same_bits(a, b):
    for name in PARAMETERS:
        assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.log_likelihood_ == b.log_likelihood_
    assert a.lower_bounds_ == b.lower_bounds_
    assert a.restarts_ == b.restarts_


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


# ---- parallelism and reproducibility ---------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_bits_for_any_parallelism(covariance_type, dtype):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(9000, 3)) + 3.0 * rng.integers(0, 3, size=(9000, 1))).astype(dtype)
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", n_init=3, random_state=0, tol=1e-3
    )
    alone = clone(mixture).fit(X)
    same_bits(alone, clone(mixture).set_params(n_jobs=2).fit(X))
    same_bits(alone, clone(mixture).set_params(n_jobs=-1).fit(X))
    for limit in (1, 2):
        with threadpool_limits(limit):
            other = clone(mixture).fit(X)
            same_bits(alone, other)
            assert_array_equal(alone.predict_proba(X), other.predict_proba(X))
            assert_array_equal(alone.score_samples(X), other.score_samples(X))


def test_same_bits_for_any_parallelism_by_default(blobs):
    mixture = GaussianMixtureEM(3, n_init=3, random_state=0)
    same_bits(clone(mixture).fit(blobs), clone(mixture).set_params(n_jobs=2).fit(blobs))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_same_bits_in_any_backend(backend, blobs):
    mixture = GaussianMixtureEM(3, n_init=4, init_params="kmeans", random_state=0)
    alone = clone(mixture).fit(blobs)
    with parallel_config(backend=backend, n_jobs=2):
        same_bits(alone, clone(mixture).fit(blobs))
        same_bits(alone, clone(mixture).set_params(n_jobs=2).fit(blobs))


def test_seeds(blobs):
    mixture = GaussianMixtureEM(3, init_params="random_from_data", max_iter=2, tol=0)
    with pytest.warns(ConvergenceWarning):
        first = [mixture.set_params(random_state=s).fit(blobs).lower_bound_ for s in range(3)]
    with pytest.warns(ConvergenceWarning):
        again = [mixture.set_params(random_state=s).fit(blobs).lower_bound_ for s in range(3)]
    assert first == again
    assert len(set(first)) == 3
    state = np.random.RandomState(0)
    mixture.set_params(random_state=state)
    with pytest.warns(ConvergenceWarning):
        assert mixture.fit(blobs).lower_bound_ != mixture.fit(blobs).lower_bound_


def test_more_starts_are_never_worse(blobs):
    mixture = GaussianMixtureEM(4, init_params="random_from_data", random_state=0, tol=1e-3)
    few = mixture.set_params(n_init=2).fit(blobs)
    bound, first = few.lower_bound_, few.restarts_
    many = mixture.set_params(n_init=6).fit(blobs)
    assert len(many.restarts_) == 6
    # The first starts are the same ones.
    assert many.restarts_[:2] == first
    assert many.lower_bound_ >= bound


# ---- starts ----------------------------------------------------------------------------


@pytest.mark.parametrize("init_params", STARTS)
def test_every_start_finds_clear_groups(covariance_type, init_params, groups):
    mixture = GaussianMixtureEM(
        2, covariance_type=covariance_type, init_params=init_params, n_init=3, random_state=0
    )
    mixture.fit(groups)
    first, second = mixture.predict(groups[[0, -1]])
    assert_array_equal(mixture.predict(groups), np.repeat([first, second], [60, 40]))
    assert mixture.weights_[first] == pytest.approx(0.6, abs=0.01)


def test_start_from_responsibilities(groups):
    resp = np.repeat(np.eye(2)[::-1], [60, 40], axis=0)
    array = GaussianMixtureEM(2, init_params=resp).fit(groups)
    as_list = GaussianMixtureEM(2, init_params=resp.tolist()).fit(groups)
    same_bits(array, as_list)
    assert_allclose(array.weights_, [0.4, 0.6], atol=1e-4)

    seen = []

    def start(X, n_components, rng):
        seen.append((X.shape, n_components, type(rng), rng.random()))
        return resp

    called = GaussianMixtureEM(2, init_params=start, n_init=2, random_state=0).fit(groups)
    assert_array_equal(called.means_, array.means_)
    assert [entry[:3] for entry in seen] == [((100, 2), 2, np.random.Generator)] * 2
    assert seen[0][3] != seen[1][3]


def test_rows_may_be_left_out_of_the_start(groups):
    """A few labelled rows are enough for a start, and determine the order of the components."""
    resp = np.zeros((100, 2))
    resp[:5, 1] = 1.0
    resp[-5:, 0] = 1.0
    mixture = GaussianMixtureEM(2, init_params=resp).fit(groups)
    assert_array_equal(mixture.predict(groups), np.repeat([1, 0], [60, 40]))


def test_given_parameters_are_the_start(covariance_type, blobs, naive):
    rng = np.random.default_rng(0)
    resp = rng.dirichlet([0.3] * 3, size=len(blobs))
    weights, means, covariances = naive.m_step(blobs, resp, covariance_type)
    precisions = (
        np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances
    )
    given = {
        "weights_init": weights, "means_init": means, "precisions_init": precisions
    }  # fmt: skip
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, reg_covar=0, max_iter=0, **given
    ).fit(blobs)
    assert_allclose(mixture.weights_, weights)
    assert_allclose(mixture.means_, means)
    assert_allclose(mixture.covariances_, covariances)
    assert_allclose(mixture.precisions_, precisions, rtol=1e-6, atol=1e-9)
    assert mixture.n_iter_ == 0
    assert mixture.lower_bounds_ == []
    assert mixture.lower_bound_ == pytest.approx(mixture.score(blobs))
    assert mixture.converged_ is False
    # Only one is given: the others come from init_params.
    for name, value in given.items():
        alone = GaussianMixtureEM(
            3, covariance_type=covariance_type, reg_covar=0, max_iter=0, init_params=resp,
            **{name: value},
        ).fit(blobs)  # fmt: skip
        assert_allclose(alone.weights_, weights)
        assert_allclose(alone.means_, means)
        assert_allclose(alone.covariances_, covariances, atol=1e-9)


def test_order_of_given_means_is_the_order_of_components(groups):
    for means in ([[0.0, 0.0], [8.0, 6.0]], [[8.0, 6.0], [0.0, 0.0]]):
        mixture = GaussianMixtureEM(2, means_init=means).fit(groups)
        assert_allclose(mixture.means_, means, atol=0.4)


# ---- warm start ------------------------------------------------------------------------


def test_warm_start_goes_on(covariance_type, blobs):
    settings = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-7}
    settings["init_params"] = "kmeans"
    whole = GaussianMixtureEM(3, **settings).fit(blobs)
    part = GaussianMixtureEM(3, warm_start=True, max_iter=3, n_init=2, **settings)
    with pytest.warns(ConvergenceWarning):
        part.fit(blobs)
    assert len(part.restarts_) == 2
    reached = part.lower_bound_
    part.set_params(max_iter=1000).fit(blobs)
    assert len(part.restarts_) == 1
    assert part.history_["objective"][0] / len(blobs) == pytest.approx(reached, rel=1e-9)
    assert part.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-5)
    means = part.means_.copy()
    assert part.fit(blobs).n_iter_ <= 3
    assert_allclose(part.means_, means, rtol=1e-3)
    cold = part.set_params(warm_start=False).fit(blobs)
    assert cold.n_iter_ > 3


def test_warm_start_of_nearly_singular_covariances(blobs):
    """A warm start uses the covariances; their inverses have lost half of the digits."""
    rng = np.random.default_rng(0)
    X = np.column_stack([blobs, blobs[:, 0] + 1e-4 * rng.normal(size=len(blobs))])
    mixture = GaussianMixtureEM(2, reg_covar=0, warm_start=True, random_state=0).fit(X)
    objective = mixture.history_["objective"][-1]
    assert mixture.fit(X).history_["objective"][0] == pytest.approx(objective, abs=1e-4)


@pytest.mark.parametrize(
    "change", [{"n_components": 3}, {"covariance_type": "diag"}, {"columns": 1}]
)
def test_warm_start_of_another_model_is_refused(groups, change):
    mixture = GaussianMixtureEM(2, warm_start=True, random_state=0).fit(groups)
    X = groups[:, : change.pop("columns", 2)]
    with pytest.raises(ValueError, match="warm_start=False"):
        mixture.set_params(**change).fit(X)
    mixture.set_params(warm_start=False).fit(X)


# ---- stopping --------------------------------------------------------------------------


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


# ---- what is given is not changed; how it is given does not matter ---------------------


def test_nothing_given_is_changed(covariance_type, blobs, naive):
    resp = np.random.default_rng(0).dirichlet([1.0] * 3, size=len(blobs))
    weight = np.random.default_rng(1).random(len(blobs))
    weight[:4] = 0.0
    weights, means, covariances = naive.m_step(blobs, resp, covariance_type)
    precisions = (
        np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances
    )
    arrays = [blobs, weight, resp, weights, means, precisions]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params=resp, weights_init=weights,
        means_init=means, precisions_init=precisions,
    )  # fmt: skip
    mixture.fit(blobs, sample_weight=weight)
    for method in (mixture.predict, mixture.predict_proba, mixture.score_samples, mixture.bic):
        method(blobs)
    mixture.score(blobs, sample_weight=weight)
    for array, copy in zip(arrays, copies, strict=True):
        assert_array_equal(array, copy)
    # The attributes belong to the estimator alone.
    for name in PARAMETERS:
        value = getattr(mixture, name)
        assert not any(np.shares_memory(value, array) for array in arrays)
        value.flags.writeable = True
        assert value.dtype == np.float64


def test_layouts_and_types_of_rows(covariance_type, blobs, tmp_path):
    np.save(tmp_path / "rows.npy", blobs)
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", random_state=0
    )
    plain = clone(mixture).fit(blobs)
    wide = np.empty((len(blobs), 4))
    wide[:, ::2] = blobs
    for X in (
        np.asfortranarray(blobs),
        wide[:, ::2],
        blobs[::-1][::-1],
        blobs.tolist(),
        np.load(tmp_path / "rows.npy", mmap_mode="r"),
        blobs.astype(">f8"),
        blobs.astype(object),
    ):
        other = clone(mixture).fit(X)
        for name in PARAMETERS:
            assert_allclose(getattr(other, name), getattr(plain, name), rtol=1e-7, atol=1e-9)
        assert_allclose(other.score_samples(X), plain.score_samples(blobs), rtol=1e-9)
    whole = np.rint(blobs).astype(int)
    same_bits(clone(mixture).fit(whole), clone(mixture).fit(whole.astype(float)))
    assert clone(mixture).fit(whole).means_.dtype == np.float64


def test_single_precision(covariance_type, groups):
    mixture = GaussianMixtureEM(
        2, covariance_type=covariance_type, init_params="kmeans", random_state=0
    )
    blobs = groups * 50.0 + 1000.0
    X = blobs.astype(np.float32)
    exact = clone(mixture).fit(X.astype(np.float64))
    single = clone(mixture).fit(X)
    for name in PARAMETERS:
        assert getattr(single, name).dtype == np.float32
    assert single.predict_proba(X).dtype == np.float32
    assert single.score_samples(X).dtype == np.float32
    assert single.sample(3)[0].dtype == np.float32
    assert isinstance(single.score(X), float)
    assert single.log_likelihood_ == pytest.approx(exact.log_likelihood_, abs=2e-3)
    assert_allclose(single.weights_, exact.weights_, atol=1e-4)
    assert_allclose(single.means_, exact.means_, rtol=1e-5)
    assert_allclose(single.covariances_, exact.covariances_, rtol=1e-3, atol=0.1)
    assert_allclose(single.score_samples(X), exact.score_samples(blobs), atol=2e-3)
    # Rows of the other precision.
    assert single.predict_proba(blobs).dtype == np.float64
    assert exact.predict_proba(X).dtype == np.float32
    assert_allclose(exact.predict_proba(X), exact.predict_proba(blobs), atol=1e-4)


def test_single_precision_sums_many_rows():
    """Statistics of blocks are added in double precision."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 2)).astype(np.float32) + np.float32(100.0)
    mixture = GaussianMixtureEM(reg_covar=0).fit(X)
    exact = X.astype(np.float64)
    assert_allclose(mixture.means_[0], exact.mean(axis=0), rtol=2e-7)
    assert_allclose(mixture.covariances_[0], np.cov(exact.T, bias=True), atol=5e-6)
    assert mixture.score(X) == pytest.approx(GaussianMixtureEM(reg_covar=0).fit(exact).score(X))


def test_pickle_and_clone(covariance_type, blobs):
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, random_state=0, init_params=np.eye(3)[[0, 1, 2] * 50]
    )
    unfitted = pickle.loads(pickle.dumps(mixture))
    mixture.fit(blobs)
    copy = pickle.loads(pickle.dumps(mixture))
    same_bits(mixture, copy)
    assert_array_equal(mixture.predict_proba(blobs), copy.predict_proba(blobs))
    same_bits(mixture, clone(mixture).fit(blobs))
    same_bits(mixture, unfitted.fit(blobs))
    assert not hasattr(clone(mixture), "means_")
    assert "GaussianMixtureEM" in repr(mixture)
    # Small, because no data are kept.
    assert len(pickle.dumps(mixture)) < 20_000


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


@pytest.mark.parametrize("again", [deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("name", ["covariances_", "precisions_", "precisions_cholesky_"])
def test_copies_of_matrices_cannot_be_changed_in_place_either(name, again):
    """A change of one form would not reach the others."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    mixture = again(GaussianMixtureEM(1).fit(X))
    with pytest.raises(ValueError, match="read-only"):
        getattr(mixture, name)[...] = 2.0


def test_weights_of_another_shape_are_refused():
    mixture = GaussianMixtureEM(1).fit([[0.0], [1.0], [3.0]])
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


def test_means_that_no_row_is_nearest_to():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 6.0]
    with pytest.warns(UserWarning, match=r"No row is nearest to means_init\[2\]") as caught:
        mixture = GaussianMixtureEM(3, means_init=[[0, 0], [6, 6], [100, 100]]).fit(X)
    assert caught[0].filename == __file__
    assert (mixture.weights_ > 0.01).all()
    two = GaussianMixtureEM(2, random_state=0).fit(X)
    assert mixture.log_likelihood_ >= two.log_likelihood_
    equal = GaussianMixtureEM(2, means_init=[[0, 0], [0, 0]]).fit(X)
    assert np.isclose(equal.weights_, 0.5, atol=0.01).all()
    assert equal.log_likelihood_ == pytest.approx(two.log_likelihood_, abs=1e-2)


@pytest.mark.parametrize("given", [(), ("weights_init", "precisions_init")])
def test_a_mean_that_no_row_is_nearest_to_starts_at_the_rows_closest_to_it(given):
    """It shares them: half of each of the (n / 2 K) closest rows."""
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 6.0]
    means = np.array([[0.0, 0.0], [100.0, 90.0], [6.0, 6.0]])
    options = {"weights_init": [0.2, 0.3, 0.5], "precisions_init": np.full((3, 2, 2), np.eye(2))}
    options = {name: options[name] for name in given}
    before = means.copy()
    with pytest.warns(UserWarning, match=r"No row is nearest to means_init\[1\]"):
        mixture = GaussianMixtureEM(
            3, means_init=means, max_iter=0, random_state=0, **options
        ).fit(X)  # fmt: skip
    assert (means == before).all()
    closest = np.argsort(np.square(X - means[1]).sum(axis=1))[:100]
    assert_allclose(mixture.means_, [means[0], X[closest].mean(axis=0), means[2]])
    assert_allclose(
        mixture.weights_, [0.2, 0.3, 0.5] if given else [300 / 600, 50 / 600, 250 / 600]
    )
    if given:
        assert_allclose(mixture.covariances_, np.full((3, 2, 2), np.eye(2)))


def test_equal_means_keep_their_place_and_share_their_rows():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 6.0]
    means = [[6.0, 6.0], [0.0, 0.0], [0.0, 0.0]]
    mixture = GaussianMixtureEM(3, means_init=means, max_iter=0, random_state=0).fit(X)
    assert_allclose(mixture.means_, means)
    # A sixth of the rows are shared with the copy.
    assert_allclose(mixture.weights_, [0.5, (200 - 66 / 2) / 400, 33 / 400])
