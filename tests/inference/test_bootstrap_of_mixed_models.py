"""Bootstrap of mixed models: levels are drawn as a whole, or responses from the model."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emlearn import LinearMixedModelEM
from emlearn.inference import bootstrap


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def one_way(n_levels=15, n_rows=4, seed=0):
    rng = np.random.default_rng(seed)
    level = np.repeat(np.arange(n_levels), n_rows)
    y = 5.0 + rng.normal(size=n_levels)[level] + rng.normal(size=len(level))
    return pd.DataFrame({"level": level}), y


def test_levels_are_drawn():
    """The intercept is the mean of the means of the levels."""
    X, y = one_way()
    model = LinearMixedModelEM("level").fit(X, y)
    result = bootstrap(model, X, y, n_resamples=200, random_state=0)
    expected = np.std(y.reshape(15, 4).mean(axis=1)) / np.sqrt(15)
    assert_allclose(result.standard_errors["intercept"], expected, rtol=0.15)
    assert set(result.estimates) == {"level", "residual", "intercept"}


def test_responses_are_drawn():
    X, y = one_way()
    model = LinearMixedModelEM("level").fit(X, y)
    result = bootstrap(model, X, y, kind="parametric", n_resamples=200, random_state=0)
    between, within = model.variance_components_["level"][0, 0], model.variance_components_
    expected = np.sqrt((between + within["residual"] / 4.0) / 15.0)
    assert_allclose(result.standard_errors["intercept"], expected, rtol=0.15)
    # REML of balanced rows is without bias, and the residual sum of squares is chi-square.
    assert_allclose(
        result.standard_errors["residual"], within["residual"] * np.sqrt(2 / 45), rtol=0.15
    )
    for name in ("level", "residual"):
        error = np.max(result.standard_errors[name])
        assert np.abs(np.max(result.bias[name])) < 3.0 * error / np.sqrt(200)


def test_a_level_that_is_drawn_twice_is_two_levels():
    """Also those within it; by a table with labels of its own."""
    rng = np.random.default_rng(1)
    school = np.repeat(list("abcde"), 6)
    pupil = np.repeat(np.arange(15), 2)
    x, y = rng.normal(size=(2, 30))
    y += rng.normal(size=15)[pupil] + np.repeat(rng.normal(size=5), 6)
    X = pd.DataFrame({"x": x, "school": school, "pupil": pupil})
    settings = {"groups": ["school", "pupil"], "random_slopes": {"school": ["x"]}}
    model = LinearMixedModelEM(**settings, covariance="diag").fit(X, y)
    resampling = model._resampling(X, y, None, None, "nonparametric")
    assert (resampling.what, resampling.n_units) == ("level", 5)
    copies = np.array([2.0, 0.0, 1.0, 3.0, 1.0])
    refit = resampling.fit_copies(copy.deepcopy(model), copies)
    draws = np.repeat(np.arange(5), copies.astype(int))
    tables = []
    for draw, unit in enumerate(draws):
        rows = X.assign(y=y)[school == "abcde"[unit]]
        tables.append(rows.assign(school=draw, pupil=rows["pupil"] + 100 * draw))
    table = pd.concat(tables)
    expected = LinearMixedModelEM(**settings, covariance="diag")
    expected.fit(table[["x", "school", "pupil"]], table["y"])
    assert_allclose(refit.log_likelihood_, expected.log_likelihood_, rtol=1e-10)
    assert_allclose(refit.coef_, expected.coef_, rtol=1e-6)
    for name, value in expected.variance_components_.items():
        assert_allclose(refit.variance_components_[name], value, atol=1e-5)
    assert refit.random_effects_["school"].levels.tolist()[:3] == ["a", ("a", 1), "c"]
    # A statistic may predict.
    known = refit.random_effects_["school"].of("a")
    effect = refit.predict(X)[:1] - refit.predict(X, random_effects="none")[:1]
    own = refit.random_effects_["pupil"].of(0)
    assert_allclose(effect, known @ [1.0, x[0]] + own)


def test_groups_of_levels():
    rng = np.random.default_rng(2)
    X, y = one_way()
    region = np.array(list("abcde"))[X["level"] % 5]
    model = LinearMixedModelEM("level").fit(X, y)
    y = y + 0.0
    y[rng.integers(60, size=3)] = np.nan
    resampling = model._resampling(X, y, None, region, "nonparametric")
    assert resampling.n_units == 5
    taken = resampling.fit_copies(LinearMixedModelEM("level"), np.array([0.0, 2.0, 0.0, 0.0, 0.0]))
    assert len(taken.random_effects_["level"].levels) == 2 * 3


@pytest.mark.parametrize("kind", ["nonparametric", "parametric"])
def test_groups_that_were_given_to_fit(kind):
    rng = np.random.default_rng(3)
    group, x = np.repeat(np.arange(10), 4), rng.normal(size=40)
    y = x + rng.normal(size=10)[group] + rng.normal(size=40)
    by_array = LinearMixedModelEM().fit(x[:, None], y, groups=group)
    table = np.column_stack([x, group])
    by_column = LinearMixedModelEM({"groups": 1}).fit(table, y)
    settings = {"kind": kind, "n_resamples": 5, "random_state": 0}
    a = bootstrap(by_array, x[:, None], y, groups=group, **settings)
    b = bootstrap(by_column, table, y, **settings)
    for name, value in b.replicates.items():
        assert_allclose(a.replicates[name], value)


def test_rows_without_random_effects():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 1))
    y = x[:, 0] + rng.normal(size=50)
    model = LinearMixedModelEM(method="ml").fit(x, y)
    result = bootstrap(model, x, y, n_resamples=150, random_state=0)
    assert_allclose(
        result.standard_errors["coef"], model.fixed_effects_.standard_error[1], rtol=0.2
    )


@pytest.mark.parametrize("kind", ["nonparametric", "parametric"])
def test_rows_without_responses_and_intervals(kind):
    X, y = one_way()
    y[::7] = np.nan
    model = LinearMixedModelEM("level").fit(X, y)
    result = bootstrap(model, X, y, kind=kind, n_resamples=30, random_state=0)
    assert result.n_failed == 0
    if kind == "nonparametric":
        low, high = result.confidence_interval(0.9, "bca")["intercept"]
        assert low < model.intercept_ < high


@pytest.mark.parametrize("weights", ["copies", "precision"])
def test_weights(weights):
    """Drawn responses have the variances that the weights say."""
    X, y = one_way(40, 4)
    weight = np.tile([1.0, 2.0, 3.0, 4.0], 40)
    model = LinearMixedModelEM("level", weights=weights).fit(X, y, weight)
    settings = {"kind": "parametric", "n_resamples": 100, "random_state": 0}
    result = bootstrap(model, X, y, sample_weight=weight, **settings)
    for name in ("level", "residual"):
        error = np.max(result.standard_errors[name])
        assert np.abs(np.max(result.bias[name])) < 3.0 * error / 10.0


def test_related_levels():
    X, y = one_way(30, 2)
    # Litters of two that have half in common.
    kinship = np.kron(np.eye(15), [[1.0, 0.5], [0.5, 1.0]])
    model = LinearMixedModelEM("level", kinship=kinship).fit(X, y)
    result = bootstrap(model, X, y, kind="parametric", n_resamples=100, random_state=0)
    design = np.kron(np.eye(30), np.ones((2, 1)))
    components = model.variance_components_
    V = components["level"][0, 0] * design @ kinship @ design.T
    V += components["residual"] * np.eye(60)
    expected = np.sqrt(1.0 / np.linalg.solve(V, np.ones(60)).sum())
    assert_allclose(result.standard_errors["intercept"], expected, rtol=0.15)
    assert "heritability" in result.estimates
    with pytest.raises(ValueError, match=r"'level' are related by its kinship.*'parametric'"):
        bootstrap(model, X, y)


def test_what_cannot_be_drawn():
    rng = np.random.default_rng(5)
    a, b = np.divmod(np.arange(48), 6)
    X = pd.DataFrame({"a": a, "b": b, "x": rng.normal(size=48)})
    y = rng.normal(size=8)[a] + rng.normal(size=6)[b] + rng.normal(size=48)
    crossed = LinearMixedModelEM(["a", "b"]).fit(X, y)
    with pytest.raises(ValueError, match=r"level 0 of 'a' has rows in several levels of 'b'"):
        bootstrap(crossed, X, y)
    assert bootstrap(crossed, X, y, kind="parametric", n_resamples=3).n_failed == 0
    one = LinearMixedModelEM("a").fit(X, y)
    with pytest.raises(ValueError, match="'a' has rows in several levels of groups"):
        bootstrap(one, X, y, groups=b)
    with pytest.raises(ValueError, match="a random effect has no parts"):
        bootstrap(one, X, y, kind="bayesian")
    with pytest.raises(ValueError, match="groups are not part of the model"):
        bootstrap(one, X, y, groups=b, kind="parametric")
    columns = LinearMixedModelEM(Z={"z": ["x"]}).fit(X[["x"]], y)
    with pytest.raises(ValueError, match="'z' concern all rows"):
        bootstrap(columns, X[["x"]], y)
    assert bootstrap(columns, X[["x"]], y, kind="parametric", n_resamples=3).n_failed == 0
    with pytest.raises(ValueError, match="sample_weight must hold integers"):
        bootstrap(one, X, y, sample_weight=np.full(48, 1.5), kind="parametric")
