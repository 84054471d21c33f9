"""Starts of Gaussian mixtures, given and found, and warm starts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from emlearn import GaussianMixtureEM
from emlearn.latent.starts import POINT_STARTS as NAMED

STARTS = sorted({*NAMED, "search"})


@pytest.mark.parametrize("init_params", STARTS)
def test_every_start_finds_clear_groups(covariance_type, init_params, groups):
    mixture = GaussianMixtureEM(
        2, covariance_type=covariance_type, init_params=init_params, n_init=3, random_state=0
    )
    mixture.fit(groups)
    first, second = mixture.predict(groups[[0, -1]])
    assert_array_equal(mixture.predict(groups), np.repeat([first, second], [60, 40]))
    assert mixture.weights_[first] == pytest.approx(0.6, abs=0.01)


def test_start_from_responsibilities(groups, same_bits):
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
