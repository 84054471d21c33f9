"""What LinearGaussianStateSpaceEM says about input that it cannot use."""

import numpy as np
import pandas as pd
import pytest

from emlearn import LinearGaussianStateSpaceEM


@pytest.fixture
def X(make):
    return make((30,))[0]


def fit(X, *arguments, n_states=2, **settings):
    names = ("lengths", "inputs", "sequence_ids", "sample_weight")
    own = {name: settings.pop(name) for name in names if name in settings}
    return LinearGaussianStateSpaceEM(n_states, random_state=0, **settings).fit(X, **own)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_states": 0}, "n_states"),
        ({"observation_noise": "spherical"}, "observation_noise"),
        ({"min_noise": 0.0}, "min_noise"),
        ({"init_params": "random"}, "init_params"),
        ({"initialization": "stationary"}, "initialization"),
        ({"lengths": [10, 10]}, "add up to 20, but X has 30 rows"),
        ({"lengths": [30, 0]}, "sequence 1 has length 0"),
        ({"sequence_ids": ["a"] * 29}, "sequence_ids has 29 entries"),
        ({"sequence_ids": ["a"] * 10 + ["b"] * 10 + ["a"] * 10}, "'a' in row 20 again"),
        ({"inputs": np.ones(29)}, "one row for each row of X, that is 30"),
        ({"inputs": [np.nan] + [1.0] * 29}, "row 0, column 0 is nan"),
        ({"inputs": ["a"] * 30}, "inputs must be an array of numbers"),
        ({"sample_weight": [1.0] * 30}, "sample_weight"),
        ({"fixed": {"transition_matrix": np.eye(3)}}, "fixed\\['transition_matrix'\\]"),
        ({"fixed": {"transition": np.eye(2)}}, "'transition'"),
        ({"fixed": {"transition_covariance": -np.eye(2)}}, "positive definite"),
        (
            {"fixed": {"observation_covariance": np.ones((3, 3))}, "observation_noise": "diag"},
            "off the diagonal",
        ),
        (
            {"fixed": {"observation_covariance": np.zeros((3, 3))}, "observation_noise": "diag"},
            "not positive",
        ),
        ({"init_params": {"transition_matrix": np.eye(3)}}, "init_params\\['transition_matrix'\\]"),
        ({"init_params": {"A": np.eye(2)}}, "init_params"),
        ({"initialization": "diffuse"}, "holds the scale of the states"),
        (
            {"initialization": "diffuse", "fixed": {"transition_matrix": np.eye(2)}},
            "holds the scale of the states",
        ),
    ],
)
def test_hyperparameters_and_arguments(X, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fit(X, **settings)


def test_columns_without_information(X):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="'b' has no observed entry"):
        fit(frame.assign(b=np.nan))
    with pytest.raises(ValueError, match="'c' is constant"):
        fit(frame.assign(c=3.0))
    with pytest.raises(ValueError, match="n_states=2 states need more rows"):
        fit(X[:2])
    with pytest.raises(ValueError, match="infinity"):
        fit(np.where(X[0, 0] == X, np.inf, X))


def test_rows_without_any_entry_are_steps_without_observation(make, X):
    X[5:9] = np.nan
    X[-1] = np.nan
    model = fit(X, tol=1e-2)
    assert np.isfinite(model.transform(X)).all()
    assert np.isfinite(model.log_likelihood_)


def test_methods(make, X):
    model = fit(X, tol=1e-2)
    with pytest.raises(ValueError, match="steps"):
        model.forecast(0)
    with pytest.raises(ValueError, match="steps"):
        model.predict_ahead(X, steps=1.5)
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0)
    with pytest.raises(ValueError, match="features"):
        model.transform(X[:, :2])
    with pytest.raises(ValueError, match="2 sequences, but after has 1"):
        model.sample(lengths=[2, 2], after=X)
    with pytest.raises(ValueError, match="fs must be a positive number"):
        model.modal_parameters(-1.0)
    rows, inputs = make((30,), n_inputs=2)
    model = fit(rows, inputs=inputs, tol=1e-2)
    with pytest.raises(ValueError, match="The fit had 2 inputs"):
        model.transform(rows)
    with pytest.raises(ValueError, match="inputs of the steps to come"):
        model.forecast(3)
    with pytest.raises(ValueError, match="has 1 columns, but the fit had 2"):
        model.transform(rows, inputs=inputs[:, :1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_unstable_starts_and_data(X):
    """An explosive start is left by EM; explosive data are described."""
    model = fit(X, init_params={"transition_matrix": 3.0 * np.eye(2)}, max_iter=30)
    assert np.isfinite(model.log_likelihood_)
    rng = np.random.default_rng(0)
    growing = 1.1 ** np.arange(60)[:, None] + rng.normal(size=(60, 1))
    model = fit(growing, n_states=1)
    np.testing.assert_allclose(model.transition_matrix_, [[1.1]], rtol=1e-2)


def test_states_that_leave_float64(X):
    huge = np.diag([1e200, 1e200])
    with pytest.raises(ValueError, match="float64"):
        fit(X, fixed={"transition_matrix": huge})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_more_states_than_the_data_have(make):
    """Rank-deficient noise and states without use do no harm."""
    X, _ = make((40,), n_states=1, n_features=1)
    model = fit(X, n_states=4, max_iter=50)
    assert np.isfinite(model.forecast(3, return_std=True)).all()
    column = np.hstack((X, X))
    model = fit(column, n_states=1, max_iter=50)
    assert np.isfinite(model.forecast(3, return_std=True)).all()
