"""PLSA as a scikit-learn estimator."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn import PLSA
from emlearn.engine import EMEstimator

CONFIGURATIONS = [
    PLSA(2),
    PLSA(2, tol=1e-6, accelerate="squarem"),
    PLSA(2, temperature=1.25, document_alpha=0.1, word_alpha=0.0, n_init=2, accelerate=None),
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
@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", MORE_CHECKS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names, but")
@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_checks_that_are_left_out(name):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
    check("PLSA", PLSA(2))


TEXTS = [
    "the ship was at sea with wind in the sail",
    "wind and sea and a ship with a sail",
    "the judge was in court to hear the law",
    "law in the court of a judge",
    "",
]


def test_a_pipeline_after_a_vectorizer():
    pipeline = make_pipeline(CountVectorizer(stop_words="english"), PLSA(2, random_state=0))
    topics = pipeline.fit_transform(TEXTS)
    # Folding in starts from the same place for the documents of the fit.
    assert_array_equal(topics, pipeline.transform(TEXTS))
    assert_array_equal(topics[4], [0.5, 0.5])
    assert topics[0].argmax() == topics[1].argmax() != topics[2].argmax() == topics[3].argmax()
    assert_array_equal(pipeline.get_feature_names_out(), ["plsa0", "plsa1"])
    pipeline[-1].set_output(transform="pandas")
    assert isinstance(pipeline.transform(TEXTS), pd.DataFrame)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(20, 0.2), 3)
    X = rng.poisson(30 * rng.dirichlet(np.full(3, 0.3), 40) @ topics).astype(float)
    X[:, 7] = 0
    return X


def test_containers_and_dtypes_do_not_matter(counts):
    def components(X):
        return PLSA(3, random_state=0).fit(X).components_

    expected = components(counts)
    for convert in (
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_matrix,
        np.asfortranarray,
        pd.DataFrame,
        np.ndarray.tolist,
        lambda X: pd.DataFrame(X).astype(pd.SparseDtype(float, 0.0)),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(np.uint8),
        lambda X: sparse.csr_array(X.astype(np.float32)),
        lambda X: sparse.csr_array(X.astype(np.int32)),
    ):
        X = convert(counts)
        if isinstance(X, pd.DataFrame):
            X.columns = [f"w{i}" for i in range(20)]
        assert_array_equal(components(X), expected)


def test_long_indices_explicit_zeros_and_duplicates_do_not_matter(counts):
    expected = PLSA(3, random_state=0).fit(counts)
    row, column = np.indices(counts.shape).reshape(2, -1)
    half = np.concatenate([counts.ravel() / 2] * 2)
    X = sparse.coo_array((half, (np.tile(row, 2), np.tile(column, 2))), shape=counts.shape)
    long = X.tocsr()
    long.indptr, long.indices = long.indptr.astype(np.int64), long.indices.astype(np.int64)
    stored = long.data.copy()
    for given in (X, long):
        assert_array_equal(PLSA(3, random_state=0).fit(given).components_, expected.components_)
    assert_array_equal(long.data, stored)
    assert_array_equal(expected.transform(long), expected.document_topics_)


def test_the_same_bits_for_any_number_of_threads(counts, monkeypatch):
    monkeypatch.setattr("emlearn.text._plsa_model._WORTH", 100.0)
    monkeypatch.setattr("emlearn.text._plsa_model._ENTRIES_PER_WORD", 1)
    monkeypatch.setattr("emlearn.text._plsa_folding._AT_A_TIME", 7)
    fits = [PLSA(3, n_init=2, random_state=0, n_jobs=n).fit(counts) for n in (1, 2, 3)]
    for fit in fits[1:]:
        assert_array_equal(fit.components_, fits[0].components_)
        assert_array_equal(fit.document_topics_, fits[0].document_topics_)


def test_pickle_clone_and_second_fit(counts):
    analysis = PLSA(3, random_state=0).fit(counts)
    again = pickle.loads(pickle.dumps(analysis))
    assert_array_equal(again.transform(counts), analysis.transform(counts))
    assert not hasattr(clone(analysis), "components_")
    once = analysis.components_.copy()
    analysis.fit(counts[:20, :10])
    assert analysis.components_.shape == (3, 10)
    assert analysis.document_topics_.shape == (20, 3)
    assert_array_equal(analysis.fit(counts).components_, once)


def test_defaults_are_those_of_the_base():
    own = inspect.signature(PLSA).parameters
    base = inspect.signature(EMEstimator).parameters
    shared = own.keys() & base.keys() - {"tol", "accelerate"}
    assert {name: own[name].default for name in shared} == {
        name: base[name].default for name in shared
    }
