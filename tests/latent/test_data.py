"""The order in which rows are processed, and small rules of the laws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.distributions import Categorical, Gaussian, Poisson
from emlearn.latent import (
    ChainLaw,
    ChainParams,
    LabelModel,
    MixtureLaw,
    MixtureParams,
    Observations,
    Probabilities,
    Sequences,
)
from emlearn.latent import data as latent_data
from emlearn.latent.chain.law import ChainStatistics
from emlearn.latent.starts import GivenStart, RowsStart

N = 60


def table(kind):
    rng = np.random.default_rng(0)
    X = rng.integers(3, size=(N, 2)).astype(float) if kind == "codes" else rng.normal(size=(N, 2))
    X[::5, 0] = np.nan
    weight = rng.uniform(0.5, 2.0, N)
    weight[::7] = 0.0
    labels = np.where(rng.random(N) < 0.3, rng.integers(2, size=N), -1)
    return X, weight, labels


@pytest.mark.parametrize(
    ("kind", "family"), [("codes", Categorical()), ("real", Gaussian()), ("codes", Poisson())]
)
def test_where_rows_come_from(kind, family):
    """Dropped rows, merged copies and reordered rows keep their place in the input."""
    X, weight, labels = table(kind)
    data = MixtureLaw(2).prepare(Observations(X, labels), weight, family)
    assert_array_equal(X[data.origin], data.X)
    assert_array_equal(labels[data.origin], data.labels)
    assert (weight[data.origin] > 0.0).all()
    assert data.total_weight == pytest.approx(weight.sum())
    if kind == "real":
        assert_array_equal(weight[data.origin], data.weight)
    else:
        assert data.n_rows < 40
        assert len(np.unique(data.origin)) == data.n_rows


def test_given_responsibilities_stay_with_their_rows():
    X, weight, _ = table("real")
    hot = np.eye(2)[np.arange(N) % 2]
    model = LabelModel(MixtureLaw(2), Gaussian("diag", reg_covar=0.0), GivenStart(hot))
    data = model.prepare(Observations(X), weight)
    params = model.initialize(data, np.random.default_rng(0))
    mean = model.family.to_public(params.components, params.column_spec)["mean"]
    for k in range(2):
        rows, own = X[k::2], weight[k::2]
        # One M-step fills in missing entries with the mean of all; column 1 has none.
        assert mean[k, 1] == pytest.approx(np.average(rows[:, 1], weights=own))


def test_sequences_are_sorted_by_length_and_found_again():
    lengths = np.array([3, 1, 6, 2, 6, 4])
    X = np.arange(22.0)[:, None]
    law = ChainLaw(2, Probabilities(None, np.zeros(2)), Probabilities(None, np.zeros((2, 2))))
    observed = Observations(X, None, Sequences.of_lengths(lengths))
    data = law.prepare(observed, np.array([1.0, 1.0, 2.0, 0.0, 1.0, 1.0]), Poisson())
    assert_array_equal(data.sequences.lengths, [6, 6, 4, 3, 1])
    assert_array_equal(data.blocks[0].origin, [2, 4, 5, 0, 1])
    assert_array_equal(X[data.origin], data.X)
    assert_array_equal(data.row_weight[:7], [2.0] * 6 + [1.0])


def test_a_sample_of_large_data(monkeypatch):
    monkeypatch.setattr(latent_data, "_SAMPLE_ROWS", 30)
    monkeypatch.setattr(latent_data, "_SAMPLE_ROWS_PER_COMPONENT", 1)
    X = np.r_[np.zeros((40, 1)), np.arange(1.0, 41.0)[:, None] / 7.0]
    weight = np.r_[np.ones(40), np.full(40, 3.0)]
    data = MixtureLaw(2).prepare(Observations(X), weight, Gaussian())
    rows, own = data.sample(2, np.random.default_rng(0))
    values = data.X[rows, 0]
    assert len(np.unique(values)) == len(rows) < 30
    assert_allclose(own[values > 0.0], 3.0)
    assert own[values == 0.0] == 30 - (len(rows) - 1)
    # Small data: each distinct row once.
    every, total = data.sample(100, np.random.default_rng(0))
    assert len(every) == 41
    assert total.sum() == weight.sum()


def test_copies_of_sequences():
    """Equal sequences count as one; equal rows of different sequences do not."""
    X = np.array([1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0])[:, None]
    sequences = Sequences.of_lengths(np.array([2, 2, 2, 1, 1]))
    law = ChainLaw(2, Probabilities(None, np.zeros(2)), Probabilities(None, np.zeros((2, 2))))
    weight = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    data = law.prepare(Observations(X, None, sequences), weight, Poisson())
    first, group, total = data.distinct
    assert_array_equal(data.X[first][group], data.X)
    assert sorted(total) == [2.0, 2.0, 5.0, 5.0, 24.0]
    labels = np.array([0, 0, -1, -1, 0, 1, -1, -1])
    data = law.prepare(Observations(X, labels, sequences), weight, Poisson())
    assert sorted(data.distinct.weight) == [1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 24.0]


# ---- laws -------------------------------------------------------------------------------


def test_no_component_starts_empty():
    law = MixtureLaw(3)
    weights = law.start(np.diag([5.0, 5.0, 0.0]), None).weights
    assert_allclose(weights, np.array([5.0, 5.0, 1e-2 / 3.0]) / (10.0 + 1e-2 / 3.0))


def test_an_empty_component_is_empty():
    law, before = MixtureLaw(3), MixtureParams(np.full(3, 1.0 / 3.0))
    params = law.m_step(np.array([1e-20, 3.0, 1.0]), before)
    assert_array_equal(params.weights, [0.0, 0.75, 0.25])
    vector = law.to_vector(params)
    back, rest = law.from_vector(np.append(vector + np.array([1.0, 0.0]), 7.0), params)
    assert_allclose(back.weights, [0.0, 0.75, 0.25])
    assert_array_equal(rest, [7.0])
    informed = MixtureLaw(3, alpha=1.0).m_step(np.array([1e-20, 3.0, 1.0]), before)
    assert_allclose(informed.weights, np.array([1.0, 4.0, 2.0]) / 7.0)


def test_a_state_that_is_all_but_never_left_keeps_its_row():
    law = ChainLaw(2, Probabilities(None, np.zeros(2)), Probabilities(None, np.zeros((2, 2))))
    before = ChainParams(np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.3, 0.7]]))
    counts = np.array([[3.0, 1.0], [1e-20, 3e-20]])
    after = law.m_step(ChainStatistics(np.array([1.0, 0.0]), counts, counts.sum(axis=1)), before)
    assert_allclose(after.transmat, [[0.75, 0.25], [0.3, 0.7]])
    assert_array_equal(after.startprob, [1.0, 0.0])


def test_starts_draw_each_row_once():
    X = np.repeat(np.arange(3.0), [50, 1, 1])[:, None]
    model = LabelModel(MixtureLaw(3), Gaussian("spherical"), RowsStart())
    data = model.prepare(Observations(X))
    for seed in range(5):
        params = model.initialize(data, np.random.default_rng(seed))
        means = model.family.to_public(params.components, params.column_spec)["mean"]
        assert len(np.unique(means.round(9))) == 3
