"""LinearGaussianStateSpaceEM: values, predictions, and what must not change a fit."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from emlearn import LinearGaussianStateSpaceEM

LEVEL = {"transition_matrix": [[1.0]], "observation_matrix": [[1.0]]}


def model_of(n_states=2, **settings):
    return LinearGaussianStateSpaceEM(n_states, random_state=0, **settings)


@pytest.fixture(scope="module")
def fitted(make):
    """Two sequences with inputs and missing entries, and a fit of few iterations."""
    X, inputs = make((9, 6), n_inputs=1, missing=0.2)
    with pytest.warns(ConvergenceWarning):
        model = model_of(fit_offset=True, max_iter=5).fit(X, lengths=[9, 6], inputs=inputs)
    return model, X, inputs


def parts(model, X, inputs, lengths=(9, 6)):
    system = model._fitted_model()[0].system(model._fitted_model()[1])
    begin = 0
    for length in lengths:
        own = slice(begin, begin + length)
        yield system, X[own], inputs[own], np.hstack((inputs[own], np.ones((length, 1)))), own
        begin += length


# ---- published values ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "epsilon", "level", "log_likelihood"),
    [
        ({"initialization": "diffuse", "fixed": LEVEL}, 15098.52, 1469.176, -632.5456251),
        (
            {"fixed": {**LEVEL, "initial_mean": [0.0], "initial_covariance": [[1e7]]}},
            15099.686,
            1468.5003,
            -641.5855783,
        ),
    ],
)
def test_local_level_of_the_nile(nile, settings, epsilon, level, log_likelihood):
    """Durbin and Koopman (2012), section 2.10.3: 15098.5 and 1469.2."""
    model = model_of(1, tol=1e-11, **settings).fit(nile)
    assert_allclose(model.observation_covariance_, [[epsilon]], rtol=2e-6)
    assert_allclose(model.transition_covariance_, [[level]], rtol=4e-6)
    assert_allclose(model.log_likelihood_, log_likelihood, rtol=1e-9)
    assert model.converged_
    assert model._n_parameters() == 2


def test_fit_is_the_maximum_of_the_likelihood_written_out(make, condition):
    """Nelder-Mead on the joint Gaussian, with missing entries, one state and two columns."""
    X, _ = make((12,), n_states=1, n_features=2, missing=0.25, seed=3)
    held = {"transition_covariance": [[1.0]], "initial_mean": [0.0], "initial_covariance": [[1.0]]}
    model = model_of(1, fixed=held, observation_noise="diag", tol=1e-10, max_iter=20_000).fit(X)
    system = model._fitted_model()[1]

    def loss(v):
        trial = system._replace(
            transition=v[:1, None],
            observation=v[1:3, None],
            observation_covariance=np.exp(v[3:]),
        )
        return -condition(trial, X, np.empty((12, 0)), np.empty((12, 0)))[2]

    start = np.concatenate(
        (
            system.transition.ravel(),
            system.observation.ravel(),
            np.log(system.observation_covariance),
        )
    )
    assert_allclose(-loss(start), model.log_likelihood_, rtol=1e-9)
    best = minimize(loss, start + 0.05, method="BFGS", options={"gtol": 1e-6})
    assert model.log_likelihood_ > -best.fun - 1e-5


# ---- states and predictions ------------------------------------------------------------


def test_states_and_predictions_are_those_of_the_joint_gaussian(fitted, condition):
    model, X, inputs = fitted
    lengths = [9, 6]
    smoothed, covariances = model.transform(X, lengths, inputs=inputs, return_cov=True)
    filtered, spread = model.filter(X, lengths, inputs=inputs, return_cov=True)
    ahead = {
        k: model.predict_ahead(X, lengths, inputs=inputs, steps=k, return_std=True) for k in (1, 3)
    }
    total = 0.0
    for system, rows, own, regressors, place in parts(model, X, inputs):
        means, V, density = condition(system, rows, own, regressors)
        total += density
        assert_allclose(smoothed[place], means, atol=1e-9)
        for t in range(len(rows)):
            at = place.start + t
            assert_allclose(covariances[at], V[t, t], atol=1e-9)
            known = np.arange(len(rows))[:, None] <= t
            means_t, V_t, _ = condition(system, rows, own, regressors, known)
            assert_allclose(filtered[at], means_t[t], atol=1e-9)
            assert_allclose(spread[at], V_t[t, t], atol=1e-9)
            for k, (expected, deviation) in ahead.items():
                known = np.arange(len(rows))[:, None] <= t - k
                means_k, V_k, _ = condition(system, rows, own, regressors, known)
                z = np.concatenate((means_k[t], regressors[t]))
                assert_allclose(expected[at], system.loadings @ z, atol=1e-9)
                variance = system.observation @ V_k[t, t] @ system.observation.T
                variance = variance + system.observation_covariance
                assert_allclose(deviation[at], np.sqrt(np.diagonal(variance)), atol=1e-9)
    assert_allclose(model.log_likelihood_, total, rtol=1e-9)
    assert_allclose(model.score(X, lengths=lengths, inputs=inputs) * 15, total, rtol=1e-9)
    assert_allclose(model.score_samples(X, lengths, inputs=inputs).sum(), total, rtol=1e-9)
    assert_array_equal(model.predict(X, lengths, inputs=inputs), ahead[1][0])


def test_forecasts_are_predictions_of_rows_that_are_missing(fitted):
    model, X, inputs = fitted
    future = np.linspace(-1.0, 1.0, 6)[:, None]
    expected, deviation = model.forecast(3, future_inputs=future, return_std=True)
    again = model.forecast(3, X, [9, 6], inputs=inputs, future_inputs=future, return_std=True)
    assert_allclose(again[0], expected, atol=1e-12)
    assert_allclose(again[1], deviation, atol=1e-12)
    hole = np.full((3, 3), np.nan)
    longer = np.vstack((X[:9], hole, X[9:], hole))
    inputs = np.vstack((inputs[:9], future[:3], inputs[9:], future[3:]))
    ahead, spread = model.predict_ahead(longer, [12, 9], inputs=inputs, return_std=True)
    own = np.r_[9:12, 18:21]
    assert_allclose(expected, ahead[own], atol=1e-10)
    assert_allclose(deviation, spread[own], atol=1e-10)


def test_diffuse_predictions_are_the_limit_of_a_wide_prior(nile):
    model = model_of(1, initialization="diffuse", fixed=LEVEL).fit(nile)
    wide = {**LEVEL, "initial_mean": [0.0], "initial_covariance": [[1e12]]}
    for name in ("transition_covariance", "observation_covariance"):
        wide[name] = getattr(model, f"{name}_")
    other = model_of(1, fixed=wide).fit(nile)
    expected, deviation = model.predict_ahead(nile, return_std=True)
    assert np.isinf(deviation[0])
    limit = other.predict_ahead(nile, return_std=True)
    assert_allclose(expected[1:], limit[0][1:], rtol=1e-6)
    assert_allclose(deviation[1:], limit[1][1:], rtol=1e-6)
    assert_allclose(model.filter(nile), other.filter(nile), rtol=1e-6)
    assert_allclose(model.transform(nile), other.transform(nile), rtol=1e-6)
    for one, two in zip(
        model.forecast(4, return_std=True), other.forecast(4, return_std=True), strict=True
    ):
        assert_allclose(one, two, rtol=1e-6)
    with pytest.raises(ValueError, match="flat prior"):
        model.sample(3)
    assert model.sample(3, after=nile)[0].shape == (3, 1)


def test_samples_have_the_moments_of_the_model(make):
    X, _ = make((200,))
    model = model_of().fit(X)
    rows, states = model.sample(lengths=[2] * 4000)
    assert rows.shape == (8000, 3)
    assert states.shape == (8000, 2)
    A, C = model.transition_matrix_, model.observation_matrix_
    first, second = states[::2], states[1::2]
    assert_allclose(first.mean(axis=0), model.initial_mean_, atol=1e-9)
    expected = A @ model.initial_mean_
    size = np.sqrt(np.diagonal(model.transition_covariance_) / 4000)
    assert (np.abs(second.mean(axis=0) - expected) < 5.0 * size).all()
    noise = rows - states @ C.T
    assert_allclose(np.cov(noise.T), model.observation_covariance_, atol=0.15)
    after, _ = model.sample(lengths=[1] * 2, after=[X, X[:50]])
    assert after.shape == (2, 3)


# ---- what must not change a fit ---------------------------------------------------------


def same(one, other, rtol=1e-6):
    names = ("transition_matrix_", "observation_covariance_")
    assert_allclose(one.log_likelihood_, other.log_likelihood_, rtol=1e-9)
    for name in names:
        values = [getattr(model, name) for model in (one, other)]
        if name == "transition_matrix_":
            values = [np.sort_complex(np.linalg.eigvals(value)) for value in values]
        assert_allclose(*values, rtol=rtol, atol=rtol)


def test_weights_are_copies_and_forms_of_sequences_are_one(make):
    X, _ = make((12, 9, 9))
    settings = {"max_iter": 6, "accelerate": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weighted = model_of(**settings).fit(X, lengths=[12, 9, 9], sample_weight=[1.0, 2.0, 0.0])
        copies = model_of(**settings).fit([X[:12], X[12:21], X[12:21]])
        ids = ["a"] * 12 + ["b"] * 9 + ["b2"] * 9
        by_ids = model_of(**settings).fit(np.vstack((X[:21], X[12:21])), sequence_ids=ids)
    same(weighted, copies)
    same(copies, by_ids)


def test_same_bits_and_a_second_fit_equals_a_first(make):
    X, _ = make((60,), missing=0.1)
    other, _ = make((50,), seed=4)
    one = model_of(tol=1e-3).fit(X)
    again = clone(one).fit(other).fit(X)
    for name in ("transition_matrix_", "observation_matrix_", "initial_mean_"):
        assert_array_equal(getattr(one, name), getattr(again, name))
    restored = pickle.loads(pickle.dumps(one))
    assert_array_equal(restored.forecast(3), one.forecast(3))


def test_units_of_the_columns(make):
    X, _ = make((80,), missing=0.1)
    unit = np.array([1e-6, 1.0, 1e5])
    settings = {"observation_noise": "diag", "tol": 1e-7, "max_iter": 5000}
    one, other = model_of(**settings).fit(X), model_of(**settings).fit(X * unit)
    entries = (~np.isnan(X)).sum(axis=0)
    assert_allclose(other.log_likelihood_, one.log_likelihood_ - entries @ np.log(unit), atol=1e-3)
    assert_allclose(other.forecast(2), one.forecast(2) * unit, rtol=1e-3)


def test_published_attributes_are_the_model(make):
    X, _ = make((60,))
    model = model_of().fit(X)
    before = model.score(X)
    turn = np.array([[1.0, 0.5], [-0.3, 2.0]])
    back = np.linalg.inv(turn)
    model.transition_matrix_ = turn @ model.transition_matrix_ @ back
    model.observation_matrix_ = model.observation_matrix_ @ back
    model.transition_covariance_ = turn @ model.transition_covariance_ @ turn.T
    model.initial_mean_ = turn @ model.initial_mean_
    assert_allclose(model.score(X), before, rtol=1e-10)
    model.observation_matrix_ = model.observation_matrix_ * 1.1
    assert model.score(X) < before


def test_warm_start_goes_on(make):
    X, _ = make((60,))
    with pytest.warns(ConvergenceWarning):
        model = model_of(max_iter=3, warm_start=True).fit(X)
    first = model.log_likelihood_
    model.set_params(max_iter=1000).fit(X)
    assert model.log_likelihood_ > first + 1.0
    assert model.n_iter_ <= 1000


def test_starts_by_name(make):
    X, _ = make((60,))
    A = np.array([[0.3, 0.0], [0.0, 0.9]])
    model = model_of(init_params={"transition_matrix": A}, max_iter=0).fit(X)
    assert_allclose(model.transition_matrix_, A)


def test_number_of_identified_parameters(make):
    X, _ = make((60,), n_features=3)
    with pytest.warns(ConvergenceWarning):
        one = model_of(1, max_iter=2).fit(X)
    # A, C, Q, R and the first state, less the scale of the state.
    assert one._n_parameters() == 1 + 3 + 1 + 6 + 1 - 1
    assert_allclose(one.bic(X), -2 * one.log_likelihood_ + np.log(60) * 11)
    assert_allclose(one.aic(X), -2 * one.log_likelihood_ + 22)


def test_standard_errors_of_the_nile(nile):
    """Against second derivatives of the log-likelihood by the logarithms of the variances."""
    model = model_of(1, initialization="diffuse", fixed=LEVEL, tol=1e-12).fit(nile)
    found = model.inference(nile)

    def log_likelihood(v):
        other = pickle.loads(pickle.dumps(model))
        other.observation_covariance_ = np.array([[v[0]]])
        other.transition_covariance_ = np.array([[v[1]]])
        return other.score(nile) * 100

    at = np.array([model.observation_covariance_[0, 0], model.transition_covariance_[0, 0]])
    step = np.diag(1e-3 * at)
    hessian = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            hessian[i, j] = sum(
                a * b * log_likelihood(at + a * step[i] + b * step[j])
                for a in (1, -1)
                for b in (1, -1)
            ) / (4 * step[i, i] * step[j, j])
    errors = np.sqrt(np.diagonal(np.linalg.inv(-hessian)))
    own = found.standard_errors
    assert_allclose(own["observation_covariance"], [[errors[0]]], rtol=1e-3)
    assert_allclose(own["transition_covariance"], [[errors[1]]], rtol=1e-3)
