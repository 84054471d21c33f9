"""HiddenMarkovEM as a scikit-learn estimator."""

import inspect
import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn import HiddenMarkovEM

FAST = {"init_params": "rows", "random_state": 0}
CONFIGURATIONS = [
    HiddenMarkovEM(),
    HiddenMarkovEM(2, covariance_type="diag", n_init=2, n_jobs=2, **FAST),
    HiddenMarkovEM(2, covariance_type="tied", transmat_alpha=0.5, warm_start=True, **FAST),
    HiddenMarkovEM(2, covariance_type="factor", n_factors=1, **FAST),
    HiddenMarkovEM(2, family="poisson", **FAST),
    HiddenMarkovEM(2, family="categorical", **FAST),
]

SEQUENCES = "a weight belongs to a sequence, not to a row, and all rows are one sequence here"
ORDER = "the rows of a sequence are in order, and a score belongs to a sequence"
NOT_FOR_SEQUENCES = {
    "check_sample_weights_pandas_series": SEQUENCES,
    "check_sample_weights_not_an_array": SEQUENCES,
    "check_sample_weights_list": SEQUENCES,
    "check_all_zero_sample_weights_error": SEQUENCES,
    "check_sample_weights_shape": SEQUENCES,
    "check_sample_weights_not_overwritten": SEQUENCES,
    "check_sample_weight_equivalence_on_dense_data": SEQUENCES,
    "check_methods_sample_order_invariance": ORDER,
    "check_methods_subset_invariance": ORDER,
}


@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=lambda _: NOT_FOR_SEQUENCES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_parameter_is_validated_documented_and_kept():
    parameters = inspect.signature(HiddenMarkovEM).parameters
    assert set(HiddenMarkovEM._parameter_constraints) == set(parameters)
    for name in parameters:
        assert f"    {name} : " in HiddenMarkovEM.__doc__
        value = object()
        assert HiddenMarkovEM(**{name: value}).get_params()[name] is value


def test_every_attribute_is_documented(gaussian_chains):
    X, lengths, _ = gaussian_chains
    model = HiddenMarkovEM(2, use_labels=True, **FAST).fit(X, np.arange(len(X)) % 2, lengths)
    attributes = {name for name in vars(model) if name.endswith("_")} | {"means_", "covariances_"}
    section = HiddenMarkovEM.__doc__.split("Attributes\n")[1].split("See Also")[0]
    documented = {
        line.split(" : ")[0].strip()
        for line in section.splitlines()
        if " : " in line and line[4:5] != " "
    }
    assert attributes | {"feature_names_in_", "levels_"} == documented
    model.set_params(family="poisson").fit(np.ones((4, 2)))
    assert not hasattr(model, "means_")


def test_tags():
    tags = get_tags(HiddenMarkovEM())
    assert tags.estimator_type == "density_estimator"
    assert tags.input_tags.allow_nan
    assert not tags.input_tags.sparse
    assert get_tags(HiddenMarkovEM(family="multinomial")).input_tags.sparse
    assert get_tags(HiddenMarkovEM(family="no such")).input_tags is not None


def test_documents_as_a_sequence():
    """CSR rows of word counts are not densified, and give the same fit as dense rows."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    states = np.repeat(rng.integers(2, size=30), 4)
    words = np.array([[8, 1, 1, 0, 2], [1, 6, 0, 5, 1]])
    X = rng.poisson(words[states]).astype(float)
    dense = HiddenMarkovEM(2, family="multinomial", **FAST).fit(X, lengths=[60, 20, 40])
    sparse = HiddenMarkovEM(2, family="multinomial", **FAST)
    sparse.fit(csr_array(X), lengths=[60, 20, 40])
    assert_allclose(sparse.log_likelihood_, dense.log_likelihood_, rtol=1e-10)
    assert_array_equal(sparse.predict(csr_array(X), [120]), dense.predict(X, [120]))
    assert sparse.score(csr_array(X), states) == pytest.approx(dense.score(X), rel=1e-10)


def test_lengths_are_routed(gaussian_chains):
    X, lengths, _ = gaussian_chains
    weight = np.random.default_rng(0).uniform(0.5, 1.5, size=len(lengths))
    plain = HiddenMarkovEM(2, **FAST)
    plain.fit(StandardScaler().fit_transform(X), lengths=lengths, sample_weight=weight)
    with sklearn.config_context(enable_metadata_routing=True):
        model = (
            HiddenMarkovEM(2, **FAST)
            .set_fit_request(lengths=True, sample_weight=True)
            .set_score_request(lengths=True, sample_weight=True)
            .set_predict_request(lengths=True)
            .set_predict_proba_request(lengths=True)
        )
        pipeline = make_pipeline(StandardScaler(), model)
        scaler_only = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler_only, model)
        pipeline.fit(X, lengths=lengths, sample_weight=weight)
        assert_array_equal(pipeline[-1].means_, plain.means_)
        scaled = pipeline[0].transform(X)
        score = pipeline.score(X, lengths=lengths, sample_weight=weight)
        expected = plain.score(scaled, lengths=lengths, sample_weight=weight)
        assert score == pytest.approx(expected, rel=1e-12)
        assert_array_equal(pipeline.predict(X, lengths=lengths), plain.predict(scaled, lengths))
        probabilities = pipeline.predict_proba(X, lengths=lengths)
        assert_array_equal(probabilities, plain.predict_proba(scaled, lengths))


def test_choosing_the_number_of_states_of_one_long_sequence():
    """Without lengths, each fold is one sequence."""
    rng = np.random.default_rng(0)
    states = np.repeat(rng.integers(3, size=200), 6)
    X = rng.normal(4.0 * states, 1.0)[:, None]
    pipeline = make_pipeline(StandardScaler(), HiddenMarkovEM(tol=1e-3, random_state=0))
    grid = {"hiddenmarkovem__n_components": [1, 2, 3]}
    search = GridSearchCV(pipeline, grid, cv=KFold(3)).fit(X)
    assert search.best_params_ == {"hiddenmarkovem__n_components": 3}
    assert search.score(X) == pytest.approx(search.best_estimator_.score(X))


def test_tables(gaussian_chains):
    pd = pytest.importorskip("pandas")
    X, lengths, _ = gaussian_chains
    table = pd.DataFrame(X, columns=["a", "b"])
    model = HiddenMarkovEM(2, **FAST).fit(table, lengths=pd.Series(lengths))
    assert_array_equal(model.feature_names_in_, ["a", "b"])
    bare = HiddenMarkovEM(2, **FAST).fit(X, lengths=lengths.tolist())
    assert_array_equal(model.means_, bare.means_)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[["b", "a"]])


def test_cloning_and_pickling(gaussian_chains):
    X, lengths, _ = gaussian_chains
    model = HiddenMarkovEM(2, **FAST).fit(X, lengths=lengths)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict_proba(X, lengths), model.predict_proba(X, lengths))
    again = clone(model).fit(X, lengths=lengths)
    assert_array_equal(again.transmat_, model.transmat_)
