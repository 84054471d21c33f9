"""The fitted mixture: labels, densities, rows far away, and samples."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from emlearn import GaussianMixtureEM

METHODS = ["predict", "predict_proba", "transform", "score_samples", "score", "aic", "bic", "icl"]


@pytest.fixture
def mixture(covariance_type, blobs):
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", random_state=0
    )
    return mixture.fit(blobs)


def test_labels_and_responsibilities_agree(mixture, blobs):
    resp = mixture.predict_proba(blobs)
    assert resp.shape == (150, 3)
    assert_allclose(resp.sum(axis=1), 1.0)
    assert (resp >= 0.0).all()
    assert_array_equal(mixture.predict(blobs), resp.argmax(axis=1))
    assert mixture.predict(blobs).dtype == np.intp
    assert isinstance(mixture.score(blobs), float)
    assert_allclose(mixture.score(blobs), mixture.score_samples(blobs).mean())


def test_rows_do_not_influence_each_other(mixture, blobs):
    far = blobs.copy()
    far[::3] = 1e300
    for name in ("predict", "predict_proba", "score_samples"):
        method = getattr(mixture, name)
        whole = method(blobs)
        assert_allclose(np.concatenate([method(row[None]) for row in blobs[:9]]), whole[:9])
        assert_array_equal(method(far)[1::3], whole[1::3])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_far_away(mixture, dtype, blobs):
    """No NaN, no warning, no far row more likely than a nearer one, and a valid component."""
    reach = np.logspace(3, np.log10(np.finfo(dtype).max) - 0.1, 60)
    for direction in ([1.0, 1.0], [-1.0, 0.5], [0.0, 1.0], [1.0, 0.0]):
        X = (np.outer(reach, direction) + mixture.means_.mean(axis=0)).astype(dtype)
        density = mixture.score_samples(X)
        assert np.isfinite(density).all()
        assert (np.diff(density) <= 0.0).all()
        resp = mixture.predict_proba(X)
        assert np.isfinite(resp).all()
        assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-6)
        labels = mixture.predict(X)
        assert_array_equal(labels, resp.argmax(axis=1))
        # Beyond some distance nothing changes.
        assert len(set(labels[20:])) == 1
        for name in ("score", "aic", "bic", "icl"):
            assert np.isfinite(getattr(mixture, name)(X))
    assert np.isfinite(mixture.score(np.full((1000, 2), np.finfo(dtype).max, dtype)))


def test_a_row_between_two_far_groups():
    """Rows whose densities underflow still have responsibilities."""
    X = np.concatenate([np.zeros((20, 1)), np.full((20, 1), 1e6)])
    X += np.random.default_rng(0).normal(size=X.shape)
    mixture = GaussianMixtureEM(2, init_params="kmeans", random_state=0, reg_covar=1e-6).fit(X)
    near = mixture.predict(X)[[0, -1]]
    assert_array_equal(mixture.predict([[4e5], [6e5]]), near)
    assert_allclose(mixture.predict_proba([[4e5], [6e5]]), np.eye(2)[near])


@pytest.mark.parametrize("n_features", [2, 20, 40])
def test_blocks_and_threads_do_not_show(covariance_type, n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, n_features)) + rng.integers(0, 2, size=(40_000, 1))
    mixture = GaussianMixtureEM(
        2, covariance_type=covariance_type, max_iter=0, init_params="kmeans"
    )
    mixture.fit(X[:2000])
    whole = mixture.score_samples(X)
    parts = np.concatenate([mixture.score_samples(part) for part in np.array_split(X, 7)])
    assert_allclose(whole, parts, rtol=1e-9)
    assert_allclose(mixture.score(X), whole.mean())


@pytest.mark.parametrize("method", METHODS)
def test_not_fitted(method):
    with pytest.raises(NotFittedError, match="GaussianMixtureEM instance is not fitted"):
        getattr(GaussianMixtureEM(), method)(np.zeros((3, 2)))


def test_names_and_samples_need_a_fit():
    with pytest.raises(NotFittedError, match="not fitted"):
        GaussianMixtureEM().sample()
    with pytest.raises(NotFittedError, match="not fitted"):
        GaussianMixtureEM().get_feature_names_out()


@pytest.mark.parametrize("method", METHODS)
def test_bad_rows(method, groups):
    call = getattr(GaussianMixtureEM(2, init_params="kmeans", random_state=0).fit(groups), method)
    with pytest.raises(ValueError, match="X has 1 features"):
        call(groups[:, :1])
    with pytest.raises(ValueError, match="infinity"):
        call([[np.inf, 1.0]])
    with pytest.raises(ValueError, match="0 sample"):
        call(groups[:0])
    with pytest.raises(ValueError, match="2D array"):
        call(groups[0])


@pytest.mark.parametrize("method", ["score", "aic", "bic", "icl"])
def test_bad_weights_in_scores(method, groups):
    call = getattr(GaussianMixtureEM(2, init_params="kmeans", random_state=0).fit(groups), method)
    for weight, message in [
        (-np.ones(100), "Negative values"), (np.zeros(100), "non-zero"),
        (np.full(100, np.nan), "NaN"), (np.ones(3), "shape"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call(groups, sample_weight=weight)


# ---- sampling --------------------------------------------------------------------------


def test_samples_have_the_moments_of_the_mixture(mixture, naive, covariance_type):
    n = 100_000
    X, y = mixture.sample(n)
    assert X.shape == (n, 2)
    assert y.shape == (n,)
    assert (np.diff(y) >= 0).all()
    matrices = naive.matrices(mixture.covariances_, covariance_type, 3, 2)
    for k, matrix in enumerate(matrices):
        rows = X[y == k]
        share = len(rows) / n
        assert abs(share - mixture.weights_[k]) < 5.0 * np.sqrt(share / n)
        root = np.linalg.cholesky(matrix)
        white = np.linalg.solve(root, (rows - mixture.means_[k]).T)
        error = 5.0 / np.sqrt(len(rows))
        assert_allclose(white.mean(axis=1), 0.0, atol=error)
        assert_allclose(np.cov(white), np.eye(2), atol=2.0 * error)


def test_seeds_of_samples(mixture):
    first, again = mixture.sample(20), mixture.sample(20)
    assert_array_equal(first[0], again[0])
    mixture.set_params(random_state=1)
    assert (mixture.sample(20)[0] != first[0]).any()
    mixture.set_params(random_state=np.random.RandomState(0))
    assert (mixture.sample(20)[0] != mixture.sample(20)[0]).any()
    X, y = mixture.sample()
    assert X.shape == (1, 2)
    assert y.shape == (1,)


def test_a_fit_of_samples_finds_the_mixture_again(groups):
    truth = GaussianMixtureEM(2, init_params="kmeans", random_state=0).fit(groups)
    X, _ = truth.sample(20_000)
    again = GaussianMixtureEM(2, means_init=truth.means_).fit(X)
    assert_allclose(again.means_, truth.means_, atol=0.05)
    assert_allclose(again.weights_, truth.weights_, atol=0.02)
    assert_allclose(again.covariances_, truth.covariances_, atol=0.06)


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "a", None])
def test_bad_numbers_of_samples(n_samples, groups):
    mixture = GaussianMixtureEM(2, init_params="kmeans", random_state=0).fit(groups)
    with pytest.raises(ValueError, match="'n_samples'"):
        mixture.sample(n_samples)


@pytest.mark.filterwarnings("ignore:.*lost all rows")
def test_a_dead_component_is_never_drawn(covariance_type, groups):
    mixture = GaussianMixtureEM(
        2, covariance_type=covariance_type, weights_init=[0.0, 1.0], init_params="kmeans"
    ).fit(groups)
    _, y = mixture.sample(1000)
    assert (y == 1).all()
    assert (mixture.predict(np.r_[groups, [[1e300, 1e300]]]) == 1).all()
