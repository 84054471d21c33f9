"""FactorAnalysisEM as a scikit-learn estimator."""

import inspect

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn import FactorAnalysisEM
from emlearn.datasets import load_holzinger_swineford

CONFIGURATIONS = [
    FactorAnalysisEM(),
    FactorAnalysisEM(2, rotation="oblimin", scores="regression"),
    FactorAnalysisEM(1, noise="isotropic", warm_start=True),
]

#: Checks that scikit-learn runs on its own estimators but leaves out of
#: `parametrize_with_checks`; not every version has all of them.
MORE_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_dict_unchanged",
    "check_fit_check_is_fitted",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
    "check_param_validation",
    "check_readonly_memmap_input",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_transformer_general",
    "check_transformer_n_iter",
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
    check("FactorAnalysisEM", FactorAnalysisEM(2))


def test_every_parameter_is_validated_documented_and_kept():
    parameters = inspect.signature(FactorAnalysisEM).parameters
    assert set(parameters) <= set(FactorAnalysisEM._parameter_constraints)
    for name in parameters:
        assert f"    {name} : " in FactorAnalysisEM.__doc__
        value = object()
        assert FactorAnalysisEM(**{name: value}).get_params()[name] is value
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == ["n_components"]


def test_every_attribute_is_documented(scores):
    analysis = FactorAnalysisEM(2).fit(scores)
    attributes = {name for name in vars(analysis) if name.endswith("_") and name[0] != "_"}
    section = FactorAnalysisEM.__doc__.split("Attributes\n")[1].split("See Also")[0]
    documented = {
        line.split(" : ")[0].strip()
        for line in section.splitlines()
        if " : " in line and line[4:5] != " "
    }
    assert attributes | {"feature_names_in_"} == documented


def test_tags_and_names():
    assert get_tags(FactorAnalysisEM()).input_tags.allow_nan
    pd = pytest.importorskip("pandas")
    table = load_holzinger_swineford(as_frame=True).data
    analysis = FactorAnalysisEM(2).fit(table).set_output(transform="pandas")
    found = analysis.transform(table)
    assert isinstance(found, pd.DataFrame)
    assert list(found) == ["factoranalysisem0", "factoranalysisem1"]
    assert_array_equal(analysis.feature_names_in_, list(table))
    both = analysis.transform(table, return_std=True)
    assert_array_equal(both[0], found)
    assert np.asarray(both[1]).shape == found.shape


def test_polars_in_and_out():
    pl = pytest.importorskip("polars")
    table = pl.DataFrame(load_holzinger_swineford().data, schema=list("abcdefghi"), orient="row")
    analysis = FactorAnalysisEM(3).fit(table).set_output(transform="polars")
    assert isinstance(analysis.transform(table), pl.DataFrame)
    plain = FactorAnalysisEM(3).fit(table.to_numpy())
    assert_allclose(analysis.components_, plain.components_)


def test_pipeline_and_grid_search(scores):
    pipeline = make_pipeline(StandardScaler(), FactorAnalysisEM())
    search = GridSearchCV(pipeline, {"factoranalysisem__n_components": [1, 2, 3]}, cv=3)
    search.fit(scores)
    assert search.best_params_ == {"factoranalysisem__n_components": 3}
    assert search.transform(scores).shape == (301, 3)
    assert cross_val_score(FactorAnalysisEM(3), scores, cv=3).mean() > -13.0


def test_clone_and_warm_start(scores):
    analysis = FactorAnalysisEM(3, rotation="promax", warm_start=True, tol=1e-12).fit(scores)
    first = analysis.components_.copy()
    assert_allclose(analysis.fit(scores).components_, first, atol=1e-6)
    assert clone(analysis).fit(scores).converged_
    holes = scores.copy()
    holes[::4, 2] = np.nan
    again = FactorAnalysisEM(3, warm_start=True, tol=1e-10).fit(holes)
    n_iter = again.n_iter_
    assert n_iter > 3
    assert again.fit(holes).n_iter_ < n_iter
