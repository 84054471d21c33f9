"""The contract of the model with the engine, for each model of raters."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import logsumexp

from emlearn.data.labels import UNKNOWN
from emlearn.engine import BlockMapper
from emlearn.raters._accuracy import ClassConditional, OneCoin
from emlearn.raters._annotations import Annotations, prepare, votes_of
from emlearn.raters._confusion import FullConfusion, HomogeneousConfusion, PooledConfusion
from emlearn.raters._model import RaterModel
from emlearn.raters._ordinal import OrdinalConfusion
from emlearn.testing import check_latent_variable_model

R, K = 4, 3
KINDS = {
    "full": FullConfusion(R, K),
    "homogeneous": HomogeneousConfusion(R, K),
    "class_pooled": PooledConfusion(R, K, 5.0),
    "class_conditional": ClassConditional(R, K),
    "one_coin": OneCoin(R, K),
    "ordinal": OrdinalConfusion(R, K),
}


@pytest.fixture(scope="module")
def annotations(crowd):
    table, classes = crowd(200, R, K, 0.7)
    rng = np.random.default_rng(1)
    # Some labels are missing, and some are given twice.
    times = rng.choice([0, 1, 2], table.shape, p=[0.2, 0.7, 0.1])
    item, rater = (np.repeat(index.ravel(), times.ravel()) for index in np.indices(table.shape))
    columns = rater * K + table[item, rater].astype(np.intp)
    known = np.where(rng.random(200) < 0.1, classes, UNKNOWN)
    return Annotations(votes_of(item, columns, None, (200, R * K)), known)


def log_likelihood(model, params, X, weight):
    """By loops over items and classes."""
    theta = model.confusion.matrices(params.confusion)
    votes = X.votes.toarray().reshape(-1, R, K)
    total = 0.0
    for i, own in enumerate(votes):
        joint = np.log(params.prevalence) + np.einsum("rl,rjl->j", own, np.log(theta))
        if X.known is not None and X.known[i] != UNKNOWN:
            joint = joint[[X.known[i]]]
        total += (1.0 if weight is None else weight[i]) * logsumexp(joint)
    return total


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("strength", [0.0, 2.0])
@pytest.mark.parametrize("anchored", [False, True])
def test_contract(name, strength, anchored, annotations):
    X = annotations if anchored else annotations._replace(known=None)
    model = RaterModel(KINDS[name], strength, 0.7, 0.5 * strength, anchored)
    check_latent_variable_model(
        model,
        X,
        sample_weight=np.ones(200),
        take=lambda X, index: X.take(index),
        score=log_likelihood,
        n_iter=10,
    )


@pytest.mark.parametrize("name", ["one_coin", "ordinal", "homogeneous"])
def test_direct_maximization(name, annotations):
    model = RaterModel(KINDS[name], 1.0, 0.7, 0.0, True)
    data = model.prepare(annotations)
    params = model.initialize(data, np.random.default_rng(0))
    with BlockMapper(model, data) as e_step:
        for _ in range(500):
            params = model.m_step(e_step(params)[0], params)
        found = e_step(params)[1] + model.log_prior(params)

        def objective(vector):
            at = model.from_vector(vector, params)
            return -e_step(at)[1] - model.log_prior(at)

        start = model.to_vector(model.initialize(data, np.random.default_rng(0)))
        best = minimize(objective, start, method="BFGS", options={"gtol": 1e-4})
    assert found == pytest.approx(-best.fun, abs=1e-4)


def test_pseudo_counts_are_further_labels():
    for kind in KINDS.values():
        counts = kind.pseudo_counts(6.0, 0.8) * np.ones((R, 1, 1))
        total = {
            "OneCoin": 6.0 * R,
            "OrdinalConfusion": 6.0 * R,
            "HomogeneousConfusion": 6.0 * K,
            "PooledConfusion": 6.0 * K,
        }
        assert counts.sum() == pytest.approx(total.get(type(kind).__name__, 6.0 * K * R))
        assert np.trace(counts, axis1=1, axis2=2).sum() == pytest.approx(0.8 * counts.sum())


def test_pooled_rows_are_between_their_own_and_the_common_one():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 30, (R, K, K)).astype(float)
    own = counts / counts.sum(axis=2, keepdims=True)
    distance = []
    for pooling in (0.1, 5.0, 1e4):
        kind = PooledConfusion(R, K, pooling)
        params = kind.start()
        for _ in range(200):
            params = kind.maximize(counts, params, {})
        assert_allclose(params.own.sum(axis=2), 1.0)
        distance.append((np.abs(params.own - own).max(), np.abs(params.own - params.common).max()))
    assert distance[0][0] < 0.05
    assert distance[2][1] < 0.05
    assert distance[0][1] > distance[1][1] > distance[2][1]


def test_copies_are_merged(crowd):
    table, _ = crowd(3000, 3, 2)
    item, rater = np.indices(table.shape)
    columns = (rater * 2 + table).astype(np.intp).ravel()
    votes = votes_of(item.ravel(), columns, None, (3000, 6))
    data = prepare(Annotations(votes, None), None, 2)
    patterns, counts = np.unique(table, axis=0, return_counts=True)
    assert len(data.weight) == len(patterns)
    assert sorted(data.weight) == sorted(counts)
    weight = np.random.default_rng(0).random(3000) + 0.1
    data = prepare(Annotations(votes, None), weight, 2)
    of_pattern = [weight[(table == own).all(axis=1)].sum() for own in patterns]
    assert_allclose(sorted(data.weight), sorted(of_pattern))
    known = np.where(np.arange(3000) < 1000, table[:, 0].astype(np.intp), UNKNOWN)
    data = prepare(Annotations(votes, known), None, 2)
    assert data.weight.sum() == 3000
    assert sum(len(block.known.rows) for block in data.blocks if block.known) <= len(patterns)


def test_blocks_cover_all_items():
    rng = np.random.default_rng(0)
    n = 60_000
    item = np.repeat(np.arange(n), 5)
    votes = votes_of(item, rng.integers(60, size=5 * n), None, (n, 60))
    data = prepare(Annotations(votes, None), None, 3)
    assert len(data.blocks) > 1
    assert sum(block.votes.shape[0] for block in data.blocks) == len(data.weight)
    assert sum(block.votes.sum() for block in data.blocks) == 5 * n
