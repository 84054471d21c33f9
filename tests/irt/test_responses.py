"""Response models: probabilities against their definitions, derivatives against differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from emlearn.irt._responses import (
    NEVER,
    RESPONSE_MODELS,
    ItemParams,
    from_thresholds,
    thresholds,
)

MODELS = pytest.mark.parametrize("name", list(RESPONSE_MODELS))


def items_of(name, n_dims=1):
    kind = RESPONSE_MODELS[name]
    model = kind((2, 2, 2) if kind.is_binary else (4, 2, 3))
    rng = np.random.default_rng(1)
    intercepts = -np.sort(-rng.normal(size=(3, model.width - 1)), axis=1)
    params = ItemParams(
        rng.uniform(-1.0, 2.0, (3, n_dims)),
        np.where(model.is_category[:, 1:], intercepts, 0.0),
        np.full(3, 0.2 if model.has_guessing else 0.0),
    )
    return model, params, rng.normal(size=(7, n_dims))


@MODELS
@pytest.mark.parametrize("n_dims", [1, 2])
def test_probabilities_are_those_of_the_definition(name, n_dims, naive_probabilities):
    model, params, theta = items_of(name, n_dims)
    found = np.exp(model.log_probabilities(params, theta))
    for j, k in enumerate(model.n_categories):
        expected = naive_probabilities(
            name, params.slopes[j], params.intercepts[j, : k - 1], params.guessing[j], theta
        )
        assert_allclose(found[j, :k].T, expected, rtol=1e-12, atol=1e-15)
        assert (found[j, k:] == 0.0).all()


@MODELS
def test_derivatives_with_respect_to_the_trait(name):
    model, params, theta = items_of(name)
    h = 1e-5

    def at(shift):
        moved = params.intercepts + shift * model.is_category[:, 1:]
        return model.probability_derivatives(params._replace(intercepts=moved), theta)

    value, first, second = at(0.0)
    assert_allclose(value, np.exp(model.log_probabilities(params, theta)), atol=1e-15)
    assert_allclose((at(h).value - at(-h).value) / (2 * h), first, atol=1e-9)
    assert_allclose((at(h).first - at(-h).first) / (2 * h), second, atol=1e-9)


@MODELS
@pytest.mark.parametrize("n_dims", [1, 2])
def test_newton_terms(name, n_dims):
    model, params, theta = items_of(name, n_dims)
    rng = np.random.default_rng(2)
    counts = rng.uniform(size=(3, model.width, len(theta))) * model.is_category[:, :, None]
    gradient, _ = model.newton(params, theta, counts)
    expected = counts.sum(axis=1, keepdims=True) * np.exp(model.log_probabilities(params, theta))
    zero, information = model.newton(params, theta, expected)
    assert_allclose(zero, 0.0, atol=1e-12)
    h = 1e-5
    for i in range(gradient.shape[1]):
        step = np.zeros_like(gradient)
        step[:, i] = h
        ahead, back = model.moved(params, step), model.moved(params, -step)

        def value(at):
            return (counts * model.log_probabilities(at, theta)).sum(axis=(1, 2))

        assert_allclose(
            (value(ahead) - value(back)) / (2 * h), gradient[:, i], rtol=1e-6, atol=1e-7
        )
        # At expected counts, the Fisher information is minus the second derivative.
        change = model.newton(ahead, theta, expected)[0] - model.newton(back, theta, expected)[0]
        assert_allclose(-change / (2 * h), information[:, i], rtol=1e-6, atol=1e-7)


@MODELS
def test_extremes_are_finite(name):
    model, params, _ = items_of(name)
    params = params._replace(slopes=np.array([[30.0], [-30.0], [0.0]]))
    theta = np.linspace(-8.0, 8.0, 9)
    counts = np.ones((3, model.width, 9)) * model.is_category[:, :, None]
    logs = model.log_probabilities(params, theta)
    assert (logs >= NEVER).all()
    assert (logs <= 1e-15).all()
    for values in (
        *model.newton(params, theta, counts),
        *model.probability_derivatives(params, theta),
    ):
        assert np.isfinite(values).all()


def test_graded_probabilities_do_not_cancel():
    model = RESPONSE_MODELS["grm"]((3,))
    params = ItemParams(np.array([[1.0]]), np.array([[1e-6, 0.0]]), np.zeros(1))
    # In the tail the middle category is a tiny part of a tiny probability.
    (logs,) = model.log_probabilities(params, np.array([-40.0]))
    assert_allclose(logs[1, 0], np.log(1e-6) - 40.0, rtol=1e-6)
    assert_allclose(np.exp(logs[:, 0]).sum(), 1.0, rtol=1e-12)


def test_graded_thresholds_must_be_in_order():
    model = RESPONSE_MODELS["grm"]((3, 2))
    inside = ItemParams(np.ones((2, 1)), np.array([[1.0, -1.0], [0.5, 0.0]]), np.zeros(2))
    outside = inside._replace(intercepts=np.array([[-1.0, 1.0], [0.5, 0.0]]))
    assert model.is_valid(inside).tolist() == [True, True]
    assert model.is_valid(outside).tolist() == [False, True]


def test_thresholds_and_back():
    model, params, _ = items_of("gpcm")
    values = thresholds(params, model.is_category)
    assert np.isnan(values[1, 1:]).all()
    assert_allclose(values[0], -params.intercepts[0] / params.slopes[0])
    assert_allclose(from_thresholds(params.slopes, values), params.intercepts)


@MODELS
def test_intercepts_of_shares(name):
    kind = RESPONSE_MODELS[name]
    model = kind((2,) if kind.is_binary else (3,))
    shares = np.array([[0.3, 0.7]]) if kind.is_binary else np.array([[0.2, 0.5, 0.3]])
    intercepts = model.intercepts_of_shares(shares)
    params = ItemParams(np.zeros((1, 1)), intercepts, np.full(1, 1e-12))
    assert_allclose(np.exp(model.log_probabilities(params, np.zeros(1)))[0, :, 0], shares[0])
    if kind.is_binary:
        assert_allclose(expit(intercepts[0, 0]), 0.7)
