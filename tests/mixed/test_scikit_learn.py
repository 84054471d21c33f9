"""The checks of scikit-learn, pipelines, searches and tables of all kinds."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from emlearn import LinearMixedModelEM
from emlearn.datasets import load_sleepstudy


def checks():
    for options in ({}, {"weights": "precision"}, {"method": "ml"}, {"Z": {"a": [0]}}):
        title = ", ".join(f"{name}={value}" for name, value in options.items()) or "default"
        for instance, check in estimator_checks_generator(LinearMixedModelEM(**options)):
            name = getattr(check, "func", check).__name__
            if options and "sample_weight" not in name and "Z" not in options:
                continue
            yield pytest.param(instance, check, id=f"{title}-{name}")


@pytest.mark.parametrize(("estimator", "check"), checks())
def test_scikit_learn(estimator, check):
    name = getattr(check, "func", check).__name__
    if estimator.weights == "precision" and "equivalence" in name:
        pytest.xfail("a weight that divides a variance is not the same as copies")
    with warnings.catch_warnings():
        # Some of the responses of the checks are columns of X.
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.fixture(scope="module")
def sleepstudy():
    return load_sleepstudy(return_X_y=True, as_frame=True)


@pytest.fixture
def model():
    return LinearMixedModelEM("Subject", random_slopes=["Days"])


def assert_same_fit(a, b, **tolerance):
    tolerance = tolerance or {"rtol": 1e-12}
    assert_allclose(a.log_likelihood_, b.log_likelihood_, **tolerance)
    assert_allclose(a.intercept_, b.intercept_, **tolerance)
    assert_allclose(a.coef_, b.coef_, **tolerance)
    components = zip(a.variance_components_.values(), b.variance_components_.values(), strict=True)
    for left, right in components:
        assert_allclose(left, right, **tolerance)


# ---- parameters, copies and second fits -----------------------------------------------------


def test_clone_and_set_params(model, sleepstudy):
    other = clone(model)
    assert other.get_params() == model.get_params()
    changed = other.set_params(random_slopes=None, covariance="diag", method="ml")
    assert changed is other
    assert changed.fit(*sleepstudy).variance_components_["Subject"].shape == (1, 1)


def test_fit_changes_no_parameters(model, sleepstudy):
    before = dict(model.get_params())
    model.fit(*sleepstudy)
    assert model.get_params() == before


def test_pickle(model, sleepstudy):
    X, y = sleepstudy
    model.fit(X, y)
    other = pickle.loads(pickle.dumps(model))
    for left, right in zip(
        model.predict(X, return_std=True), other.predict(X, return_std=True), strict=True
    ):
        assert_array_equal(left, right)
    assert_array_equal(
        other.inference(X, y).covariance,
        model.inference(X, y).covariance,
    )


def test_a_second_fit_is_a_first_one(model, sleepstudy):
    X, y = sleepstudy
    fresh = clone(model).fit(X[:90], y[:90])
    again = model.fit(X.assign(Days=-X["Days"]), 3.0 * y).fit(X[:90], y[:90])
    assert vars(again).keys() == vars(fresh).keys()
    assert_same_fit(again, fresh, rtol=0.0)


def test_a_second_fit_forgets_the_heritability(sleepstudy):
    X, y = sleepstudy
    names = sorted(set(X["Subject"]))
    kinship = pd.DataFrame(np.eye(len(names)), names, names)
    model = LinearMixedModelEM("Subject", kinship=kinship).fit(X, y)
    assert 0.0 < model.heritability_ < 1.0
    assert not hasattr(model.set_params(kinship=None).fit(X, y), "heritability_")


def test_nothing_is_there_before_fit(model, sleepstudy):
    X, y = sleepstudy
    for call in (
        lambda: model.predict(X),
        lambda: model.inference(X, y),
        lambda: model.fixed_effects(X, y),
        lambda: model.heritability(X, y),
    ):
        with pytest.raises(NotFittedError):
            call()


def test_names_of_features(model, sleepstudy):
    X, y = sleepstudy
    model.fit(X, y)
    assert model.feature_names_in_.tolist() == ["Days", "Subject"]
    assert model.n_features_in_ == 2
    assert model.fixed_names_ == ("Days",)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns={"Days": "Nights"}))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[["Subject", "Days"]])
    with pytest.raises(ValueError, match="Subject"):
        model.predict(X[["Days"]])


def test_html_repr(model, sleepstudy):
    assert "LinearMixedModelEM" in model._repr_html_()
    assert "fitted" in model.fit(*sleepstudy)._repr_html_()
    assert "Subject" in repr(model)


# ---- pipelines --------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_pipeline_that_scales_numbers_and_passes_groups(sleepstudy, output, model):
    library = pytest.importorskip(output)
    X, y = sleepstudy
    X = library.DataFrame({"Days": X["Days"].to_numpy(float), "Subject": codes(X)})
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["Days"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform=output)
    pipeline = make_pipeline(columns, model).fit(X, y)
    plain = clone(model).fit(X, y)
    assert_allclose(pipeline.predict(X), plain.predict(X), rtol=1e-6)
    assert_allclose(pipeline.score(X, y), plain.score(X, y), rtol=1e-8)
    deviation = np.std(X["Days"].to_numpy())
    assert_allclose(pipeline[-1].coef_ / deviation, plain.coef_, rtol=1e-7)


def test_pipeline_that_encodes_a_factor(reference):
    rows = pd.DataFrame(reference("mixed_data")["ergoStool"]["columns"])
    y = rows.pop("effort")
    encoder = OneHotEncoder(drop="first", sparse_output=False)
    columns = ColumnTransformer(
        [("type", encoder, ["Type"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipeline = make_pipeline(columns, LinearMixedModelEM("Subject")).fit(rows, y)
    (published,) = (
        entry["values"]
        for entry in reference("mixed_models")["entries"]
        if entry["name"] == "lmer_ergoStool_REML"
    )
    found = pipeline[-1]
    assert found.fixed_names_ == ("Type_T2", "Type_T3", "Type_T4")
    assert_allclose([found.intercept_, *found.coef_], published["fixef"], rtol=1e-7)


def test_global_output_does_not_matter(model, sleepstudy):
    X, y = sleepstudy
    expected = model.fit(X, y).predict(X)
    with sklearn.config_context(transform_output="pandas"):
        found = clone(model).fit(X, y).predict(X)
    assert isinstance(found, np.ndarray)
    assert_array_equal(found, expected)


# ---- validation -------------------------------------------------------------------------------


def test_search(model, sleepstudy):
    X, y = sleepstudy
    search = GridSearchCV(
        model,
        {
            "covariance": ["full", "diag"],
            "method": ["reml", "ml"],
            "random_slopes": [None, ["Days"]],
            "random_effects": ["known", "none"],
        },
        cv=KFold(3, shuffle=True, random_state=0),
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_["random_slopes"] == ["Days"]
    assert search.best_params_["random_effects"] == "known"
    assert search.best_score_ > 0.7


def test_known_levels_help_and_new_levels_are_no_obstacle(model, sleepstudy):
    """Predictions of new subjects are those of the population: by least squares, here."""
    X, y = sleepstudy
    shuffled = KFold(6, shuffle=True, random_state=1)
    known = cross_val_score(model, X, y, cv=shuffled)
    none = cross_val_score(clone(model).set_params(random_effects="none"), X, y, cv=shuffled)
    assert known.min() > none.max()
    new = cross_val_score(model, X, y, cv=GroupKFold(6), groups=X["Subject"])
    # The design is balanced: generalized least squares are ordinary ones.
    ols = cross_val_score(LinearRegression(), X[["Days"]], y, cv=GroupKFold(6), groups=X["Subject"])
    assert_allclose(new, ols, rtol=1e-8)


def test_cross_validated_predictions(model, sleepstudy):
    X, y = sleepstudy
    found = cross_val_predict(model, X, y, cv=GroupKFold(6), groups=X["Subject"])
    assert found.shape == (180,)
    for train, test in GroupKFold(6).split(X, y, X["Subject"]):
        fold = clone(model).fit(X.iloc[train], y.iloc[train])
        assert_array_equal(fold.predict(X.iloc[test]), found[test])


def test_metadata_routing(sleepstudy):
    X, y = sleepstudy
    weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    model = LinearMixedModelEM("Subject")
    with sklearn.config_context(enable_metadata_routing=True):
        routed = model.set_fit_request(sample_weight=True, groups=False)
        routed.set_score_request(sample_weight=True)
        splitter = GroupKFold(3)
        found = cross_validate(
            routed,
            X,
            y,
            cv=splitter,
            params={"sample_weight": weight, "groups": X["Subject"]},
            return_estimator=True,
            error_score="raise",
        )
        scaled = make_pipeline("passthrough", clone(routed)).fit(X, y, sample_weight=weight)
    split = splitter.split(X, y, X["Subject"])
    for (train, test), own, score in zip(
        split, found["estimator"], found["test_score"], strict=True
    ):
        direct = LinearMixedModelEM("Subject").fit(X.iloc[train], y.iloc[train], weight[train])
        assert_same_fit(own, direct, rtol=0.0)
        assert score == direct.score(X.iloc[test], y.iloc[test], weight[test])
    assert_same_fit(scaled[-1], clone(model).fit(X, y, sample_weight=weight), rtol=0.0)


def test_groups_that_are_routed(sleepstudy):
    """`groups` of fit and of the splitter have one name; predict does not know the levels."""
    X, y = sleepstudy
    model = LinearMixedModelEM()
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_val_score(
            model.set_fit_request(groups=True),
            X[["Days"]],
            y,
            cv=GroupKFold(3),
            params={"groups": X["Subject"]},
            error_score="raise",
        )
    named = LinearMixedModelEM("Subject")
    expected = cross_val_score(named, X, y, cv=GroupKFold(3), groups=X["Subject"])
    assert_allclose(found, expected, rtol=1e-12)


# ---- tables -----------------------------------------------------------------------------------


def codes(X):
    return np.unique(X["Subject"], return_inverse=True)[1]


TABLES = {
    "array of numbers": lambda X: np.column_stack([X["Days"], codes(X)]),
    "array of objects": lambda X: X.to_numpy(object),
    "list of rows": lambda X: X.to_numpy(object).tolist(),
    "text": lambda X: X.assign(Subject=X["Subject"].astype(str)),
    "string dtype": lambda X: X.assign(Subject=X["Subject"].astype("string")),
    "category": lambda X: X.assign(Subject=X["Subject"].astype("category")),
    "category with unused levels": lambda X: X.assign(
        Subject=pd.Categorical(X["Subject"], ["none", *sorted(set(X["Subject"]))[::-1]])
    ),
    "integer": lambda X: X.assign(Subject=codes(X)),
    "unsigned byte": lambda X: X.assign(Subject=codes(X).astype(np.uint8)),
    "nullable integer": lambda X: X.assign(Subject=pd.array(codes(X), dtype="Int64")),
    "whole floats": lambda X: X.assign(Subject=codes(X).astype(float)),
    "dates": lambda X: X.assign(
        Subject=pd.Timestamp("2020-01-01") + pd.to_timedelta(codes(X), "D")
    ),
    "tuples": lambda X: X.assign(Subject=[("s", int(c)) for c in codes(X)]),
    "float32 numbers": lambda X: X.assign(Days=X["Days"].astype(np.float32)),
    "nullable numbers": lambda X: X.assign(Days=X["Days"].astype("Int64")),
    "shuffled index": lambda X: X.set_index(np.arange(len(X))[::-1]),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind, sleepstudy):
    X, y = sleepstudy
    table = TABLES[kind](X)
    named = hasattr(table, "columns")
    model = LinearMixedModelEM(
        "Subject" if named else 1, random_slopes=["Days" if named else 0]
    ).fit(table, y)
    expected = LinearMixedModelEM("Subject", random_slopes=["Days"]).fit(X, y)
    assert_same_fit(model, expected, rtol=1e-8)
    assert_allclose(model.predict(table), expected.predict(X), rtol=1e-8)


@pytest.mark.parametrize("dtype", ["String", "Categorical", "Int32"])
def test_polars(dtype, sleepstudy):
    pl = pytest.importorskip("polars")
    X, y = sleepstudy
    table = pl.DataFrame(
        {"Days": X["Days"].to_numpy(), "Subject": X["Subject"].astype(str).to_list()}
    ).with_columns(pl.col("Subject").cast(getattr(pl, dtype)))
    model = LinearMixedModelEM("Subject", random_slopes=["Days"])
    model.fit(table, pl.Series(y.to_numpy()))
    expected = clone(model).fit(X, y)
    assert_same_fit(model, expected, rtol=1e-10)
    assert_allclose(model.predict(table), expected.predict(X), rtol=1e-10)


RESPONSES = {
    "series": lambda y: y,
    "array": lambda y: y.to_numpy(),
    "list": lambda y: y.tolist(),
    "series with another index": lambda y: y.set_axis(np.arange(len(y))[::-1]),
    "nullable series": lambda y: y.astype("Float64"),
    "objects": lambda y: y.astype(object),
}


@pytest.mark.parametrize("kind", RESPONSES)
def test_responses(kind, sleepstudy):
    X, y = sleepstudy
    expected = LinearMixedModelEM("Subject").fit(X, y.to_numpy())
    assert_same_fit(LinearMixedModelEM("Subject").fit(X, RESPONSES[kind](y)), expected, rtol=0)


def test_response_of_integers(sleepstudy):
    X, y = sleepstudy
    whole = y.round().astype(int)
    expected = LinearMixedModelEM("Subject").fit(X, whole.astype(float))
    assert_same_fit(LinearMixedModelEM("Subject").fit(X, whole), expected, rtol=0)


def test_response_that_is_a_column(sleepstudy):
    X, y = sleepstudy
    with pytest.warns(sklearn.exceptions.DataConversionWarning, match="column-vector"):
        found = LinearMixedModelEM("Subject").fit(X, y.to_frame())
    assert_same_fit(found, LinearMixedModelEM("Subject").fit(X, y), rtol=0)


def test_levels_are_those_of_their_labels(sleepstudy):
    X, y = sleepstudy
    effects = LinearMixedModelEM("Subject").fit(X, y).random_effects_["Subject"]
    frame = effects.to_frame()
    assert list(frame.index) == sorted(set(X["Subject"]))
    assert_array_equal(frame["intercept"], effects.effects[:, 0])
    first = X["Subject"].iloc[0]
    assert_array_equal(effects.of(first), effects.effects[list(frame.index).index(first)])
