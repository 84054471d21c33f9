"""The model: contract, direct maximization, order, interactions, priors."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from emlearn import FiniteMixtureEM, RecordLinkageEM
from emlearn.distributions import Categorical
from emlearn.engine import FixedParameters
from emlearn.latent import Observations
from emlearn.linkage._log_linear import LogLinear, fit_margins
from emlearn.linkage._model import LinkageModel, MatchLaw, MatchStart
from emlearn.linkage._ordered import ordered_pair
from emlearn.linkage._pair_table import PairTable
from emlearn.linkage._structure import Structure
from emlearn.testing import check_family, check_latent_variable_model

LEVELS = (3, 2, 4)


def model_of(interactions=(), alpha=0.3, ordered=False, pseudo=(0.0, 0.0)):
    family = Structure(LEVELS, interactions).family(alpha, ordered)
    return LinkageModel(MatchLaw(2, pseudo=pseudo), family, MatchStart(LEVELS))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pseudo": (5.0, 2.0)},
        {"interactions": ((0, 1),)},
        {"interactions": ((0, 1), (1, 2), (0, 2)), "pseudo": (1.0, 0.0)},
        {"alpha": 0.0},
    ],
    ids=["independent", "beta prior", "one interaction", "all interactions", "no prior"],
)
def test_contract(sample, settings):
    check_latent_variable_model(
        model_of(**settings),
        Observations(sample[0][:400]),
        sample_weight=np.ones(400),
        take=Observations.take,
    )


@pytest.mark.parametrize(
    "family",
    [LogLinear((3, 2, 2), ((0, 1), (1, 2)), 0.5), PairTable((3, 2), ((0, 1),), 0.5)],
    ids=lambda own: type(own).__name__,
)
def test_family_of_interactions(family):
    rng = np.random.default_rng(0)
    X = np.stack([rng.integers(n, size=200) for n in family.n_levels], axis=1).astype(float)
    X[rng.random(X.shape) < 0.1] = np.nan
    check_family(family, X)


def negative_log_likelihood(X, weight, theta, interactions=False):
    """By brute force over the complete levels of each pair."""
    p = 1.0 / (1.0 + np.exp(-theta[0]))
    rest = theta[1:].reshape(2, -1)
    cells = np.array(list(itertools.product(*map(range, LEVELS))))
    tables = []
    for own in rest:
        logit = np.zeros(len(cells))
        start = 0
        for j, n in enumerate(LEVELS):
            logit += np.append(0.0, own[start : start + n - 1])[cells[:, j]]
            start += n - 1
        if interactions:
            extra = np.zeros((LEVELS[0], LEVELS[1]))
            extra[1:, 1:] = own[start:].reshape(LEVELS[0] - 1, LEVELS[1] - 1)
            logit += extra[cells[:, 0], cells[:, 1]]
        table = np.exp(logit - logit.max())
        tables.append(table / table.sum())
    total = 0.0
    for row, w in zip(X, weight, strict=True):
        fits = ((cells == row) | np.isnan(row)).all(axis=1)
        total += w * np.log((1 - p) * tables[0][fits].sum() + p * tables[1][fits].sum())
    return -total


def distinct(X):
    coded = np.where(np.isnan(X), -1, X)
    rows, counts = np.unique(coded, axis=0, return_counts=True)
    return np.where(rows < 0, np.nan, rows), counts


@pytest.mark.parametrize("interactions", [None, [(0, 1)]], ids=["independent", "interaction"])
def test_log_likelihood_by_brute_force(sample, interactions):
    """EM ends where a general optimizer cannot rise any more, and reports that likelihood."""
    rows, counts = distinct(sample[0])
    model = RecordLinkageEM(interactions=interactions, alpha=1e-9, tol=1e-11, max_iter=5000)
    model.fit(rows, sample_weight=counts)
    theta = [np.log(model.prevalence_ / (1 - model.prevalence_))]
    for k, own in enumerate((model.u_, model.m_)):
        theta += [np.log(p[1:] / p[0]) for p in own]
        if interactions:
            table = model.interaction_tables_["0", "1"][k]
            logs = np.log(table)
            theta[-3] = logs[1:, 0] - logs[0, 0]
            theta[-2] = logs[0, 1:] - logs[0, 0]
            theta.append((logs[1:, 1:] - logs[1:, :1] - logs[:1, 1:] + logs[0, 0]).ravel())
    theta = np.concatenate([np.atleast_1d(own) for own in theta])

    def objective(theta):
        return negative_log_likelihood(rows, counts, theta, bool(interactions))

    assert_allclose(-objective(theta), model.log_likelihood_, rtol=1e-9)
    best = minimize(objective, theta, method="BFGS", options={"maxiter": 15})
    assert objective(theta) - best.fun < 2e-3
    assert_allclose(model.score(rows, sample_weight=counts), model.log_likelihood_ / counts.sum())


def test_is_latent_class_analysis(sample):
    X, _ = sample
    linkage = RecordLinkageEM(alpha=0.0, tol=1e-12, max_iter=5000).fit(X)
    classes = FiniteMixtureEM(2, family=Categorical(0.0), tol=1e-12, max_iter=5000, random_state=0)
    classes.fit(X)
    assert_allclose(linkage.log_likelihood_, classes.log_likelihood_, rtol=1e-9)


def test_interactions_by_fitting_margins():
    """The table of one pair is saturated; three pairs have the margins of the counts."""
    rng = np.random.default_rng(1)
    counts = rng.random((3, 2, 4)) + 0.1
    start = np.full(counts.shape, 1 / counts.size)
    pairs = ((0, 1), (1, 2), (0, 2))
    table = fit_margins(counts, start, pairs)
    share = counts / counts.sum()
    for axis in range(3):
        assert_allclose(table.sum(axis=axis), share.sum(axis=axis), rtol=1e-10)
    # No interaction of all three: odds ratios of odds ratios are one.
    logs = np.log(table)
    third = np.diff(np.diff(np.diff(logs, axis=0), axis=1), axis=2)
    assert_allclose(third, 0.0, atol=1e-10)
    flat = counts[:, :, 0]
    assert_allclose(fit_margins(flat, np.full((3, 2), 1 / 6), ((0, 1),)), flat / flat.sum())


@pytest.mark.parametrize("held", [None, 0, 1])
def test_order_by_direct_maximization(held):
    """The M-step in order beats, and agrees with, a general optimizer with constraints."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        counts = rng.gamma(1.0, 20.0, (2, 4))
        fixed = np.full((2, 4), np.nan)
        if held is not None:
            fixed[held] = rng.dirichlet(np.ones(4) * 3)
        found = ordered_pair(counts, fixed)
        if held is not None:
            assert_allclose(found[held], fixed[held])
        ratio = found[1] / found[0]
        assert (np.diff(ratio) >= -1e-9 * ratio[1:]).all()
        assert_allclose(found.sum(axis=1), 1.0)

        def both(x, fixed=fixed):
            logs = np.stack([np.append(0, x[:3]), np.append(0, x[3:])])
            logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
            return np.where(np.isnan(fixed), logs, np.log(fixed))

        def loss(x, counts=counts, both=both):
            return -(counts * both(x)).sum()

        constraint = {"type": "ineq", "fun": lambda x, both=both: np.diff(both(x)[1] - both(x)[0])}
        best = minimize(loss, np.zeros(6), constraints=[constraint], method="SLSQP")
        value = -(counts * np.log(found)).sum()
        assert value <= best.fun + 1e-5 * abs(best.fun)


def test_order_of_levels(vectors):
    """A level that disagrees more than the next one is joined with it, at the same weight."""
    m = [[0.1, 0.3, 0.6], [0.1, 0.9], [0.1, 0.9]]
    u = [[0.6, 0.1, 0.3], [0.9, 0.1], [0.9, 0.1]]
    X, _ = vectors(5000, prevalence=0.3, m=m, u=u)
    free = RecordLinkageEM().fit(X)
    assert (np.diff(free.match_weights_[0]) < 0).any()
    ordered = RecordLinkageEM(ordered=True).fit(X)
    assert (np.diff(ordered.match_weights_[0]) >= -1e-6).all()
    assert ordered.log_likelihood_ < free.log_likelihood_
    assert (np.diff(ordered.history_["objective"]) > -1e-6).all()
    with pytest.raises(ValueError, match="same match weight"):
        ordered.inference(X)


def test_held_within_the_model(sample):
    X, _ = sample
    model = model_of()
    data = model.prepare(Observations(X), None)
    probability = np.full((2, 3, 4), np.nan)
    probability[0, 0] = [0.9, 0.05, 0.05, 0.0]
    held = FixedParameters(model, {"probability": probability})
    start = held.initialize(data, np.random.default_rng(0))
    assert_allclose(start.components.probability[0, 0], probability[0, 0])


def test_beta_prior_is_that_of_more_pairs(sample):
    """Pseudo-pairs act as pairs without any comparison whose class is known."""
    X, _ = sample
    low = RecordLinkageEM(prevalence_alpha=(0, 300), tol=1e-10).fit(X)
    high = RecordLinkageEM(prevalence_alpha=(30, 0), tol=1e-10).fit(X)
    none = RecordLinkageEM(tol=1e-10).fit(X)
    assert low.prevalence_ < none.prevalence_ < high.prevalence_
    match = none.predict_proba(X)[:, 1].sum()
    assert_allclose(match / len(X), none.prevalence_, rtol=1e-4)
    match = high.predict_proba(X)[:, 1].sum()
    assert_allclose((match + 30) / (len(X) + 30), high.prevalence_, rtol=1e-4)
