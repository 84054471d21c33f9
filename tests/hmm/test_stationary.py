"""Chains in equilibrium: published values, direct maximization, enumeration."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import minimize

from emlearn import HiddenMarkovEM
from emlearn.distributions import Poisson
from emlearn.latent.chain.stationary import stationary_distribution

SETTINGS = {
    "family": Poisson(alpha=0.0),
    "stationary_start": True,
    "tol": 1e-12,
    "random_state": 0,
}

# Zucchini, MacDonald and Langrock (2016), models fitted with stationary=TRUE by the code of the
# book: minus log-likelihood, AIC and BIC, and the stationary distributions.
PUBLISHED = {
    2: (342.3183, 692.6365, 703.3278, None),
    3: (329.4603, 676.9206, 700.976, [0.4436420, 0.4044983, 0.1518597]),
}


@pytest.fixture(scope="module")
def earthquakes(reference):
    return np.array(reference("earthquakes")["counts"], float)[:, None]


@pytest.mark.parametrize("accelerate", [None, "auto", "squarem", "anderson"])
@pytest.mark.parametrize("n_components", PUBLISHED)
def test_published(earthquakes, n_components, accelerate, recursions):
    value, aic, bic, stationary = PUBLISHED[n_components]
    fit = HiddenMarkovEM(n_components, accelerate=accelerate, **SETTINGS).fit(earthquakes)
    assert fit.converged_
    assert_allclose(-fit.log_likelihood_, value, atol=5e-5)
    assert_allclose([fit.aic(earthquakes), fit.bic(earthquakes)], [aic, bic], atol=5e-4)
    assert fit._n_parameters() == n_components**2
    assert_allclose(fit.startprob_ @ fit.transmat_, fit.startprob_, rtol=1e-12)
    assert np.diff(fit.history_["objective"]).min() > -1e-9
    if stationary is not None:
        order = fit.component_params_["rate"][:, 0].argsort()
        assert_allclose(fit.startprob_[order], stationary, atol=1e-5)


def minus_log_likelihood(theta, X, lengths):
    """By scaled forward recursion, of logits and log rates of two states."""
    p, q = 1.0 / (1.0 + np.exp(-theta[:2]))
    transmat = np.array([[1 - p, p], [q, 1 - q]])
    density = stats.poisson(np.exp(theta[2:])).pmf(X)
    total, first = 0.0, 0
    for length in lengths:
        state = np.array([q, p]) / (p + q)
        for row in density[first : first + length]:
            state = state * row
            total -= np.log(state.sum())
            state = state / state.sum() @ transmat
        first += length
    return total


def test_many_short_sequences(draw_chains):
    """The first rows say as much of the transitions as the others do."""
    rng = np.random.default_rng(0)
    transmat = np.array([[0.9, 0.1], [0.3, 0.7]])
    lengths = rng.integers(1, 4, size=150)
    states = draw_chains(rng, lengths, [0.75, 0.25], transmat)
    X = rng.poisson(np.where(states, 9.0, 2.0))[:, None].astype(float)
    fit = HiddenMarkovEM(2, **SETTINGS).fit(X, lengths=lengths)
    start = np.array([-2.0, -1.0, np.log(2.0), np.log(9.0)])
    best = minimize(minus_log_likelihood, start, (X, lengths), tol=1e-12)
    assert_allclose(-fit.log_likelihood_, best.fun, atol=1e-6)
    order = fit.component_params_["rate"][:, 0].argsort()
    p, q = 1.0 / (1.0 + np.exp(-best.x[:2]))
    assert_allclose(fit.transmat_[order][[0, 1], order[::-1]], [p, q], rtol=1e-3)
    free = HiddenMarkovEM(2, **{**SETTINGS, "stationary_start": False}).fit(X, lengths=lengths)
    assert free.log_likelihood_ >= fit.log_likelihood_
    # Standard errors are those of the curvature of this function.
    errors = fit.inference(X, lengths=lengths).standard_errors["transmat"]
    curvature = np.linalg.inv(hessian(minus_log_likelihood, best.x, X, lengths))
    expected = np.sqrt(np.diag(curvature)[:2]) * [p * (1 - p), q * (1 - q)]
    assert_allclose(errors[order][[0, 1], order[::-1]], expected, rtol=5e-3)


def hessian(function, at, *arguments, step=1e-3):
    n = len(at)
    found = np.empty((n, n))
    moves = step * np.eye(n)
    for i in range(n):
        for j in range(n):
            signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
            values = [
                a * b * function(at + a * moves[i] + b * moves[j], *arguments) for a, b in signs
            ]
            found[i, j] = sum(values) / (4 * step**2)
    return found


def test_likelihood_by_enumeration(earthquakes, enumerate_paths):
    fit = HiddenMarkovEM(2, **SETTINGS).fit(earthquakes[:9])
    rates = fit.component_params_["rate"]
    joint = stats.poisson(rates).logpmf(earthquakes[:9].T)
    startprob = stationary_distribution(fit.transmat_)
    expected = enumerate_paths(joint, startprob, fit.transmat_)
    assert_allclose(fit.log_likelihood_, expected.log_likelihood, rtol=1e-10)


def test_held_transitions(earthquakes):
    held = np.full((3, 3), np.nan)
    held[0, 2] = held[2, 0] = 0.0
    held[1, 1] = 0.9
    fit = HiddenMarkovEM(3, fixed={"transmat": held}, **SETTINGS).fit(earthquakes)
    assert fit.transmat_[0, 2] == fit.transmat_[2, 0] == 0.0
    assert fit.transmat_[1, 1] == 0.9
    assert fit._n_parameters() == 3 + 3
    zeros = np.where(held == 0.0, 0.0, 1.0)
    init = zeros / zeros.sum(axis=1, keepdims=True)
    held[[0, 2], [2, 0]] = np.nan
    same = HiddenMarkovEM(3, transmat_init=init, fixed={"transmat": held}, **SETTINGS)
    assert_allclose(same.fit(earthquakes).log_likelihood_, fit.log_likelihood_, atol=1e-6)
    # Not lower than any neighbor that keeps what is held.
    rates, n = fit.component_params_["rate"], len(earthquakes)
    model = HiddenMarkovEM.from_parameters(
        fit.startprob_, fit.transmat_, {"rate": rates}, family="poisson"
    )
    for move in (
        [1e-3, 0, 0],
        [-1e-3, 0, 0],
        [0, 1e-3, 0],
        [0, -1e-3, 0],
        [0, 0, 1e-3],
        [0, 0, -1e-3],
    ):
        change = [
            [move[0], -move[0], 0.0],
            [move[1], 0.0, -move[1]],
            [0.0, move[2], -move[2]],
        ]
        near = fit.transmat_ + np.array(change)
        if (near < 0.0).any():
            continue
        model.transmat_, model.startprob_ = near, stationary_distribution(near)
        assert model.score(earthquakes) * n <= fit.log_likelihood_ + 1e-9


def test_known_states_weights_and_warm_start(earthquakes):
    y = np.where(earthquakes[:, 0] > 30, 1, np.where(earthquakes[:, 0] < 10, 0, -1))
    parts = [earthquakes[:50], earthquakes[50:]]
    labels = [y[:50], y[50:]]
    fit = HiddenMarkovEM(2, use_labels=True, **SETTINGS).fit(parts, labels)
    assert fit.component_params_["rate"][0, 0] < fit.component_params_["rate"][1, 0]
    copies = HiddenMarkovEM(2, use_labels=True, **SETTINGS).fit(
        [*parts, parts[1]], [*labels, labels[1]]
    )
    weighted = HiddenMarkovEM(2, use_labels=True, **SETTINGS)
    weighted.fit(parts, labels, sample_weight=[1.0, 2.0])
    assert_allclose(weighted.transmat_, copies.transmat_, rtol=1e-5)
    again = fit.set_params(warm_start=True).fit(parts, labels)
    assert again.n_iter_ <= 3
    assert_allclose(again.startprob_ @ again.transmat_, again.startprob_, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"startprob_init": [0.5, 0.5]}, "startprob_init must be None"),
        ({"startprob_alpha": 1.0}, "startprob_alpha 0"),
        ({"fixed": {"startprob": [1.0, 0.0]}}, "fixed cannot hold 'startprob'"),
        ({"transmat_init": np.eye(2)}, "transmat_init has several sets of states that are never"),
        ({"stationary_start": "yes"}, "'stationary_start' parameter"),
    ],
)
def test_refused(earthquakes, settings, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovEM(2, **{**SETTINGS, **settings}).fit(earthquakes)


def test_absorbing_state(earthquakes):
    """A left-right chain in equilibrium is in its last state."""
    init = [[0.5, 0.5], [0.0, 1.0]]
    fit = HiddenMarkovEM(2, transmat_init=init, init_params="rows", **SETTINGS)
    with pytest.warns(UserWarning, match="not visited"):
        fit.fit(earthquakes)
    assert_allclose(fit.startprob_, [0.0, 1.0])
    assert_allclose(fit.component_params_["rate"][1], earthquakes.mean(), rtol=1e-9)
