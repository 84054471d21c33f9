"""The imputer as a scikit-learn estimator: scikit-learn's own checks and imputer tests."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn.impute import MissingDataImputerEM

nan = np.nan


@parametrize_with_checks(
    [
        MissingDataImputerEM(),
        MissingDataImputerEM(n_components=2, max_iter=100, tol=1e-3, random_state=0),
        MissingDataImputerEM(n_factors=1, max_iter=100, tol=1e-3),
        MissingDataImputerEM(n_components=2, n_factors=1, max_iter=100, random_state=0),
        MissingDataImputerEM(add_indicator=True),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Skipping features without")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_value_missing_only_in_new_rows():
    imputer = MissingDataImputerEM(add_indicator=True).fit([[1.0], [2.0]])
    assert_allclose(imputer.transform([[3.0], [nan]]), [[3.0], [1.5]])


@pytest.mark.parametrize("marker", [nan, -1, 0])
def test_indicator(marker):
    X = np.array([[marker, 1, 5, marker, 1], [2, marker, 1, marker, 2],
                  [6, 3, marker, marker, 3], [1, 2, 9, marker, 4]])  # fmt: skip
    truth = np.array([[1.0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
    imputer = MissingDataImputerEM(missing_values=marker, add_indicator=True)
    with pytest.warns(UserWarning, match="column 3"):
        out = imputer.fit_transform(X)
    assert_allclose(out[:, -4:], truth)
    assert_array_equal(imputer.indicator_.features_, [0, 1, 2, 3])
    imputer.set_params(add_indicator=False)
    with pytest.warns(UserWarning, match="Skipping features"):
        assert_allclose(out[:, :-4], imputer.fit_transform(X))


@pytest.mark.parametrize("add_indicator", [True, False])
@pytest.mark.filterwarnings("ignore:Skipping features")
def test_pandas_integer_array(add_indicator):
    pd = pytest.importorskip("pandas")
    X = np.array([[nan, 1, 5, nan, 1], [2, nan, 1, nan, 2], [6, 3, nan, nan, 3], [1, 2, 9, nan, 4]])
    imputer = MissingDataImputerEM(add_indicator=add_indicator)
    expected = imputer.fit_transform(X)
    scaling = pd.DataFrame(X, dtype="Int16", columns=list("abcde"))
    assert_allclose(imputer.fit_transform(scaling), expected)


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("keep", [True, False])
def test_feature_names_out(keep):
    pd = pytest.importorskip("pandas")
    X = [[nan, 1, 5, 3, nan, 1], [2, nan, 1, 4, nan, 2], [6, 3, 7, nan, nan, 3],
         [1, 2, 9, 8, nan, 4]]  # fmt: skip
    scaling = pd.DataFrame(X, columns=list("abcdef"))
    imputer = MissingDataImputerEM(add_indicator=True, keep_empty_features=keep).fit(scaling)
    kept = list("abcdef" if keep else "abcdf")
    names = kept + [f"missingindicator_{c}" for c in "abde"]
    assert_array_equal(imputer.get_feature_names_out(), names)
    out = imputer.set_output(transform="pandas").transform(scaling)
    assert list(out.columns) == names
    with pytest.raises(ValueError, match="input_features"):
        imputer.get_feature_names_out(list("abcdeg"))


def test_polars_in_and_out():
    pl = pytest.importorskip("polars")
    table = pl.DataFrame({"a": [1.0, 2.0, None, 4.0], "b": [2.0, None, 6.0, 8.5]})
    imputer = MissingDataImputerEM().set_output(transform="polars")
    out = imputer.fit_transform(table)
    assert out.columns == ["a", "b"]
    assert out.null_count().sum_horizontal()[0] == 0
    assert np.isfinite(out.to_numpy()).all()
    assert_array_equal(imputer.feature_names_in_, ["a", "b"])


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("keep", [True, False])
def test_keep_empty_features(keep):
    X = np.array([[nan, 1], [nan, 2], [nan, 3]])
    imputer = MissingDataImputerEM(keep_empty_features=keep)
    for out in (imputer.fit_transform(X), imputer.transform(X)):
        assert out.shape == (3, 2 if keep else 1)
        if keep:
            assert_array_equal(out[:, 0], 0.0)
    assert imputer.means_.shape == (1, out.shape[1])
    assert imputer.covariance_.shape == (out.shape[1],) * 2


@pytest.mark.parametrize("value", [nan, 1])
def test_indicator_is_there_although_nothing_is_missing(value):
    train, test = np.array([[0, nan], [1, 2]]), np.array([[0, value], [1, 2]])
    imputer = MissingDataImputerEM(add_indicator=True).fit(train)
    out = imputer.transform(test)
    assert out.shape == (2, 3)
    assert_allclose(out[:, -1], [np.isnan(value), 0])
    plain = clone(imputer).set_params(add_indicator=False).fit(train).transform(test)
    assert_allclose(out[:, :-1], plain)


@pytest.mark.parametrize("marker", [nan, -1.0])
def test_inverse_transform(marker):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    X[rng.random(X.shape) < 0.2] = marker
    imputer = MissingDataImputerEM(add_indicator=True, missing_values=marker)
    assert_array_equal(imputer.inverse_transform(imputer.fit_transform(X)), X)
    with pytest.raises(ValueError, match="columns and 4 indicators"):
        imputer.inverse_transform(X)
    with pytest.raises(ValueError, match="add_indicator=True"):
        MissingDataImputerEM(missing_values=marker).fit(X).inverse_transform(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3)).astype(dtype)
    X[rng.random(X.shape) < 0.2] = nan
    out = MissingDataImputerEM().fit_transform(X)
    assert out.dtype == dtype
    seen = ~np.isnan(X)
    assert_array_equal(out[seen], X[seen])


def test_pandas_na_in_object_columns_and_none_in_lists():
    pd = pytest.importorskip("pandas")
    X = [[1.0, 2.0], [2.0, nan], [3.0, 6.5], [nan, 8.0]]
    expected = MissingDataImputerEM().fit_transform(X)
    with_none = [[1.0, 2.0], [2.0, None], [3.0, 6.5], [None, 8.0]]
    assert_array_equal(MissingDataImputerEM().fit_transform(with_none), expected)
    scaling = pd.DataFrame({"a": [1.0, 2.0, 3.0, pd.NA], "b": [2.0, None, 6.5, 8.0]}, dtype=object)
    imputer = MissingDataImputerEM(missing_values=pd.NA)
    assert_array_equal(imputer.fit_transform(scaling), expected)


def test_in_a_pipeline_with_a_grid_search():
    X, y = load_diabetes(return_X_y=True)
    rng = np.random.default_rng(0)
    X = X.copy()
    X[rng.random(X.shape) < 0.3] = nan
    search = GridSearchCV(
        make_pipeline(MissingDataImputerEM(random_state=0), Ridge()),
        {"missingdataimputerem__n_factors": [None, 3], "ridge__alpha": [0.1, 1.0]},
        cv=3,
        error_score="raise",
    ).fit(X, y)
    assert search.best_score_ > 0.25
    own = GridSearchCV(MissingDataImputerEM(), {"alpha": ["auto", 1e4]}, cv=3).fit(X)
    assert own.best_params_ == {"alpha": "auto"}
    pipeline = make_pipeline(MissingDataImputerEM(), LogisticRegression())
    assert cross_val_score(pipeline, X, y > np.median(y), cv=3).mean() > 0.6


def test_sample_weight_is_routed():
    import sklearn

    X = np.array([[1.0, 2.0], [2.0, nan], [3.0, 6.5], [nan, 8.0]] * 5)
    weight = np.arange(20.0)
    with sklearn.config_context(enable_metadata_routing=True):
        imputer = MissingDataImputerEM().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(imputer, Ridge().set_fit_request(sample_weight=True))
        pipeline.fit(X, np.arange(20.0), sample_weight=weight)
    alone = MissingDataImputerEM().fit(X, sample_weight=weight)
    assert_array_equal(pipeline[0].means_, alone.means_)


@pytest.mark.parametrize("container", ["pandas", "polars", "default"])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.filterwarnings("ignore:Skipping features")
def test_output_with_indicators_in_any_container(container, keep, everywhere):
    frames = pytest.importorskip("polars" if container == "default" else container)
    X = {"a": [1.0, None, 3.0, 4.0], "b": [2.0, 3.0, None, 8.5], "e": [None] * 4}
    table = frames.DataFrame(X) if container != "polars" else frames.DataFrame(X, strict=False)
    imputer = MissingDataImputerEM(add_indicator=True, keep_empty_features=keep)
    names = ["a", "b", *(["e"] if keep else []), *(f"missingindicator_{c}" for c in "abe")]
    if everywhere:
        with config_context(transform_output=container):
            out = imputer.fit_transform(table)
    else:
        out = imputer.set_output(transform=container).fit(table).transform(table)
    assert_array_equal(imputer.get_feature_names_out(), names)
    if container != "default":
        assert list(out.columns) == names
    values = np.asarray(out, dtype=float)
    assert_array_equal(values[:, -3:], [[0, 0, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1]])
    assert np.isfinite(values).all()
    back = imputer.inverse_transform(out)
    assert_array_equal(back, [[1, 2, nan], [nan, 3, nan], [3, nan, nan], [4, 8.5, nan]])


def test_keep_empty_features_set_after_fit_changes_nothing():
    X = np.array([[nan, 1.0], [nan, 2.0]])
    imputer = MissingDataImputerEM(keep_empty_features=True).fit(X)
    imputer.set_params(keep_empty_features=False)
    assert imputer.transform(X).shape == (2, 2)
    assert len(imputer.get_feature_names_out()) == 2
