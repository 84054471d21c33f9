"""Methods of a fitted model: paths, probabilities, samples."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import HiddenMarkovEM
from emlearn.distributions import Gaussian, Mixture, Poisson


@pytest.fixture(scope="module")
def fitted(gaussian_chains):
    X, lengths, _ = gaussian_chains
    return HiddenMarkovEM(3, random_state=0).fit(X, lengths=lengths)


def log_densities(model, X):
    from scipy.stats import multivariate_normal

    parameters = zip(model.means_, model.covariances_, strict=True)
    return np.stack([multivariate_normal.logpdf(X, m, c) for m, c in parameters])


def test_against_enumeration(fitted, gaussian_chains, enumerate_paths, recursions):
    X = gaussian_chains[0][50:57]
    lengths = [6, 1]
    joint = log_densities(fitted, X)
    probabilities = fitted.predict_proba(X, lengths)
    scores = fitted.score_samples(X, lengths)
    best = 0.0
    for rows, score in zip((slice(0, 6), slice(6, 7)), scores, strict=True):
        expected = enumerate_paths(joint[:, rows], fitted.startprob_, fitted.transmat_)
        assert_allclose(probabilities[rows].T, expected.smoothed, atol=1e-10)
        assert_allclose(score, expected.log_likelihood, rtol=1e-11)
        best += expected.best_score
    value, path = fitted.decode(X, lengths)
    assert_allclose(value, best, rtol=1e-11)
    assert_array_equal(path, fitted.predict(X, lengths))
    assert fitted.score(X, lengths=lengths) == pytest.approx(scores.sum() / 7)


def test_decoding_by_rows(fitted, gaussian_chains):
    X, lengths, _ = gaussian_chains
    value, states = fitted.decode(X, lengths, algorithm="map")
    assert_array_equal(states, fitted.predict_proba(X, lengths).argmax(axis=1))
    begins = np.cumsum(lengths) - lengths
    inner = np.setdiff1d(np.arange(len(X)), begins)
    expected = log_densities(fitted, X)[states, np.arange(len(X))].sum()
    expected += np.log(fitted.startprob_[states[begins]]).sum()
    expected += np.log(fitted.transmat_[states[inner - 1], states[inner]]).sum()
    assert_allclose(value, expected, rtol=1e-11)
    assert value <= fitted.decode(X, lengths)[0]
    with pytest.raises(ValueError, match=r"algorithm must be one of \['map', 'viterbi'\]"):
        fitted.decode(X, lengths, algorithm="best")


def test_fit_predict(gaussian_chains):
    X, lengths, _ = gaussian_chains
    model = HiddenMarkovEM(2, init_params="rows", random_state=0)
    states = model.fit_predict(X, lengths=lengths)
    assert_array_equal(states, model.predict(X, lengths))


def test_samples_follow_the_model(fitted):
    X, states = fitted.sample(lengths=[30] * 1000)
    assert X.shape == (30_000, 2)
    paths = states.reshape(1000, 30)
    assert_allclose(np.bincount(paths[:, 0], minlength=3) / 1000, fitted.startprob_, atol=0.05)
    moves = np.zeros((3, 3))
    np.add.at(moves, (paths[:, :-1].ravel(), paths[:, 1:].ravel()), 1.0)
    assert_allclose(moves / moves.sum(axis=1, keepdims=True), fitted.transmat_, atol=0.02)
    for k in range(3):
        assert_allclose(X[states == k].mean(axis=0), fitted.means_[k], atol=0.05)
        assert_allclose(np.cov(X[states == k].T), fitted.covariances_[k], atol=0.1)
    again, _ = fitted.sample(lengths=[30] * 1000)
    assert_array_equal(X, again)
    one, path = fitted.sample(50)
    assert one.shape == (50, 2)
    assert path.shape == (50,)
    for wrong in (0, 1.5, "many"):
        with pytest.raises(ValueError, match="n_samples"):
            fitted.sample(wrong)


def test_counts_that_were_never_seen_have_a_density():
    X = np.repeat([[1.0], [9.0]], 20, axis=0)
    model = HiddenMarkovEM(2, family=Poisson(), random_state=0).fit(X)
    assert np.isfinite(model.score(np.array([[0.0], [60.0], [3.0]])))
    assert np.isfinite(model.predict_proba(np.array([[0.0], [1000.0]]))).all()


def test_probabilities_of_rows_far_out_add_up():
    """Beside densities of 1e292 nats, the transitions are lost in rounding."""
    rng = np.random.default_rng(5)
    X = np.r_[rng.normal(0.0, 1.0, (100, 2)), rng.normal(4.0, 1.0, (100, 2))]
    for family in (Gaussian(), Mixture(Gaussian(), 2)):
        model = HiddenMarkovEM(2, family=family, random_state=0).fit(X)
        found = model.predict_proba([[1e160, 0.0], [0.0, 1e300], [-1e300, 1e300]])
        np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
