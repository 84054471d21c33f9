"""Hidden Markov models with entries of their parameters held."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import norm, poisson
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from emlearn import HiddenMarkovEM

NAN = np.nan


def chain_log_likelihood(startprob, transmat, densities, lengths):
    """By the forward recursion, one step at a time."""
    total, at = 0.0, 0
    for length in lengths:
        alpha = startprob * densities[at]
        for t in range(1, length):
            scale = alpha.sum()
            total += np.log(scale)
            alpha = alpha / scale @ transmat * densities[at + t]
        total += np.log(alpha.sum())
        at += length
    return total


def simulated(seed=0, n=300):
    rng = np.random.default_rng(seed)
    transmat = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
    states = [0]
    for _ in range(n - 1):
        states.append(rng.choice(3, p=transmat[states[-1]]))
    rates = np.array([1.0, 6.0, 15.0])
    return rng.poisson(rates[states])[:, None].astype(float), transmat, rates


X, TRANSMAT, RATES = simulated()
LENGTHS = [100, 120, 80]


def test_maximum_is_that_of_a_general_optimizer():
    fixed = {
        "transmat": [[NAN, 0.2, NAN], [0.1, NAN, NAN], [NAN, NAN, NAN]],
        "startprob": [0.5, NAN, NAN],
        "rate": [[NAN], [6.0], [NAN]],
    }
    fit = HiddenMarkovEM(3, family="poisson", fixed=fixed, tol=1e-13, random_state=0, max_iter=5000)
    from emlearn.distributions import Poisson

    fit.set_params(family=Poisson(alpha=0.0)).fit(X, lengths=LENGTHS)
    for name, held in fixed.items():
        value = getattr(fit, f"{name}_", fit.component_params_.get(name))
        held = np.array(held)
        assert np.array_equal(value[~np.isnan(held)], held[~np.isnan(held)])
    np.testing.assert_allclose(fit.transmat_.sum(axis=1), 1.0)
    assert fit._n_parameters() == 1 + (1 + 1 + 2) + 2

    def shares(v):
        return np.exp(v - logsumexp(v))

    def loss(v):
        start = np.array([0.5, *(0.5 * shares(np.append(v[0], 0.0)))])
        first, second = 0.8 * shares(np.append(v[1], 0)), 0.9 * shares(np.append(v[2], 0))
        transmat = np.array(
            [[first[0], 0.2, first[1]], [0.1, *second], shares(np.append(v[3:5], 0.0))]
        )
        rates = np.array([np.exp(v[5]), 6.0, np.exp(v[6])])
        return -chain_log_likelihood(start, transmat, poisson(rates).pmf(X), LENGTHS)

    def log_ratio(row):
        row = np.maximum(row, 1e-4)
        return np.log(row[:-1] / row[-1])

    p, a = fit.startprob_, fit.transmat_
    rates = np.log(fit.component_params_["rate"][[0, 2], 0])
    at = np.concatenate(
        [log_ratio(p[1:]), log_ratio(a[0, [0, 2]]), log_ratio(a[1, 1:]), log_ratio(a[2]), rates]
    )
    best = minimize(loss, at + 0.02, method="BFGS", options={"gtol": 1e-6})
    assert fit.log_likelihood_ == pytest.approx(-best.fun, abs=1e-4)
    assert fit.log_likelihood_ >= -best.fun - 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_states_take_the_places_of_what_is_held(seed):
    free = HiddenMarkovEM(3, family="poisson", random_state=0).fit(X)
    order = np.random.default_rng(seed).permutation(3)
    for fixed in (
        {"rate": RATES[order, None]},
        {"transmat": TRANSMAT[np.ix_(order, order)]},
        {"rate": np.where(np.arange(3) == 1, RATES[order], NAN)[:, None]},
    ):
        fit = HiddenMarkovEM(3, family="poisson", fixed=fixed, random_state=seed).fit(X)
        assert fit.log_likelihood_ > free.log_likelihood_ - 6.0


def test_left_right_model_finds_the_order_of_its_states():
    rng = np.random.default_rng(0)
    centers = np.array([3.0, -2.0, 0.5, 6.0])
    rows, lengths = [], []
    for _ in range(12):
        stays = rng.integers(4, 12, 4)
        rows.append(np.repeat(centers, stays) + 0.5 * rng.normal(size=stays.sum()))
        lengths.append(stays.sum())
    rows = np.concatenate(rows)[:, None]
    zeros = np.where(np.tri(4, 4, -1) + np.triu(np.ones((4, 4)), 2) > 0, 0.0, NAN)
    fixed = {"startprob": [1, 0, 0, 0], "transmat": zeros}
    for seed in range(4):
        fit = HiddenMarkovEM(4, fixed=fixed, random_state=seed).fit(rows, lengths=lengths)
        np.testing.assert_allclose(fit.means_[:, 0], centers, atol=0.3)
        assert (fit.transmat_[zeros == 0.0] == 0.0).all()
        assert fit.transmat_[3, 3] == 1.0
        assert fit._n_parameters() == 3 + 8


def test_zeros_of_starting_values_and_held_entries_agree_or_are_an_error():
    init = np.array([[0.5, 0.5, 0.0], [0.2, 0.4, 0.4], [0.0, 0.5, 0.5]])
    held = np.full((3, 3), NAN)
    held[0, 0] = 0.7
    fit = HiddenMarkovEM(
        3, family="poisson", transmat_init=init, fixed={"transmat": held}, random_state=0
    ).fit(X)
    assert fit.transmat_[0].tolist() == [0.7, pytest.approx(0.3), 0.0]
    assert fit.transmat_[2, 0] == 0.0
    assert fit._n_parameters() == 2 + (0 + 2 + 1) + 3
    held[0, 2] = 0.1
    with pytest.raises(ValueError, match=r"fixed\['transmat'\] is positive at \[0, 2\]"):
        clone(fit).set_params(fixed={"transmat": held}).fit(X)
    held[0, 2] = 0.0
    clone(fit).set_params(fixed={"transmat": held}).fit(X)


def test_zeros_held_are_zeros_of_starting_values():
    zero = np.full((3, 3), NAN)
    zero[0, 2] = zero[2, 0] = 0.0
    init = np.array([[0.5, 0.5, 0.0], [0.3, 0.4, 0.3], [0.0, 0.5, 0.5]])
    one = HiddenMarkovEM(
        3, family="poisson", fixed={"transmat": zero}, tol=1e-12, random_state=0
    ).fit(X)
    two = HiddenMarkovEM(
        3, family="poisson", transmat_init=init, tol=1e-12, random_state=0, n_init=3
    ).fit(X)
    assert one.log_likelihood_ == pytest.approx(two.log_likelihood_, abs=1e-5)
    assert one.bic(X) == pytest.approx(two.bic(X), abs=1e-4)


def test_pseudo_counts_of_free_entries():
    held = np.full((3, 3), NAN)
    held[0, 1] = 0.3
    fit = HiddenMarkovEM(
        3,
        family="poisson",
        transmat_alpha=4.0,
        fixed={"transmat": held},
        tol=1e-13,
        random_state=0,
    ).fit(X)
    model, data, params, *_ = fit._fitted_problem(X, None, None, None)
    from emlearn.engine import BlockMapper

    with BlockMapper(model, data) as e_step:
        statistics, _ = e_step(params)
    counts = statistics.law.transition[0, [0, 2]] + 4.0
    np.testing.assert_allclose(fit.transmat_[0, [0, 2]], 0.7 * counts / counts.sum(), rtol=1e-5)


def test_known_states_keep_their_numbers():
    y = np.full(len(X), -1)
    y[:3], y[X[:, 0] > 18] = 2, 0
    fixed = {"rate": [[NAN], [5.5], [NAN]]}
    fit = HiddenMarkovEM(3, family="poisson", use_labels=True, fixed=fixed, random_state=0)
    rates = fit.fit(X, y).component_params_["rate"][:, 0]
    assert rates[0] > rates[1] == 5.5 > rates[2]


@given(st.integers(0, 10_000), st.floats(0.0, 0.7))
@settings(max_examples=12, deadline=None)
def test_any_entries_are_held(seed, share):
    rng = np.random.default_rng(seed)

    def some(values):
        return np.where(rng.random(values.shape) < share, values, NAN)

    fixed = {
        "startprob": some(rng.dirichlet(np.ones(3))),
        "transmat": some(rng.dirichlet(np.ones(3), 3)),
        "means": some(RATES[:, None] + rng.normal(size=(3, 1))),
    }
    fit = HiddenMarkovEM(
        3, init_params="rows", fixed=fixed, random_state=0, accelerate=None, max_iter=100
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(X)
    for name, held in fixed.items():
        known = ~np.isnan(held)
        assert np.array_equal(getattr(fit, name + "_")[known], held[known])
    # The published parameters are those of the objective, by another recursion.
    deviations = np.sqrt(fit.covariances_[:, 0, 0])
    own = norm(fit.means_[:, 0], deviations).pdf(X)
    value = chain_log_likelihood(fit.startprob_, fit.transmat_, own, [len(X)])
    assert fit.log_likelihood_ == pytest.approx(value, abs=1e-6)
    assert fit.restarts_[0].status != "stalled"


@pytest.mark.parametrize("accelerate", ["squarem", "quasi-newton", "anderson"])
def test_accelerated_fits_have_the_same_optimum(accelerate):
    fixed = {"transmat": TRANSMAT * [[1, NAN, NAN], [NAN, NAN, NAN], [NAN, 1, NAN]]}
    start = {"init_params": "rows", "random_state": 1, "tol": 1e-12, "max_iter": 5000}
    plain = HiddenMarkovEM(3, family="poisson", fixed=fixed, accelerate=None, **start).fit(X)
    fast = HiddenMarkovEM(3, family="poisson", fixed=fixed, accelerate=accelerate, **start).fit(X)
    assert fast.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-6)


def test_nothing_held_and_all_held():
    plain = HiddenMarkovEM(3, family="poisson", random_state=0).fit(X)
    same = HiddenMarkovEM(3, family="poisson", fixed={"startprob": [NAN] * 3}, random_state=0)
    assert np.array_equal(same.fit(X).transmat_, plain.transmat_)
    fixed = {
        "startprob": plain.startprob_,
        "transmat": plain.transmat_,
        **plain.component_params_,
    }
    fit = HiddenMarkovEM(3, family="poisson", fixed=fixed, random_state=5).fit(X)
    assert np.array_equal(fit.transmat_, plain.transmat_)
    assert fit.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-12)
    assert fit._n_parameters() == 0
    fixed["rate"] = np.full((3, 1), NAN)
    again = HiddenMarkovEM(3, family="poisson", fixed=fixed, tol=1e-12, random_state=5).fit(X)
    np.testing.assert_allclose(
        again.component_params_["rate"], plain.component_params_["rate"], rtol=1e-3
    )
