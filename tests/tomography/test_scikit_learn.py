"""PoissonReconstructionEM as a scikit-learn estimator."""

import inspect

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn.tomography import HuberPrior, PoissonReconstructionEM

CONFIGURATIONS = [
    PoissonReconstructionEM(),
    PoissonReconstructionEM(tol=1e-6, accelerate="auto", n_jobs=2),
    PoissonReconstructionEM(n_subsets=(1,), max_iter=3),
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
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", MORE_CHECKS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names, but")
def test_checks_that_are_left_out(name):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
    check("PoissonReconstructionEM", PoissonReconstructionEM())


def test_every_parameter_is_validated_documented_and_kept():
    parameters = inspect.signature(PoissonReconstructionEM).parameters
    assert set(parameters) <= set(PoissonReconstructionEM._parameter_constraints)
    for name in parameters:
        assert f"    {name} : " in PoissonReconstructionEM.__doc__
        value = object()
        assert PoissonReconstructionEM(**{name: value}).get_params()[name] is value
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == ["system_matrix", "image_shape"]


def test_every_attribute_is_documented(geometry):
    em = PoissonReconstructionEM(geometry.matrix, max_iter=2).fit(geometry.counts)
    attributes = {name for name in vars(em) if name.endswith("_") and name[0] != "_"}
    section = PoissonReconstructionEM.__doc__.split("Attributes\n")[1].split("See Also")[0]
    documented = {
        line.split(" : ")[0].strip()
        for line in section.splitlines()
        if " : " in line and line[4:5] != " "
    }
    assert attributes | {"feature_names_in_"} == documented


def test_clone_keeps_the_system_and_the_prior(geometry):
    em = PoissonReconstructionEM(
        geometry.matrix, geometry.shape, prior=HuberPrior(0.5), prior_weight=0.1, max_iter=5
    )
    assert_array_equal(
        clone(em).fit_transform(geometry.counts), em.fit(geometry.counts).transform(geometry.counts)
    )


def test_pipeline_and_cross_validation(geometry):
    counts = np.repeat(geometry.counts, 4, axis=0)
    em = PoissonReconstructionEM(geometry.matrix, max_iter=5)
    assert make_pipeline(em, PCA(1)).fit_transform(counts).shape == (len(counts), 1)
    assert np.isfinite(cross_val_score(em, counts, cv=2)).all()
    names = em.fit(counts).get_feature_names_out()
    assert names[0] == "poissonreconstructionem0"
    assert len(names) == em.n_pixels_
