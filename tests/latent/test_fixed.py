"""Mixtures and chains with entries held keep the contract of a model."""

import numpy as np
import pytest

from emlearn.distributions import Categorical, Gaussian, Poisson, find_family
from emlearn.engine import FixedParameters
from emlearn.engine.parameters import read_fixed
from emlearn.latent import ChainLaw, LabelModel, MixtureLaw, Observations, Probabilities, Sequences
from emlearn.latent.matching import held_components, renumbered_start
from emlearn.latent.starts import RowsStart
from emlearn.testing import check_latent_variable_model

NAN = np.nan
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(150, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
ROWS[75:] += [5.0, 3.0]
COUNTS = RNG.poisson(np.repeat([2.0, 9.0], 75)[:, None], (150, 2)).astype(float)
ITEMS = (RNG.random((150, 4)) < np.repeat([0.2, 0.8], 75)[:, None]).astype(float)


class Mixture(LabelModel):
    def prepare(self, X, sample_weight=None):
        return super().prepare(Observations(X), sample_weight)


def held(model, X, given):
    params = model.example(model.prepare(X))
    public = model.public(params)
    names = {name: name for name in public}
    return FixedParameters(model, read_fixed(given, model.space(params), public, names))


FREE = np.full((2, 2, 2), NAN)
ENTRY = FREE.copy()
ENTRY[1, 0, 1] = 0.3
MEAN = {"mean": [[NAN, NAN], [5.0, NAN]]}
PRODUCT = find_family([("gaussian", [0]), ("poisson", [1])]).at_columns(None, 2)
CASES = {
    "full": (Gaussian(), ROWS, {**MEAN, "covariance": ENTRY, "weights": [NAN, 0.4]}),
    "tied": (Gaussian("tied"), ROWS, {**MEAN, "covariance": [[1.1, NAN], [NAN, NAN]]}),
    "diag": (Gaussian("diag", alpha=2.0), ROWS, {**MEAN, "covariance": [[1.0, NAN], [NAN, NAN]]}),
    "EEV": (Gaussian("EEV"), ROWS, MEAN),
    "poisson": (Poisson(), COUNTS, {"rate": [[2.5, NAN], [NAN, NAN]]}),
    "items": (Categorical(), ITEMS, {"probability": np.where(np.arange(16) == 5, 0.3, NAN)}),
    "product": (
        PRODUCT,
        np.column_stack([ROWS[:, 0], COUNTS[:, 0]]),
        {"rate": [[NAN], [8.0]], "mean": [[NAN], [5.0]]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_contract(case):
    family, X, given = CASES[case]
    if case == "items":
        given = {"probability": given["probability"].reshape(2, 4, 2)}
    model = held(Mixture(MixtureLaw(2), family, RowsStart()), X, given)
    check_latent_variable_model(model, X, max_iter=20_000)


def chain(startprob=None, transmat=None):
    return ChainLaw(
        3,
        Probabilities(startprob, np.zeros(3)),
        Probabilities(transmat, np.zeros((3, 3))),
    )


class Chain(LabelModel):
    """Sequences of ten rows."""

    def prepare(self, X, sample_weight=None):
        sequences = Sequences.of_lengths(np.full(len(X), X.shape[1]))
        rows = X.reshape(-1, 1)
        return super().prepare(Observations(rows, None, sequences), sample_weight)


def sequences(seed=0):
    rng = np.random.default_rng(seed)
    rates = np.array([1.0, 6.0, 15.0])
    states = (np.arange(10) // 2 + rng.integers(3, size=(30, 1))) % 3
    return rng.poisson(rates[states]).astype(float)


def test_contract_of_a_chain():
    X = sequences()
    given = {"rate": [[1.0], [NAN], [NAN]], "transmat": np.diag([0.5, NAN, NAN]) + _off()}
    model = held(Chain(chain(), Poisson(alpha=0.1), RowsStart()), X, given)
    check_latent_variable_model(model, X, max_iter=20_000)


def _off():
    off = np.full((3, 3), NAN)
    np.fill_diagonal(off, 0.0)
    return off


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 0, 2]])
def test_order_of_a_start(order):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 1)) + np.repeat([0.0, 6.0, 12.0], 30)[:, None]
    model = Mixture(MixtureLaw(3), Gaussian(), RowsStart())
    data = model.prepare(X)
    hot = (np.repeat(order, 30) == np.arange(3)[:, None]).astype(float)
    start = model.from_responsibilities(data, hot, rng)
    for fixed in (
        {"mean": np.array([[0.0], [6.0], [12.0]])},
        {"mean": np.array([[0.0], [NAN], [12.0]])},
    ):
        moved = renumbered_start(model, data, start, fixed, rng)
        means = model.public(moved)["mean"][:, 0]
        np.testing.assert_allclose(means, [0.0, 6.0, 12.0], atol=1.0)
    same = renumbered_start(model, data, start, {"mean": np.full((3, 1), NAN)}, rng)
    assert same is start


def test_order_with_more_components_than_are_tried_in_all_orders():
    rng = np.random.default_rng(0)
    centers = 6.0 * np.arange(7)
    X = np.concatenate([center + rng.normal(size=(20, 1)) for center in centers])
    model = Mixture(MixtureLaw(7), Gaussian(), RowsStart())
    data = model.prepare(X)
    order = rng.permutation(7)
    hot = (np.repeat(order, 20) == np.arange(7)[:, None]).astype(float)
    start = model.from_responsibilities(data, hot, rng)
    moved = renumbered_start(model, data, start, {"mean": centers[:, None]}, rng)
    np.testing.assert_allclose(model.public(moved)["mean"][:, 0], centers, atol=1.0)


def test_transitions_given_by_the_user_stay_where_they_are():
    X = sequences()
    given = np.array([[0.6, 0.4, 0.0], [0.0, 0.6, 0.4], [0.4, 0.0, 0.6]])
    model = Chain(chain(transmat=given), Poisson(), RowsStart())
    data = model.prepare(X)
    rng = np.random.default_rng(0)
    for _ in range(4):
        start = model.initialize(data, rng)
        fixed = {"rate": np.array([[NAN], [6.0], [15.0]])}
        moved = renumbered_start(model, data, start, fixed, rng)
        assert np.array_equal(moved.law.transmat, given)


def test_components_without_free_parameters():
    model = Mixture(MixtureLaw(2), Gaussian(), RowsStart())
    params = model.example(model.prepare(ROWS))
    mean, covariance = np.array([[1.0, 1.0], [NAN, 2.0]]), np.stack([np.eye(2), np.eye(2)])
    found = held_components(model, params, {"mean": mean, "covariance": covariance})
    assert found.tolist() == [True, False]
    assert not held_components(model, params, {"mean": mean}).any()
    assert not held_components(model, params, {}).any()
