"""MixtureOfHiddenMarkovEM: sums over clusters, recovery, bad input."""

import inspect
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score

from emlearn import HiddenMarkovEM, MixtureOfHiddenMarkovEM


def draw(n_sequences=40, length=25, gap=3.0, shift=0.0, seed=0):
    """Sequences of two clusters: one alternates, one stays; `shift` moves the second's rows."""
    rng = np.random.default_rng(seed)
    stay = np.array([0.1, 0.9])
    clusters = rng.integers(0, 2, n_sequences)
    sequences = []
    for cluster in clusters:
        states = [int(rng.integers(2))]
        while len(states) < length:
            same = rng.random() < stay[cluster]
            states.append(states[-1] if same else 1 - states[-1])
        rows = gap * np.array(states) + shift * cluster + rng.normal(size=length)
        sequences.append(rows[:, None])
    return sequences, clusters


@pytest.fixture(scope="module")
def fitted():
    X, clusters = draw()
    return MixtureOfHiddenMarkovEM(2, 2, random_state=0).fit(X), X, clusters


def test_clusters_that_differ_only_in_dynamics_are_found(fitted):
    model, X, clusters = fitted
    assert model.converged_
    assert adjusted_rand_score(clusters, model.predict(X)) > 0.9
    staying = np.sort(np.array([np.diagonal(block).mean() for block in model.transmat_]))
    assert_allclose(staying, [0.1, 0.9], atol=0.1)
    assert_allclose(model.weights_.sum(), 1.0)
    assert model.weights_[0] >= model.weights_[1]
    assert_allclose(model.transmat_.sum(axis=2), 1.0)
    assert_allclose(model.startprob_.sum(axis=1), 1.0)


def test_clusters_that_differ_in_rows_are_found():
    X, clusters = draw(shift=8.0, seed=1)
    model = MixtureOfHiddenMarkovEM(2, 2, random_state=0).fit(X)
    assert adjusted_rand_score(clusters, model.predict(X)) == 1.0


def test_likelihood_is_the_sum_over_clusters(fitted):
    model, X, _ = fitted
    parts = []
    for c in range(2):
        chain = HiddenMarkovEM(2, max_iter=0, random_state=0).fit(np.vstack(X))
        chain.startprob_, chain.transmat_ = model.startprob_[c], model.transmat_[c]
        chain.component_params_ = {
            name: value[c] for name, value in model.component_params_.items()
        }
        parts.append(np.log(model.weights_[c]) + chain.score_samples(X))
    joint = np.array(parts)
    assert_allclose(model.score_samples(X), logsumexp(joint, axis=0), rtol=1e-9)
    assert_allclose(model.score_samples(X).sum(), model.log_likelihood_, rtol=1e-9)
    expected = np.exp(joint - logsumexp(joint, axis=0)).T
    assert_allclose(model.predict_proba(X), expected, atol=1e-8)
    rows = sum(map(len, X))
    assert_allclose(model.score(X) * rows, model.log_likelihood_, rtol=1e-9)
    assert model.predict_states(X).shape == (rows,)
    assert set(model.predict_states(X)) == {0, 1}


def test_weights_are_copies():
    X, _ = draw(8, 20, seed=3)
    weight = np.array([2.0] + [1.0] * 6 + [0.0])
    settings = {"random_state": 0, "tol": 1e-8}
    weighted = MixtureOfHiddenMarkovEM(2, 2, **settings).fit(X, sample_weight=weight)
    copies = MixtureOfHiddenMarkovEM(2, 2, **settings).fit([X[0], *X[:7]])
    assert_allclose(weighted.log_likelihood_, copies.log_likelihood_, atol=1e-3)


def test_same_results_and_conventions(fitted):
    model, X, _ = fitted
    again = MixtureOfHiddenMarkovEM(2, 2, random_state=0).fit(
        np.vstack(X), lengths=[len(rows) for rows in X]
    )
    assert_array_equal(again.transmat_, model.transmat_)
    restored = pickle.loads(pickle.dumps(model))
    assert_array_equal(restored.predict_proba(X), model.predict_proba(X))
    parameters = inspect.signature(MixtureOfHiddenMarkovEM).parameters
    assert set(MixtureOfHiddenMarkovEM._parameter_constraints) == set(parameters)
    for name in parameters:
        assert f"    {name} : " in MixtureOfHiddenMarkovEM.__doc__
    counts = [np.round(np.abs(rows)) for rows in X]
    poisson = MixtureOfHiddenMarkovEM(2, 2, family="poisson", random_state=0).fit(counts)
    assert poisson.component_params_["rate"].shape == (2, 2, 1)
    bics = [MixtureOfHiddenMarkovEM(c, 2, random_state=0).fit(X).bic(X) for c in (1, 2)]
    assert bics[1] < bics[0]


def test_bad_input():
    X, _ = draw(3, 10)
    with pytest.raises(ValueError, match="n_clusters=4 is more than the number of sequences"):
        MixtureOfHiddenMarkovEM(4).fit(X)
    with pytest.raises(ValueError, match="n_clusters=2 is more than the number of sequences"):
        MixtureOfHiddenMarkovEM(2).fit(np.vstack(X))
    with pytest.raises(ValueError, match="n_clusters"):
        MixtureOfHiddenMarkovEM(0).fit(X)
