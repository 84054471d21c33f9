"""FiniteMixtureEM as a scikit-learn estimator."""

import inspect

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn import FiniteMixtureEM
from emlearn.distributions import Categorical, Gaussian, Multinomial, Poisson

FAST = {"init_params": "rows", "random_state": 0}
CONFIGURATIONS = [
    FiniteMixtureEM(),
    FiniteMixtureEM(family=Gaussian("diag"), **FAST),
    FiniteMixtureEM(2, family="gaussian", n_init=2, n_jobs=2, **FAST),
    FiniteMixtureEM(1, family="poisson", warm_start=True, **FAST),
    FiniteMixtureEM(2, family="categorical", **FAST),
    FiniteMixtureEM(2, family="multinomial", **FAST),
    FiniteMixtureEM(2, family="dirichlet_multinomial", **FAST),
    FiniteMixtureEM(2, family="negative_binomial", **FAST),
    FiniteMixtureEM(2, family="zero_inflated", **FAST),
    FiniteMixtureEM(2, family="von_mises", **FAST),
]

NO_INTEGERS = "the rows of this check are no counts or codes, which is an error as it should be"
#: scikit-learn makes integers for some checks of estimators with the tag `categorical`.
FOR_COUNTS = dict.fromkeys(
    [
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
        "check_estimator_sparse_array",
        "check_estimator_sparse_matrix",
    ],
    NO_INTEGERS,
)


def expected_failures(estimator):
    if not get_tags(estimator).input_tags.categorical:
        return {}
    sparse = get_tags(estimator).input_tags.sparse
    return {k: v for k, v in FOR_COUNTS.items() if sparse or "dense" in k}


@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=expected_failures)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_parameter_is_validated_documented_and_kept():
    parameters = inspect.signature(FiniteMixtureEM).parameters
    assert set(FiniteMixtureEM._parameter_constraints) == set(parameters)
    for name in parameters:
        assert f"    {name} : " in FiniteMixtureEM.__doc__
        value = object()
        assert FiniteMixtureEM(**{name: value}).get_params()[name] is value


def test_every_attribute_is_documented():
    X = np.arange(12) % 5
    y = np.where(np.arange(12) < 6, X > 2, -1)
    mixture = FiniteMixtureEM(family="poisson", use_labels=True).fit(X[:, None], y)
    attributes = {name for name in vars(mixture) if name.endswith("_")}
    section = FiniteMixtureEM.__doc__.split("Attributes\n")[1].split("See Also")[0]
    documented = {
        line.split(" : ")[0].strip()
        for line in section.splitlines()
        if " : " in line and line[4:5] != " "
    }
    assert attributes | {"feature_names_in_", "levels_", "means_", "covariances_"} == documented


def test_tags():
    tags = get_tags(FiniteMixtureEM(family="multinomial"))
    assert tags.input_tags.sparse
    assert tags.input_tags.allow_nan
    assert tags.input_tags.positive_only
    assert not get_tags(FiniteMixtureEM(family="poisson")).input_tags.sparse
    assert not get_tags(FiniteMixtureEM(family="gaussian")).input_tags.positive_only
    assert not get_tags(FiniteMixtureEM(family="unknown")).input_tags.sparse


@pytest.mark.parametrize("value", ["weibull", 3, None])
def test_family_is_validated(value):
    with pytest.raises(ValueError, match="family must be one of 'bernoulli', "):
        FiniteMixtureEM(family=value).fit(np.ones((4, 1)))


def test_clones_share_nothing():
    mixture = FiniteMixtureEM(2, family=Categorical(alpha=0.5), random_state=0)
    copy = clone(mixture)
    assert copy.family == mixture.family
    assert repr(copy) == repr(mixture)


# ---- tables ----------------------------------------------------------------------------


@pytest.fixture
def table():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=120)
    table = pd.DataFrame(
        {
            "visits": rng.poisson(np.where(side, 1, 6)),
            "colour": np.array(["red", "blue", "green"], object)[
                np.where(side, 0, rng.integers(3, size=120))
            ],
            "age": rng.normal(np.where(side, 30.0, 60.0), 5.0),
        }
    )
    table.loc[3, "age"] = np.nan
    table.loc[5, "colour"] = None
    return table, side


def test_strings_through_an_ordinal_encoder(table):
    """Missing strings become NaN, and so do new ones if the encoder is set up for it."""
    data, _ = table
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    # One column cannot identify two classes: without a prior, one may lose all its rows.
    mixture = FiniteMixtureEM(2, family="categorical", weights_alpha=1.0, random_state=0)
    pipeline = make_pipeline(encoder, mixture)
    colour = data[["colour"]]
    pipeline.fit(colour)
    new = colour.iloc[:4].copy()
    new.iloc[0, 0] = "violet"
    proba = pipeline.predict_proba(new)
    assert_allclose(proba[0], pipeline[-1].weights_)
    assert_allclose(proba[1:], pipeline.predict_proba(colour)[1:4])


def test_tables_of_mixed_types(table):
    pd = pytest.importorskip("pandas")
    from sklearn.compose import make_column_transformer

    data, side = table
    encode = make_column_transformer(
        (OrdinalEncoder(), ["colour"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    family = [("poisson", "visits"), ("categorical", ["colour"]), ("gaussian", ["age"])]
    pipeline = make_pipeline(encode, FiniteMixtureEM(2, family=family, random_state=0))
    found = pipeline.fit_predict(data)
    assert max(np.mean(found == side), np.mean(found != side)) > 0.95
    mixture = pipeline[-1]
    assert_array_equal(mixture.feature_names_in_, ["colour", "visits", "age"])
    assert mixture.component_params_["rate"].shape == (2, 1)
    soft = pipeline.set_output(transform="pandas").transform(data)
    assert isinstance(soft, pd.DataFrame)
    assert list(soft.columns) == ["finitemixtureem0", "finitemixtureem1"]
    with pytest.raises(ValueError, match="no column named 'height'"):
        FiniteMixtureEM(2, family=[("poisson", "height")]).fit(data[["visits"]])


# ---- composition -----------------------------------------------------------------------


def test_grid_search_over_components_and_families():
    rng = np.random.default_rng(0)
    X = rng.poisson(np.where(rng.integers(2, size=150), 1, 9)[:, None] * np.ones(3))
    grid = {"n_components": [1, 2], "family": [Poisson(), Gaussian("diag")]}
    search = GridSearchCV(FiniteMixtureEM(random_state=0), grid, cv=3).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["n_components"] == 2
    assert search.score(X) == pytest.approx(search.best_estimator_.score(X))


def test_codes_that_a_fold_lacks_do_no_harm():
    X = np.array([[0, 0]] * 8 + [[1, 1]] * 9 + [[2, 1]])
    scores = cross_val_score(FiniteMixtureEM(1, family="categorical"), X, cv=3)
    assert np.isfinite(scores).all()


def test_documents():
    """Semi-supervised naive Bayes behind a CountVectorizer."""
    animals, plants = "cat dog horse cow sheep", "oak rose grass moss fern"
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=80)
    documents = [" ".join(rng.choice((animals, plants)[k].split(), 3)) for k in side]
    y = np.where(np.arange(80) < 6, np.array(["animal", "plant"], object)[side], -1)
    mixture = FiniteMixtureEM(family=Multinomial(alpha=1.0), use_labels=True)
    classifier = make_pipeline(CountVectorizer(), mixture)
    classifier.fit(documents, y)
    assert_array_equal(classifier.predict(documents), np.array(["animal", "plant"])[side])
    assert classifier.predict(["fern oak"]) == ["plant"]


def test_weights_through_metadata_routing():
    X = np.random.default_rng(0).poisson(3.0, (60, 2))
    weight = np.random.default_rng(1).integers(0, 3, 60).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        mixture = FiniteMixtureEM(2, family="poisson", random_state=0)
        mixture.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(mixture, {"n_components": [1, 2]}, cv=3)
        search.fit(X, sample_weight=weight)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
