"""Chains that start in equilibrium: the distribution, the M-step, and the contract."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from emlearn.distributions import Gaussian, Poisson
from emlearn.engine import DegenerateModelError
from emlearn.latent import ChainParams, LabelModel, Observations, Probabilities, Sequences
from emlearn.latent.chain.law import ChainStatistics
from emlearn.latent.chain.stationary import StationaryChainLaw, stationary_distribution
from emlearn.latent.chain_candidates import ChainStarts
from emlearn.latent.starts import RandomStart
from emlearn.testing import check_latent_variable_model


def law(n, given=None, alpha=0.0):
    return StationaryChainLaw(
        n,
        Probabilities(None, np.zeros(n)),
        Probabilities(given, np.full((n, n), alpha)),
    )


def by_powers(transmat):
    limit = np.linalg.matrix_power(0.5 * (transmat + np.eye(len(transmat))), 2**12)[0]
    return limit / limit.sum()


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_distribution(n):
    rng = np.random.default_rng(n)
    transmat = rng.dirichlet(np.ones(n) * 0.5, n)
    found = stationary_distribution(transmat)
    assert_allclose(found, by_powers(transmat), rtol=1e-9)
    assert_allclose(found @ transmat, found, rtol=1e-12)


def test_periods_and_transient_states():
    assert_allclose(stationary_distribution(np.array([[0.0, 1.0], [1.0, 0.0]])), [0.5, 0.5])
    cycle = np.roll(np.eye(4), 1, axis=1)
    assert_allclose(stationary_distribution(cycle), np.full(4, 0.25))
    left_right = np.array([[0.5, 0.5, 0.0], [0.0, 0.9, 0.1], [0.0, 0.2, 0.8]])
    assert_allclose(stationary_distribution(left_right), [0.0, 2 / 3, 1 / 3])
    assert_allclose(stationary_distribution(np.array([[0.5, 0.5], [0.0, 1.0]])), [0.0, 1.0])
    assert stationary_distribution(np.eye(2)) is None
    two_ends = np.array([[1.0, 0.0, 0.0], [0.3, 0.4, 0.3], [0.0, 0.0, 1.0]])
    assert stationary_distribution(two_ends) is None


def test_no_cancellation():
    """Elimination without subtractions keeps all digits of rare states."""
    tiny = 1e-14
    found = stationary_distribution(np.array([[1.0 - tiny, tiny], [0.5, 0.5]]))
    assert_allclose(found, [1.0, 2.0 * tiny], rtol=1e-13)
    rare = stationary_distribution(np.array([[1.0, 1e-200], [1e-200, 1.0]]))
    assert_allclose(rare, [0.5, 0.5])


# ---- the M-step -----------------------------------------------------------------------------


def softmax(logits, mask):
    shifted = np.where(mask, logits, -np.inf)
    share = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def maximum(start, counts, mask):
    """The maximum of the expected objective over logits, by scipy."""
    n = len(start)

    def negative(theta):
        transmat = softmax(theta.reshape(n, n), mask)
        delta = by_solving(transmat)
        logs = np.log(np.where(mask, transmat, 1.0))
        return -(start @ np.log(delta) + (counts * logs).sum())

    runs = [
        minimize(negative, np.random.default_rng(seed).normal(size=n * n), tol=1e-12)
        for seed in range(4)
    ]
    return -min(run.fun for run in runs)


def by_solving(transmat):
    n = len(transmat)
    return np.linalg.solve((np.eye(n) - transmat + 1.0).T, np.ones(n))


@pytest.mark.parametrize("n_sequences", [1.0, 30.0, 300.0])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_maximum(n, n_sequences):
    """Also where the first rows weigh as much as all transitions."""
    rng = np.random.default_rng(n)
    start = n_sequences * rng.dirichlet(np.ones(n))
    counts = 100.0 * rng.dirichlet(np.ones(n), n)
    own = law(n)
    params = own.completed(ChainParams(start, rng.dirichlet(np.ones(n), n)))
    statistics = ChainStatistics(start, counts, counts.sum(axis=1))
    found = own.m_step(statistics, params)
    value = own.expected(statistics, found)
    assert value >= own.expected(statistics, params)
    assert_allclose(found.startprob, by_solving(found.transmat), rtol=1e-9)
    assert_allclose(value, maximum(start, counts, np.ones((n, n), bool)), rtol=1e-8)


def test_held_entries_and_zeros():
    rng = np.random.default_rng(0)
    given = np.array([[0.5, 0.5, 0.0], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4]])
    start = np.array([20.0, 1.0, 9.0])
    counts = np.where(given > 0.0, 40.0 * rng.dirichlet(np.ones(3), 3), 0.0)
    own = law(3, given)
    held = np.full((3, 3), np.nan)
    held[1, 0] = 0.25
    held[2] = given[2]
    params = own.impose(own.completed(ChainParams(start, given)), {"transmat": held})
    statistics = ChainStatistics(start, counts, counts.sum(axis=1))
    found = own.constrained_m_step(statistics, params, {"transmat": held})
    assert found.transmat[1, 0] == 0.25
    assert_allclose(found.transmat[2], given[2])
    assert found.transmat[0, 2] == 0.0
    assert_allclose(found.transmat.sum(axis=1), 1.0, rtol=1e-14)

    def value(p, q):
        transmat = np.array([[p, 1 - p, 0.0], [0.25, 0.75 * q, 0.75 * (1 - q)], given[2]])
        logs = np.log(np.where(transmat > 0, transmat, 1.0))
        return start @ np.log(by_solving(transmat)) + (counts * logs).sum()

    best = max(
        value(p, q) for p in np.linspace(0.01, 0.99, 99) for q in np.linspace(0.01, 0.99, 99)
    )
    reached = own.expected(statistics, found)
    assert best - 1e-9 <= reached <= best + 0.02


def test_score_is_centered():
    """As of a free chain: the expected transitions of a row are the sum of its A G."""
    rng = np.random.default_rng(1)
    own = law(3)
    params = own.completed(ChainParams(np.zeros(3), rng.dirichlet(np.ones(3), 3)))
    counts = 10.0 * rng.dirichlet(np.ones(3), 3)
    statistics = ChainStatistics(np.array([5.0, 1.0, 2.0]), counts, counts.sum(axis=1))
    gradient = own.score(statistics, params)["transmat"]
    assert_allclose((gradient * params.transmat).sum(axis=1), counts.sum(axis=1), rtol=1e-12)


def test_starts_are_in_equilibrium():
    X = np.random.default_rng(0).poisson(np.repeat([2.0, 9.0, 2.0], 20))[:, None].astype(float)
    model = LabelModel(law(2), Poisson(), ChainStarts())
    observed = Observations(X, None, Sequences.of_lengths(np.array([40, 20])))
    data = model.prepare(observed)
    starts = list(model.candidates(data, np.random.default_rng(0), 12))
    assert len(starts) > 8
    for start in starts:
        assert_allclose(start.law.startprob @ start.law.transmat, start.law.startprob, rtol=1e-12)
    changed = model.perturb(data, starts[0], np.random.default_rng(0))
    if changed is not None:
        assert_allclose(changed.law.startprob, by_powers(changed.law.transmat), rtol=1e-9)


def test_vectors_and_starts_without_equilibrium():
    own = law(2)
    params = own.completed(ChainParams(np.zeros(2), np.array([[0.9, 0.1], [0.4, 0.6]])))
    back, rest = own.from_vector(np.append(own.to_vector(params), 7.0), params)
    assert_allclose(back.transmat, params.transmat, rtol=1e-14)
    assert_allclose(back.startprob, [0.8, 0.2], rtol=1e-14)
    assert rest.tolist() == [7.0]
    assert (
        own.n_parameters()
        == len(own.space(params)["transmat"].directions(params.transmat, np.zeros((2, 2), bool)).T)
        == 2
    )
    with pytest.raises(DegenerateModelError, match="no unique stationary distribution"):
        own.from_vector(np.eye(2).ravel(), params)


@pytest.mark.parametrize("variant", ["plain", "many", "priors", "zeros"])
@pytest.mark.parametrize("family", [Poisson(), Gaussian("diag")], ids=["poisson", "gaussian"])
def test_contract(family, variant, draw_chains):
    rng = np.random.default_rng(0)
    lengths = [2] * 40 if variant == "many" else [30, 1, 12, 20]
    states = draw_chains(rng, lengths, [0.6, 0.4], np.array([[0.8, 0.2], [0.3, 0.7]]))
    X = rng.poisson(np.where(states, 9.0, 2.0))[:, None].astype(float)
    n = 3 if variant == "zeros" else 2
    given = np.array([[0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    own = law(n, given if n == 3 else None, 1.5 if variant == "priors" else 0.0)
    observed = Observations(X, None, Sequences.of_lengths(np.array(lengths)))
    model = LabelModel(own, family, RandomStart())
    check_latent_variable_model(
        model,
        observed,
        take=Observations.take,
        sample_weight=rng.uniform(0.5, 2.0, len(lengths)),
    )
