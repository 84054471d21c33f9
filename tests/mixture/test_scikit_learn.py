"""GaussianMixtureEM as a scikit-learn estimator."""

import inspect

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn import GaussianMixtureEM

CONFIGURATIONS = [
    GaussianMixtureEM(),
    GaussianMixtureEM(2, init_params="kmeans", random_state=0),
    GaussianMixtureEM(2, covariance_type="tied", init_params="kmeans", n_init=2, n_jobs=2),
    GaussianMixtureEM(2, covariance_type="diag", init_params="k-means++", reg_covar=1e-6),
    GaussianMixtureEM(2, covariance_type="spherical", init_params="random", max_iter=50),
    GaussianMixtureEM(1, reg_covar=1e-3, init_params="random_from_data", warm_start=True),
    GaussianMixtureEM(2, covariance_type="factor", n_factors=1, random_state=0),
]

#: Checks that scikit-learn runs on its own estimators but leaves out of
#: `parametrize_with_checks`; not every version has all of them.
MORE_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_dict_unchanged",
    "check_dont_overwrite_attributes",
    "check_estimator_get_tags_default_keys",
    "check_estimator_tags_renamed",
    "check_estimators_pickle",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
    "check_no_attributes_set_in_init",
    "check_param_validation",
    "check_parameters_default_constructible",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_data_not_an_array",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
    "check_transformer_n_iter",
    "check_valid_tag_types",
]


@parametrize_with_checks(CONFIGURATIONS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", MORE_CHECKS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names, but")
def test_checks_that_are_left_out(name):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
    target = GaussianMixtureEM
    if name != "check_parameters_default_constructible":
        target = GaussianMixtureEM(2, init_params="kmeans", random_state=0)
    elif sklearn.__version__ >= "1.6":
        target = GaussianMixtureEM()
    check("GaussianMixtureEM", target)


def test_every_parameter_is_validated_documented_and_kept():
    parameters = inspect.signature(GaussianMixtureEM).parameters
    assert set(GaussianMixtureEM._parameter_constraints) == set(parameters)
    for name in parameters:
        assert f"    {name} : " in GaussianMixtureEM.__doc__
        value = object()
        assert GaussianMixtureEM(**{name: value}).get_params()[name] is value
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == ["n_components"]


def test_constructor_is_that_of_scikit_learn():
    """Every parameter of GaussianMixture exists here too, in the same order."""
    from sklearn.mixture import GaussianMixture

    theirs = list(inspect.signature(GaussianMixture).parameters)
    ours = list(inspect.signature(GaussianMixtureEM).parameters)
    assert [name for name in ours if name in theirs] == theirs
    public = [name for name in vars(GaussianMixture) if not name.startswith("_")]
    assert all(hasattr(GaussianMixtureEM, name) for name in public)


def test_every_attribute_is_documented(groups):
    mixture = GaussianMixtureEM(2, random_state=0).fit(groups)
    attributes = {name for name in vars(mixture) if name.endswith("_") and name[0] != "_"}
    attributes |= {"covariances_", "precisions_", "precisions_cholesky_"}
    attributes |= {"loadings_", "noise_variances_"}
    section = GaussianMixtureEM.__doc__.split("Attributes\n")[1].split("See Also")[0]
    documented = {
        name.strip() for line in section.splitlines() if " : " in line and line[4:5] != " "
        for name in line.split(" : ")[0].split(",")
    }  # fmt: skip
    assert attributes | {"feature_names_in_"} == documented


def test_tags():
    tags = get_tags(GaussianMixtureEM())
    assert tags.estimator_type == "density_estimator"
    assert tags.input_tags.allow_nan
    assert not tags.input_tags.sparse
    assert not tags.target_tags.required
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"] or (
        "float64" in tags.transformer_tags.preserves_dtype
    )


# ---- tables ----------------------------------------------------------------------------


@pytest.fixture
def table():
    pytest.importorskip("pandas")
    return load_iris(as_frame=True).data


def test_tables_in_and_out(table):
    pd = pytest.importorskip("pandas")
    mixture = GaussianMixtureEM(3, random_state=0).fit(table)
    assert_array_equal(mixture.feature_names_in_, table.columns)
    assert mixture.n_features_in_ == 4
    names = ["gaussianmixtureem0", "gaussianmixtureem1", "gaussianmixtureem2"]
    assert_array_equal(mixture.get_feature_names_out(), names)
    assert isinstance(mixture.transform(table), np.ndarray)
    out = mixture.set_output(transform="pandas").transform(table.iloc[5:9])
    assert isinstance(out, pd.DataFrame)
    assert list(out.columns) == names
    assert_array_equal(out.index, [5, 6, 7, 8])
    assert_allclose(out, mixture.predict_proba(table.iloc[5:9]))
    assert isinstance(mixture.predict_proba(table), np.ndarray)
    bare = GaussianMixtureEM(3, random_state=0).fit(table.to_numpy())
    assert_array_equal(bare.means_, mixture.means_)
    assert not hasattr(bare, "feature_names_in_")


def test_polars_in_and_out(table):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({name: table[name].to_numpy() for name in table})
    mixture = GaussianMixtureEM(2, random_state=0).set_output(transform="polars")
    out = mixture.fit_transform(frame)
    assert isinstance(out, pl.DataFrame)
    assert out.columns == ["gaussianmixtureem0", "gaussianmixtureem1"]
    assert_array_equal(mixture.feature_names_in_, table.columns)
    assert_allclose(out.to_numpy(), mixture.predict_proba(frame))


def test_other_names_of_columns_are_refused(table):
    mixture = GaussianMixtureEM(2, random_state=0).fit(table)
    for method in (mixture.predict, mixture.transform, mixture.score_samples, mixture.bic):
        with pytest.raises(ValueError, match="feature names should match"):
            method(table.rename(columns={table.columns[0]: "other"}))
        with pytest.raises(ValueError, match="feature names"):
            method(table[table.columns[::-1]])
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            method(table.to_numpy())
    with pytest.raises(ValueError, match="input_features"):
        mixture.get_feature_names_out(["a", "b", "c", "d"])


# ---- composition -----------------------------------------------------------------------


def test_grid_search_over_a_pipeline():
    X = load_iris().data
    pipeline = Pipeline(
        [
            ("scale", StandardScaler()),
            ("gmm", GaussianMixtureEM(init_params="kmeans", random_state=0, tol=1e-3)),
        ]
    )
    grid = {
        "gmm__n_components": [1, 2, 3],
        "gmm__covariance_type": ["full", "tied", "diag", "spherical"],
    }
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, grid, cv=folds).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["gmm__n_components"] > 1
    assert search.predict(X).shape == (150,)
    assert search.score(X) == pytest.approx(search.best_estimator_.score(X))
    # One fold by hand.
    train, test = np.split(np.random.default_rng(0).permutation(150), [100])
    scaler = StandardScaler().fit(X[train])
    by_hand = clone(pipeline["gmm"]).set_params(n_components=2).fit(scaler.transform(X[train]))
    fold = clone(pipeline).set_params(gmm__n_components=2)
    score = cross_val_score(fold, X, cv=[(train, test)])
    assert score[0] == pytest.approx(by_hand.score(scaler.transform(X[test])))


def test_soft_clusters_as_features():
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)
    mixture = GaussianMixtureEM(3, init_params="kmeans", random_state=0)
    classifier = make_pipeline(StandardScaler(), mixture, LogisticRegression())
    assert cross_val_score(classifier, X, y, cv=3).mean() > 0.7
    names = classifier.fit(X, y)[:-1].get_feature_names_out()
    assert_array_equal(names, [f"gaussianmixtureem{k}" for k in range(3)])


def test_weights_through_a_pipeline():
    X = load_iris().data
    weight = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        mixture = (
            GaussianMixtureEM(2, init_params="kmeans", random_state=0)
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True)
        )
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, mixture).fit(X, sample_weight=weight)
        copies = np.repeat(X, weight.astype(int), axis=0)
        plain = make_pipeline(
            StandardScaler(), GaussianMixtureEM(2, init_params="kmeans", random_state=0)
        ).fit(copies)  # fmt: skip
        assert_allclose(pipeline[-1].means_, plain[-1].means_, rtol=1e-5)
        assert pipeline.score(X, sample_weight=weight) == pytest.approx(plain.score(copies))
        if hasattr(pipeline, "set_score_request"):
            # Older versions require it of the Pipeline too.
            pipeline.set_score_request(sample_weight=True)
        search = GridSearchCV(pipeline, {"gaussianmixtureem__n_components": [1, 2]}, cv=3)
        search.fit(X, sample_weight=weight)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        unweighted = GridSearchCV(pipeline, {"gaussianmixtureem__n_components": [1, 2]}, cv=3)
        unweighted.fit(X, sample_weight=np.ones(len(X)))
        assert (
            search.cv_results_["mean_test_score"] != unweighted.cv_results_["mean_test_score"]
        ).all()


def test_weights_that_nobody_asked_for_are_refused():
    X = load_iris().data
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), GaussianMixtureEM(2))
        with pytest.raises(ValueError, match="sample_weight"):
            pipeline.fit(X, sample_weight=np.ones(len(X)))
