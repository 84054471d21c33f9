"""DynamicFactorEM against the joint Gaussian, statsmodels and simulated factors."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn import DynamicFactorEM
from emlearn.engine.blocks import BlockMapper, Threads
from emlearn.statespace._data import Observations
from emlearn.statespace._dynamic_factor_model import DynamicFactorModel
from emlearn.testing import check_latent_variable_model


def draw(n_steps=150, n_features=6, n_factors=2, missing=0.1, seed=0):
    rng = np.random.default_rng(seed)
    A = np.array([[0.8, 0.1], [-0.2, 0.5]])[:n_factors, :n_factors]
    factors = np.zeros((n_steps, n_factors))
    for t in range(1, n_steps):
        factors[t] = A @ factors[t - 1] + rng.normal(size=n_factors)
    X = factors @ rng.normal(size=(n_factors, n_features)) + 3.0
    X += rng.normal(size=X.shape) * rng.uniform(0.5, 1.5, n_features)
    X[rng.random(X.shape) < missing] = np.nan
    return X, factors


def evaluate(model, data, params):
    with BlockMapper(model, data, Threads(1)) as e_step:
        return e_step(params)


@pytest.mark.parametrize("order", [1, 2])
def test_likelihood_score_and_climb(condition, order):
    X, _ = draw(9, 4)
    model = DynamicFactorModel(n_factors=2, order=order, floor=np.full(4, 1e-4))
    data = model.prepare(Observations(X, np.array([9]), np.empty((9, 0)), True))
    params = model.initialize(data, np.random.default_rng(0))
    statistics, found = evaluate(model, data, params)
    _, _, density = condition(model.system(params), X, np.empty((9, 0)), np.ones((9, 1)))
    assert_allclose(found, density, rtol=1e-11)
    around = model.space(params).coordinates(model.public(params))
    slope = around.pull(model.score(statistics, params), np.zeros(around.n_free))
    vector = model.to_vector(params)
    by_vector, _ = model.curvature(statistics, params)
    for gradient, size, at in (
        (slope, around.n_free, lambda v: model.from_public(around.move(v), params)),
        (by_vector, len(vector), lambda v: model.from_vector(vector + v, params)),
    ):
        numeric = [
            (evaluate(model, data, at(h))[1] - evaluate(model, data, at(-h))[1]) / 2e-5
            for h in 1e-5 * np.eye(size)
        ]
        assert_allclose(gradient, numeric, atol=1e-6 * np.abs(gradient).max())
    last = -np.inf
    for _ in range(15):
        statistics, objective = evaluate(model, data, params)
        assert objective >= last - 1e-9
        last, params = objective, model.m_step(statistics, params)


def test_contract():
    X, _ = draw(120, 4, missing=0.05)
    lengths = np.array([30, 30, 25, 35])
    observations = Observations(X, lengths, np.empty((120, 0)), True)

    def take(own, chosen):
        first = np.cumsum(own.lengths) - own.lengths
        rows = np.concatenate([np.arange(first[s], first[s] + own.lengths[s]) for s in chosen])
        return own._replace(
            rows=own.rows[rows], lengths=own.lengths[list(chosen)], inputs=own.inputs[rows]
        )

    model = DynamicFactorModel(n_factors=1, floor=np.full(4, 1e-4))
    check_latent_variable_model(
        model, observations, take=take, sample_weight=np.ones(4), max_iter=5000
    )


def test_factors_are_found():
    X, factors = draw(400, 10)
    model = DynamicFactorEM(2, random_state=0).fit(X)
    assert model.converged_
    found = np.hstack((model.transform(X), np.ones((400, 1))))
    left = factors - found @ np.linalg.lstsq(found, factors, rcond=None)[0]
    assert (left.var(axis=0) < 0.12 * factors.var(axis=0)).all()
    assert_allclose(model.score(X) * 400, model.log_likelihood_, rtol=1e-10)
    values = np.linalg.eigvals(model.transition_coefficients_[0])
    truth = np.linalg.eigvals([[0.8, 0.1], [-0.2, 0.5]])
    assert_allclose(np.sort(values), np.sort(truth), atol=0.15)
    scaled = model.loadings_ / np.sqrt(model.noise_variance_)[:, None]
    products = scaled.T @ scaled
    assert_allclose(products[0, 1], 0.0, atol=1e-8 * products[0, 0])
    assert products[0, 0] > products[1, 1]
    assert (scaled.sum(axis=0) > 0.0).all()


def test_likelihood_of_statsmodels():
    """DynamicFactorMQ of statsmodels 0.15 has the same likelihood at the same parameters."""
    MQ = pytest.importorskip("statsmodels.tsa.statespace.dynamic_factor_mq").DynamicFactorMQ
    X, _ = draw(80, 5)
    model = DynamicFactorEM(1, random_state=0).fit(X)
    peer = MQ(
        X - model.offset_, factors=1, factor_orders=1, idiosyncratic_ar1=False, standardize=False
    )
    params = np.concatenate(
        (
            model.loadings_[:, 0],
            model.transition_coefficients_.ravel(),
            [1.0],
            model.noise_variance_,
        )
    )
    assert_allclose(peer.loglike(params), model.log_likelihood_, rtol=1e-8)


def test_ragged_edges_and_forecasts():
    X, _ = draw(200, 6, missing=0.0)
    held = X[::4, 3:].copy()
    X[::4, 3:] = np.nan
    model = DynamicFactorEM(2, random_state=0).fit(X)
    now = model.offset_ + model.filter(X) @ model.loadings_.T
    ahead, deviation = model.predict_ahead(X, return_std=True)
    errors = [np.sqrt(np.mean((found[::4, 3:] - held) ** 2)) for found in (now, ahead)]
    assert errors[0] < 0.8 * errors[1]
    assert (deviation > np.sqrt(model.noise_variance_)).all()
    forecast = model.forecast(300)
    assert_allclose(forecast[-1], model.offset_, rtol=1e-3)
    assert model.filter(X).shape == (200, 2)
    assert model.sample(4)[0].shape == (4, 6)


def test_units_and_order_of_columns():
    X, _ = draw()
    unit = np.array([1e-5, 1.0, 10.0, 1e4, 1.0, 2.0])
    one = DynamicFactorEM(1, random_state=0, tol=1e-9).fit(X)
    two = DynamicFactorEM(1, random_state=0, tol=1e-9).fit(X * unit)
    assert_allclose(two.loadings_, one.loadings_ * unit[:, None], rtol=1e-4)
    turned = DynamicFactorEM(1, random_state=0, tol=1e-9).fit(X[:, ::-1])
    assert_allclose(turned.loadings_[::-1], one.loadings_, rtol=1e-4)
    again = DynamicFactorEM(1, random_state=0, tol=1e-9).fit(X)
    assert_array_equal(again.loadings_, one.loadings_)


NOT_FOR_SEQUENCES = {
    f"check_sample_weight{name}": "a weight belongs to a sequence"
    for name in (
        "s_pandas_series",
        "s_not_an_array",
        "s_list",
        "s_shape",
        "s_not_overwritten",
        "_equivalence_on_dense_data",
    )
} | {
    "check_all_zero_sample_weights_error": "a weight belongs to a sequence",
    "check_methods_sample_order_invariance": "the rows of a sequence are in order",
    "check_methods_subset_invariance": "the rows of a sequence are in order",
    "check_transformer_data_not_an_array": "its columns are constant",
}


@parametrize_with_checks(
    [DynamicFactorEM(max_iter=10)], expected_failed_checks=lambda _: NOT_FOR_SEQUENCES
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_bad_input():
    X, _ = draw(30)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for model, table, message in (
        (DynamicFactorEM(7), X, "n_factors=7 is more than n_features=6"),
        (DynamicFactorEM(2, order=20), X, "need more rows"),
        (DynamicFactorEM(0), X, "n_factors"),
        (DynamicFactorEM(), frame.assign(c=1.0), "'c' is constant"),
        (DynamicFactorEM(), frame.assign(d=np.nan), "'d' has no observed entry"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(table)
    with pytest.raises(ValueError, match="no inputs"):
        DynamicFactorEM(random_state=0).fit(X).transform(X, inputs=np.ones(30))
