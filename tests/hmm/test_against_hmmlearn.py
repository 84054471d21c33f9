"""The same path and results as hmmlearn from the same start, where the models agree."""

import logging

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import HiddenMarkovEM
from emlearn.distributions import Categorical, Gaussian, Mixture, Poisson

hmm = pytest.importorskip("hmmlearn.hmm")
N_ITER = 8
AS_OURS = {"init_params": "", "n_iter": N_ITER + 1, "tol": -np.inf}


@pytest.fixture(autouse=True)
def silent():
    """hmmlearn logs that it did not converge."""
    logging.getLogger("hmmlearn").setLevel(logging.CRITICAL)


def start_from(states, n_states=3):
    rng = np.random.default_rng(0)
    guess = np.where(
        rng.random(len(states)) < 0.7, states, rng.integers(n_states, size=len(states))
    )
    return np.eye(n_states)[guess]


def ours(family, start, **settings):
    return HiddenMarkovEM(
        start.shape[1],
        family=family,
        init_params=start,
        accelerate=None,
        tol=0.0,
        max_iter=N_ITER,
        **settings,
    )


def prepare(theirs, n_states=3):
    theirs.startprob_ = np.full(n_states, 1.0 / n_states)
    theirs.transmat_ = 0.5 * np.eye(n_states) + 0.5 / n_states
    return theirs


def compare(model, theirs, X, lengths):
    """Their history holds the E-steps, and they end with one more M-step."""
    assert_allclose(theirs.monitor_.history, model.history_["objective"], rtol=1e-11)
    theirs.startprob_, theirs.transmat_ = model.startprob_, model.transmat_
    assert_allclose(theirs.score(X, lengths), model.log_likelihood_, rtol=1e-12)
    assert_allclose(theirs.predict_proba(X, lengths), model.predict_proba(X, lengths), atol=1e-10)
    for algorithm in ("viterbi", "map"):
        _, states = theirs.decode(X, lengths, algorithm=algorithm)
        _, own_states = model.decode(X, lengths, algorithm=algorithm)
        assert_array_equal(own_states, states)
    assert_allclose(theirs.decode(X, lengths)[0], model.decode(X, lengths)[0], rtol=1e-12)


COVARIANCE = {
    "full": lambda c: c,
    "diag": lambda c: np.stack([np.diag(own) for own in c]),
    "spherical": lambda c: np.array([np.trace(own) / len(own) for own in c]),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("implementation", ["log", "scaling"])
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_gaussian(covariance_type, implementation, gaussian_chains):
    X, lengths, states = gaussian_chains
    start = start_from(states)
    theirs = prepare(
        hmm.GaussianHMM(
            3,
            covariance_type,
            covars_prior=0.0,
            covars_weight=0.0,
            implementation=implementation,
            **AS_OURS,
        )
    )
    theirs.means_ = start.T @ X / start.sum(axis=0)[:, None]
    scatter = np.stack([np.cov(X.T, aweights=start[:, k], bias=True) for k in range(3)])
    theirs.covars_ = COVARIANCE[covariance_type](scatter)
    theirs.fit(X, lengths)
    model = ours(Gaussian(covariance_type, reg_covar=0.0), start).fit(X, lengths=lengths)
    theirs.means_, theirs.covars_ = model.means_, model.covariances_
    compare(model, theirs, X, lengths)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_poisson_and_priors_of_the_chain():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 30, size=20)
    states = np.repeat(rng.integers(3, size=lengths.sum() // 4 + 1), 4)[: lengths.sum()]
    X = rng.poisson(np.array([[1.0, 9.0], [5.0, 2.0], [12.0, 6.0]])[states])
    start = start_from(states)
    theirs = prepare(hmm.PoissonHMM(3, startprob_prior=1.5, transmat_prior=2.5, **AS_OURS))
    theirs.lambdas_ = start.T @ X / start.sum(axis=0)[:, None]
    theirs.lambdas_prior, theirs.lambdas_weight = 0.0, 0.0
    theirs.fit(X, lengths)
    model = ours(Poisson(alpha=0.0), start, startprob_alpha=0.5, transmat_alpha=1.5)
    model.fit(X, lengths=lengths)
    prior = model.history_["objective"][-1] - model.log_likelihood_
    expected = 0.5 * np.log(model.startprob_).sum() + 1.5 * np.log(model.transmat_).sum()
    assert_allclose(prior, expected)
    theirs.lambdas_ = model.component_params_["rate"]
    theirs.startprob_, theirs.transmat_ = model.startprob_, model.transmat_
    assert_allclose(theirs.monitor_.history[-1], model.log_likelihood_, rtol=1e-11)
    assert_allclose(theirs.score(X, lengths), model.log_likelihood_, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_categorical():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 30, size=25)
    states = np.repeat(rng.integers(3, size=lengths.sum() // 4 + 1), 4)[: lengths.sum()]
    levels = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1], [0.05, 0.05, 0.1, 0.8]])
    X = np.array([rng.choice(4, p=levels[state]) for state in states])[:, None]
    start = start_from(states)
    theirs = prepare(hmm.CategoricalHMM(3, **AS_OURS))
    theirs.emissionprob_ = start.T @ np.eye(4)[X[:, 0]] / start.sum(axis=0)[:, None]
    theirs.n_features = 4
    theirs.fit(X, lengths)
    model = ours(Categorical(alpha=0.0), start).fit(X, lengths=lengths)
    theirs.emissionprob_ = model.component_params_["probability"][:, 0, :]
    compare(model, theirs, X, lengths)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_mixtures_of_gaussians(gaussian_chains):
    X, lengths, _ = gaussian_chains
    model = HiddenMarkovEM(2, family=Mixture(Gaussian("diag"), 2), max_iter=5, random_state=0)
    model.fit(X, lengths=lengths)
    theirs = hmm.GMMHMM(2, n_mix=2, covariance_type="diag")
    theirs.n_features = 2
    theirs.startprob_, theirs.transmat_ = model.startprob_, model.transmat_
    theirs.weights_ = model.component_params_["weight"]
    theirs.means_ = model.component_params_["mean"]
    theirs.covars_ = model.component_params_["covariance"]
    assert_allclose(theirs.score(X, lengths), model.log_likelihood_, rtol=1e-12)
    assert_allclose(theirs.predict_proba(X, lengths), model.predict_proba(X, lengths), atol=1e-10)
