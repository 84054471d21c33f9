"""The same steps as scikit-learn's GaussianMixture, and those of its tests that apply here."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from emlearn import GaussianMixtureEM

PARAMETERS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


def start(naive, X, covariance_type, K=3):
    resp = np.random.default_rng(0).dirichlet([0.4] * K, size=len(X))
    weights, means, covariances = naive.m_step(X, resp, covariance_type)
    precisions = (
        np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances
    )
    return {"weights_init": weights, "means_init": means, "precisions_init": precisions}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_iter", [1, 2, 5, 40])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 0.5])
def test_same_steps(naive, covariance_type, blobs, n_iter, reg_covar):
    """scikit-learn omits the ridge from the E-step, so with a ridge only one step is the same."""
    if reg_covar > 1e-3:
        n_iter = min(n_iter, 1)
    settings = {
        "n_components": 3, "covariance_type": covariance_type, "reg_covar": reg_covar,
        "max_iter": n_iter, "tol": 0.0, **start(naive, blobs, covariance_type),
    }  # fmt: skip
    theirs = GaussianMixture(**settings).fit(blobs)
    ours = GaussianMixtureEM(**settings, accelerate=None).fit(blobs)
    assert ours.n_iter_ == theirs.n_iter_ == n_iter
    loose = 1e-6 if reg_covar != 0.5 else 0.05
    for name in PARAMETERS:
        scale = np.abs(getattr(theirs, name)).max()
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=loose, atol=loose * scale)
        assert getattr(ours, name).shape == getattr(theirs, name).shape


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_same_functions_of_the_parameters(naive, covariance_type, blobs):
    """Both give the same densities, criteria and labels at the same parameters."""
    ours = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0).fit(blobs)
    theirs = GaussianMixture(3, covariance_type=covariance_type)
    for name in PARAMETERS:
        setattr(theirs, name, getattr(ours, name))
    new = blobs[::3] * 1.1
    for name in ("predict", "predict_proba", "score_samples", "score", "aic", "bic"):
        assert_allclose(getattr(ours, name)(new), getattr(theirs, name)(new), rtol=1e-8, atol=1e-9)


def test_same_optimum_not_lower(covariance_type, blobs):
    theirs = GaussianMixture(
        3, covariance_type=covariance_type, tol=1e-9, max_iter=5000, random_state=0, reg_covar=0
    ).fit(blobs)
    ours = GaussianMixtureEM(
        3, covariance_type=covariance_type, tol=1e-9, random_state=0, reg_covar=0,
        weights_init=theirs.weights_, means_init=theirs.means_,
        precisions_init=theirs.precisions_,
    ).fit(blobs)  # fmt: skip
    assert ours.score(blobs) >= theirs.score(blobs) - 1e-12
    assert_allclose(ours.score(blobs), theirs.score(blobs), rtol=1e-6)


# ---- what scikit-learn's own tests ask for, in our words --------------------------------


def well_apart(covariance_type, K=2, d=2, n=150, scale=50.0, seed=0):
    rng = np.random.default_rng(seed)
    means = rng.permutation(K)[:, None] * scale + rng.random((K, d))
    y = np.repeat(np.arange(K), n)
    shapes = {
        "full": [np.linalg.qr(rng.normal(size=(d, d)))[0] * (1 + k) for k in range(K)],
        "tied": [np.eye(d) * 1.5] * K,
        "diag": [np.diag(rng.random(d) + 0.5) for _ in range(K)],
        "spherical": [np.eye(d) * (1 + k) for k in range(K)],
    }[covariance_type]
    X = np.concatenate([means[k] + rng.normal(size=(n, d)) @ shapes[k] for k in range(K)])
    return X, y, means


def test_labels_of_groups_well_apart(covariance_type):
    X, y, means = well_apart(covariance_type, K=3)
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0)
    labels = mixture.fit_predict(X)
    assert adjusted_rand_score(y, labels) == 1.0
    assert_array_equal(labels, mixture.predict(X))
    assert_array_equal(labels, mixture.predict_proba(X).argmax(axis=1))
    order = np.argsort(mixture.means_[:, 0])
    assert_allclose(mixture.means_[order], means[np.argsort(means[:, 0])], atol=0.5)
    assert_allclose(mixture.weights_, 1 / 3, atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_steps_one_by_one_never_lower_the_likelihood(covariance_type, blobs):
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, reg_covar=0, warm_start=True, max_iter=1,
        init_params="random_from_data", random_state=0, tol=1e-9,
    )  # fmt: skip
    scores = [mixture.fit(blobs).score(blobs) for _ in range(60)]
    assert (np.diff(scores) >= -1e-12).all()
    whole = mixture.set_params(max_iter=1000).fit(blobs)
    assert whole.converged_


@pytest.mark.parametrize(
    ("covariance_type", "expected"),
    [("full", 2 + 3 * 4 + 3 * 10), ("tied", 2 + 12 + 10), ("diag", 2 + 12 + 12),
     ("spherical", 2 + 12 + 3)],
)  # fmt: skip
def test_number_of_parameters(covariance_type, expected):
    X = np.random.default_rng(0).normal(size=(600, 4))
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0).fit(X)
    assert mixture.aic(X) + 2 * mixture.log_likelihood_ == pytest.approx(2 * expected)


def test_bic_of_one_component_in_one_column():
    """In one column all structures have the same number of parameters."""
    X = np.random.default_rng(0).normal(size=(100, 1))
    bics = [
        GaussianMixtureEM(covariance_type=name).fit(X).bic(X)
        for name in ("full", "tied", "diag", "spherical")
    ]
    assert_allclose(bics, bics[0])


def test_likelihood_approaches_the_entropy(covariance_type):
    X = 3.0 * np.random.default_rng(0).normal(size=(5000, 3))
    entropy = 1.5 * np.log(2 * np.pi * np.e * 9.0)
    mixture = GaussianMixtureEM(covariance_type=covariance_type).fit(X)
    assert mixture.score(X) == pytest.approx(-entropy, abs=0.05)
    assert mixture.bic(X) == pytest.approx(2 * 5000 * entropy, rel=0.01)


def test_more_iterations_and_more_starts_do_not_hurt(blobs):
    with pytest.warns(ConvergenceWarning):
        short = GaussianMixtureEM(3, max_iter=1, init_params="random", random_state=0).fit(blobs)
    long = GaussianMixtureEM(3, init_params="random", random_state=0).fit(blobs)
    assert long.score(blobs) > short.score(blobs)
    one = GaussianMixtureEM(3, init_params="random", random_state=0).fit(blobs)
    five = GaussianMixtureEM(3, init_params="random", n_init=5, random_state=0).fit(blobs)
    assert five.lower_bound_ >= one.lower_bound_


def test_given_parameters_of_one_optimum_converge_at_once(covariance_type, groups):
    first = GaussianMixtureEM(
        2, covariance_type=covariance_type, tol=1e-10, init_params="kmeans"
    ).fit(groups)
    again = GaussianMixtureEM(
        2, covariance_type=covariance_type, weights_init=first.weights_,
        means_init=first.means_, precisions_init=first.precisions_,
    ).fit(groups)  # fmt: skip
    assert again.n_iter_ <= 2
    assert_allclose(again.means_, first.means_, rtol=1e-5)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_start_means_differ(init_params, blobs):
    mixture = GaussianMixtureEM(5, init_params=init_params, max_iter=0, random_state=0).fit(blobs)
    assert len(np.unique(mixture.means_, axis=0)) == 5
    assert (mixture.means_ > blobs.min(axis=0)).all()
    assert (mixture.means_ < blobs.max(axis=0)).all()


def test_one_component_ends_after_one_step(covariance_type):
    X = np.random.default_rng(0).normal(size=(50, 3))
    mixture = GaussianMixtureEM(covariance_type=covariance_type).fit(X)
    assert mixture.n_iter_ == 1
    assert mixture.converged_
