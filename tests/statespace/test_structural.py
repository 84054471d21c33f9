"""StructuralTimeSeriesEM: published values, statsmodels, direct maximization, enumeration."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import estimator_checks

from emlearn import StructuralTimeSeriesEM
from emlearn.engine.blocks import BlockMapper, Threads
from emlearn.statespace._structural_model import Structure

AIR = """112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149
170 170 158 133 114 140 145 150 178 163 172 178 199 199 184 162 146 166
171 180 193 181 183 218 230 242 209 191 172 194 196 196 236 235 229 243
264 272 237 211 180 201 204 188 235 227 234 264 302 293 259 229 203 229
242 233 267 269 270 315 364 347 312 274 237 278 284 277 317 313 318 374
413 405 355 306 271 306 315 301 356 348 355 422 465 467 404 347 305 336
340 318 362 348 363 435 491 505 404 359 310 337 360 342 406 396 420 472
548 559 463 407 362 405 417 391 419 461 472 535 622 606 508 461 390 432"""


@pytest.fixture(scope="module")
def air():
    """Logarithms of monthly passengers, 1949 to 1960 (data set AirPassengers of R)."""
    return np.log(np.array(AIR.split(), float))[:, None]


def model_of(*arguments, **settings):
    return StructuralTimeSeriesEM(*arguments, random_state=0, **settings)


def test_local_level_of_the_nile(nile):
    """Durbin and Koopman (2012), section 2.10.3: 15098.5 and 1469.2."""
    model = model_of(tol=1e-10).fit(nile)
    assert_allclose(model.irregular_variance_, [15098.52], rtol=2e-6)
    assert_allclose(model.level_variance_, [1469.176], rtol=4e-6)
    assert_allclose(model.log_likelihood_, -632.5456251, rtol=1e-9)
    assert model.converged_
    assert_allclose(model.bic(nile), -2 * model.log_likelihood_ + 2 * np.log(100))


@pytest.mark.parametrize(
    ("form", "level", "seasonal", "irregular", "log_likelihood"),
    [
        ("dummy", 0.000699449, 6.41291e-5, 0.000129511, 229.3666028),
        ("trigonometric", 0.000298277, 3.557693e-6, 0.000234356, 228.1601071),
    ],
)
def test_air_passengers(air, form, level, seasonal, irregular, log_likelihood):
    """UnobservedComponents of statsmodels 0.15 with use_exact_diffuse=True; it counts log(2 pi) / 2
    for each of the 13 diffuse states too. The slope does not move."""
    model = model_of("local linear", seasonal=12, seasonal_form=form, tol=1e-10).fit(air)
    assert_allclose(model.log_likelihood_, log_likelihood, atol=1e-5)
    assert_allclose(model.level_variance_, [level], rtol=1e-4)
    assert_allclose(model.seasonal_variance_, [seasonal], rtol=1e-4)
    assert_allclose(model.irregular_variance_, [irregular], rtol=1e-4)
    assert model.slope_variance_[0] < 1e-9
    assert model.converged_


@pytest.mark.parametrize(
    "settings",
    [
        {"trend": "local level", "cycle": (3.0, 20.0)},
        {"trend": "constant", "autoregressive": 2},
    ],
)
def test_no_better_point_nearby(nile, settings):
    """Quasi-Newton steps on the likelihood itself find nothing better."""
    model = model_of(tol=1e-10, **settings).fit(nile)
    inner, params = model._fitted_model()
    data = inner.prepare(model._read_sequences(nile, None, None, None))

    def loss(vector):
        try:
            with BlockMapper(inner, data, Threads(1)) as e_step:
                return -e_step(inner.from_vector(vector, params))[1]
        except ValueError:
            return 1e10

    begin = inner.to_vector(params)
    best = minimize(loss, begin + 0.01, method="Nelder-Mead", options={"maxiter": 400})
    assert -best.fun < model.log_likelihood_ + 1e-4


CASES = [
    {"trend": "local linear", "cycle": (3.0, 9.0)},
    {"trend": "smooth", "seasonal": 3, "autoregressive": 2},
    {"trend": None, "autoregressive": 1, "irregular": False},
    {"trend": "drift", "seasonal": 4, "seasonal_form": "trigonometric", "seasonal_moves": False},
    {"trend": "deterministic", "autoregressive": 1},
]


@pytest.mark.parametrize("settings", CASES)
def test_em_climbs_and_gradients(settings):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=30).cumsum() + rng.normal(size=30))[:, None]
    X[[3, 4, 20]] = np.nan
    inputs = rng.normal(size=(30, 1))
    with pytest.warns(ConvergenceWarning):
        model = model_of(max_iter=1, **settings).fit(X, inputs=inputs)
    inner, params = model._fitted_model()
    data = inner.prepare(model._read_sequences(X, None, inputs, None))

    def evaluate(own):
        with BlockMapper(inner, data, Threads(1)) as e_step:
            return e_step(own)

    vector = inner.to_vector(params)
    slope, _ = inner.curvature(evaluate(params)[0], params)
    numeric = []
    for step in 1e-5 * np.eye(len(vector)):
        above, below = (
            evaluate(inner.from_vector(vector + side * step, params))[1] for side in (1, -1)
        )
        numeric.append((above - below) / 2e-5)
    assert_allclose(slope, numeric, atol=2e-5 * max(1.0, np.abs(slope).max()))
    last = -np.inf
    for _ in range(10):
        statistics, objective = evaluate(params)
        assert objective >= last - 1e-8 * abs(objective)
        last, params = objective, inner.m_step(statistics, params)


def test_likelihood_of_stationary_components_is_that_of_the_joint_gaussian(condition):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(8, 1)).cumsum(axis=0)
    X[2] = np.nan
    settings = {"autoregressive": 2, "cycle": (3.0, 9.0), "max_iter": 0}
    model = model_of(None, **settings).fit(X)
    inner, params = model._fitted_model()
    none = np.empty((8, 0))
    _, _, density = condition(inner.system(params), X, none, none)
    assert_allclose(model.score(X) * 8, density, rtol=1e-10)


def test_components_and_forecasts(air):
    model = model_of("local linear", seasonal=12).fit(air[:-24])
    found = model.components(air[:-24])
    total = found.trend + found.seasonal
    residual = air[:-24, 0] - total
    assert np.abs(residual).max() < 4.0 * np.sqrt(model.irregular_variance_[0])
    assert (found.std.trend > 0.0).all()
    assert_allclose(found.seasonal[-12:].sum(), 0.0, atol=0.02)
    ahead, deviation = model.forecast(24, return_std=True)
    assert np.sqrt(np.mean((ahead - air[-24:]) ** 2)) < 0.08
    assert (np.diff(deviation[:, 0]) > 0.0).all()
    holes = air.copy()
    holes[30:40] = np.nan
    filled = model_of("local linear", seasonal=12).fit(holes).components(holes)
    assert np.abs(filled.trend + filled.seasonal - air[:, 0])[30:40].max() < 0.2


def test_effects_of_inputs_and_held_parameters(nile):
    """The dam at Aswan, 1899: a step of about -248 and no other change of the level."""
    dam = (np.arange(100) >= 28).astype(float)
    model = model_of(tol=1e-9).fit(nile, inputs=dam)
    assert_allclose(model.regression_coefficients_, [-248.0], atol=3.0)
    assert model.level_variance_[0] < 5.0
    held = model_of(fixed={"level_variance": [1469.0]}).fit(nile)
    assert held.level_variance_[0] == 1469.0
    assert held._n_parameters() == 1
    found = model_of(tol=1e-10).fit(nile).inference(nile)
    assert_allclose(found.standard_errors["level_variance"], [1280.0], rtol=5e-3)
    assert_allclose(found.standard_errors["irregular_variance"], [3146.0], rtol=5e-3)


def test_units(nile):
    one, other = model_of(tol=1e-10).fit(nile), model_of(tol=1e-10).fit(1e-6 * nile)
    assert_allclose(other.level_variance_, 1e-12 * one.level_variance_, rtol=1e-5)
    assert_allclose(other.log_likelihood_, one.log_likelihood_ + 99 * np.log(1e6), rtol=1e-9)


def test_several_series_are_one_sum_of_likelihoods(nile):
    model = model_of(tol=1e-9).fit([nile[:50], nile[50:]])
    assert_allclose(model.score_samples([nile[:50], nile[50:]]).sum(), model.log_likelihood_)
    weighted = model_of(tol=1e-9).fit([nile[:50]], sample_weight=[2.0])
    copies = model_of(tol=1e-9).fit([nile[:50], nile[:50]])
    assert_allclose(weighted.level_variance_, copies.level_variance_, rtol=1e-4)


def test_contract_of_parameters(air):
    model = model_of("local linear", seasonal=12).fit(air)
    inner, params = model._fitted_model()
    again = inner.from_vector(inner.to_vector(params), params)
    assert isinstance(again, Structure)
    for name, value in params.values.items():
        assert_allclose(again.values[name], value, rtol=1e-9)


def test_conventions_of_scikit_learn(nile):
    """The checks of scikit-learn that make their own tables have several columns."""
    parameters = inspect.signature(StructuralTimeSeriesEM).parameters
    assert set(StructuralTimeSeriesEM._parameter_constraints) == set(parameters)
    for name in parameters:
        assert f"    {name} : " in StructuralTimeSeriesEM.__doc__
        value = object()
        assert StructuralTimeSeriesEM(**{name: value}).get_params()[name] is value
    for name in (
        "check_no_attributes_set_in_init",
        "check_estimators_unfitted",
        "check_valid_tag_types",
        "check_mixin_order",
    ):
        check = getattr(estimator_checks, name, None)
        if check is not None:
            check("StructuralTimeSeriesEM", StructuralTimeSeriesEM())
    model = model_of().fit(nile)
    again = clone(model).fit(pd.DataFrame({"flow": nile[:, 0]}), y=["a"] * 100)
    assert_array_equal(again.level_variance_, model.level_variance_)
    assert list(again.feature_names_in_) == ["flow"]
    with pytest.raises(ValueError, match="feature names"):
        again.forecast(2, pd.DataFrame({"other": nile[:, 0]}))
    assert_array_equal(pickle.loads(pickle.dumps(model)).forecast(3), model.forecast(3))
    assert model.fit(nile[:60]).fit(nile).level_variance_ == again.level_variance_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trend": "linear"}, "trend"),
        ({"trend": None}, "There is no component"),
        ({"seasonal": 1}, "seasonal"),
        ({"cycle": (1.0, 5.0)}, "at least 2 rows"),
        ({"cycle": 5.0}, "cycle"),
        ({"cycle": (5.0, 5.0)}, "cycle"),
        ({"autoregressive": -1}, "autoregressive"),
        ({"seasonal": 60}, "60 states"),
        ({"fixed": {"slope_variance": [0.1]}}, "slope_variance"),
    ],
)
def test_bad_hyperparameters(nile, settings, message):
    with pytest.raises(ValueError, match=message):
        model_of(**settings).fit(nile[:50])


def test_bad_rows(nile):
    with pytest.raises(ValueError, match="has one column, but X has 2"):
        model_of().fit(np.hstack((nile, nile)))
    with pytest.raises(ValueError, match="no observed entry"):
        model_of().fit(np.full((20, 1), np.nan))
    with pytest.raises(ValueError, match="constant"):
        model_of().fit(np.ones((20, 1)))
    with pytest.raises(ValueError, match="n_samples = 1"):
        model_of().fit(nile[:1])
    frame = pd.DataFrame({"flow": nile[:, 0]})
    assert model_of().fit(frame).forecast(2).shape == (2, 1)
