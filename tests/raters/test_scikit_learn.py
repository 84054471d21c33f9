"""The checks of scikit-learn, for wide tables."""

import pickle
import warnings

import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from emlearn import DawidSkeneEM
from emlearn.datasets import load_anesthetists

REASONS = {
    "check_sample_weight_equivalence_on_dense_data": "labels are integers; copies and weights are "
    "compared in test_estimator.py",
    "check_positive_only_tag_during_fit": "the check passes measurements, which are no labels",
}


def checks():
    for confusion in ("full", "ordinal", "one_coin"):
        estimator = DawidSkeneEM(confusion, layout="wide", random_state=0, max_iter=30)
        for instance, check in estimator_checks_generator(estimator):
            name = getattr(check, "func", check).__name__
            yield pytest.param(instance, check, id=f"{confusion}-{name}")


@pytest.mark.parametrize(("estimator", "check"), checks())
def test_scikit_learn(estimator, check):
    name = getattr(check, "func", check).__name__
    if name in REASONS:
        pytest.xfail(REASONS[name])
    with warnings.catch_warnings():
        # Random integers are hard data for a test.
        warnings.simplefilter("ignore")
        check(estimator)


def test_clone_pickle_and_second_fit():
    X = load_anesthetists().data
    model = clone(DawidSkeneEM(layout="long", random_state=0))
    model.fit(X[:200])
    first = clone(model).fit(X)
    again = model.fit(X)
    assert_array_equal(again.confusion_matrices_, first.confusion_matrices_)
    loaded = pickle.loads(pickle.dumps(again))
    assert_array_equal(loaded.predict(X), again.predict(X))


def test_attributes_of_another_model_are_gone():
    X = load_anesthetists().data
    model = DawidSkeneEM("one_coin", layout="long").fit(X)
    assert model.accuracies_.shape == (5,)
    model.set_params(confusion="full").fit(X)
    assert not hasattr(model, "accuracies_")


def test_frames_of_other_libraries():
    polars = pytest.importorskip("polars")
    X = load_anesthetists(as_frame=True).data
    expected = DawidSkeneEM().fit(X)
    found = DawidSkeneEM().fit(polars.DataFrame({name: X[name].to_numpy() for name in X}))
    assert_array_equal(found.confusion_matrices_, expected.confusion_matrices_)
    assert_array_equal(found.labels_, expected.labels_)
    shuffled = DawidSkeneEM().fit(pd.DataFrame(X[["label", "item", "rater"]]))
    assert_array_equal(shuffled.labels_, expected.labels_)
    assert_array_equal(shuffled.feature_names_in_, ["label", "item", "rater"])
