"""Accelerated fits of Gaussian mixtures: the optima of EM, never a lower objective."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.engine import ACCELERATORS

NAMES = sorted(ACCELERATORS)


def fit(X, accelerate, **settings):
    settings = {"n_components": 3, "init_params": "kmeans", "random_state": 0, **settings}
    return GaussianMixtureEM(accelerate=accelerate, **settings).fit(X)


@pytest.fixture(scope="module")
def faithful():
    return load_old_faithful().data


@pytest.mark.parametrize("name", NAMES)
def test_same_optimum_as_plain_em(faithful, covariance_type, name):
    settings = {"covariance_type": covariance_type, "n_components": 2, "tol": 1e-12}
    plain, fast = (fit(faithful, a, max_iter=5000, **settings) for a in (None, name))
    assert fast.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-6)
    np.testing.assert_allclose(fast.means_, plain.means_, rtol=1e-3)


def test_old_faithful_needs_few_e_steps(faithful):
    plain, fast = fit(faithful, None), fit(faithful, "auto")
    assert plain.history_["e_steps"][-1] > 200
    assert fast.history_["e_steps"][-1] <= 0.5 * plain.history_["e_steps"][-1]
    assert fast.log_likelihood_ >= plain.log_likelihood_ - 1e-3


@pytest.mark.parametrize("name", [None, *NAMES])
def test_default_tolerance_is_honest(faithful, name):
    """The remaining gain at the default tolerance is below a thousandth of a nat."""
    X = faithful
    mixture = fit(X, name)
    again = GaussianMixtureEM(
        3,
        weights_init=mixture.weights_,
        means_init=mixture.means_,
        precisions_init=mixture.precisions_,
        accelerate=None,
        tol=0.0,
        max_iter=20_000,
    ).fit(X)
    assert mixture.converged_
    assert again.lower_bound_ * len(X) - mixture.lower_bound_ * len(X) < 1e-3


def test_history_says_what_the_accelerator_did(faithful):
    history = fit(faithful, "squarem").history_
    assert set(history["step"]) <= {"start", "em", "accepted", "rejected", "kept"}
    assert "accepted" in history["step"]
    assert np.isnan(history["step_norm"][0])
    assert (history["step_norm"][1:] >= 0.0).all()
    # A proposal that is not accepted at once costs a second E-step.
    spent = np.diff(history["e_steps"])
    assert (spent[history["step"][1:] == "em"] == 1).all()


@pytest.mark.parametrize("name", NAMES)
@given(
    n_rows=st.integers(8, 60),
    n_features=st.integers(1, 4),
    n_components=st.integers(1, 4),
    covariance_type=st.sampled_from(["full", "tied", "diag", "spherical", "EEV"]),
    seed=st.integers(0, 2**32 - 1),
    start=st.sampled_from(["kmeans", "k-means++", "random", "one component twice"]),
    copies=st.booleans(),
)
def test_objective_never_decreases(
    name, n_rows, n_features, n_components, covariance_type, seed, start, copies
):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_features)) * rng.gamma(1.0, 1.0, (n_rows, 1))
    if copies:
        X[: n_rows // 2] = X[0]
    settings = {"init_params": start}
    if start == "one component twice":
        settings = {"means_init": np.zeros((n_components, n_features))}
    mixture = GaussianMixtureEM(
        n_components,
        covariance_type=covariance_type,
        accelerate=name,
        tol=0.0,
        max_iter=100,
        random_state=0,
        **settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(X)
    assert (np.diff(mixture.history_["objective"]) >= 0.0).all()
    assert mixture.restarts_[0].status != "failed"


def test_invalid_name():
    with pytest.raises(ValueError, match="accelerate"):
        GaussianMixtureEM(accelerate="fast").fit(np.arange(6.0).reshape(3, 2))
