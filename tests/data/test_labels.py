"""Labels of any kind mean the same to mixtures and to hidden Markov models."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.data import classes_of, read_labels

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [FiniteMixtureEM, HiddenMarkovEM]
by_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
QUICK = {"init_params": "rows", "random_state": 0}

nan = np.nan
rng = np.random.default_rng(0)
states = rng.integers(0, 3, 90)
X = rng.normal(10.0 * np.array([2, 0, 1])[states], 1.0)[:, None]
KNOWN = np.arange(90) % 4 == 0
CODES = np.where(KNOWN, states, -1)


def objects(values, absent):
    """Known labels, and what marks the others."""
    labels = np.empty(90, object)
    labels[:] = absent
    labels[KNOWN] = np.asarray(values, object)[states[KNOWN]]
    return labels


def pandas_series(values, dtype):
    pd = pytest.importorskip("pandas")
    return pd.Series(objects(values, None), dtype=dtype)


def polars_series(values, **settings):
    pl = pytest.importorskip("polars")
    return pl.Series(objects(values, None).tolist(), **settings)


def pandas_absent(values, name):
    return objects(values, getattr(pytest.importorskip("pandas"), name))


NAMES = ["ash", "elm", "oak"]
KINDS = {
    "-1": (lambda: CODES, [0, 1, 2]),
    "list": (lambda: CODES.tolist(), [0, 1, 2]),
    "unsigned": (lambda: np.ma.array(states.astype(np.uint8), mask=~KNOWN), [0, 1, 2]),
    "NaN": (lambda: np.where(KNOWN, states + 5.0, nan), [5, 6, 7]),
    "whole floats": (lambda: np.where(KNOWN, states, -1.0), [0, 1, 2]),
    "numbers and None": (lambda: objects([3, 5, 9], None), [3, 5, 9]),
    "strings and -1": (lambda: objects(NAMES, -1), NAMES),
    "strings and NaN": (lambda: objects(NAMES, nan), NAMES),
    "strings and None in a list": (lambda: objects(NAMES, None).tolist(), NAMES),
    "strings and -1 in a list": (lambda: objects(NAMES, -1).tolist(), NAMES),
    "pandas.NA": (lambda: pandas_absent(NAMES, "NA"), NAMES),
    "pandas.NaT": (lambda: pandas_absent(NAMES, "NaT"), NAMES),
    "Int64": (lambda: pandas_series([0, 1, 2], "Int64"), [0, 1, 2]),
    "string dtype": (lambda: pandas_series(NAMES, "string"), NAMES),
    "str dtype": (lambda: pandas_series(NAMES, "str"), NAMES),
    "category": (lambda: pandas_series(NAMES, "category"), NAMES),
    "category of numbers": (lambda: pandas_series([2, 4, 8], "category"), [2, 4, 8]),
    "polars strings": (lambda: polars_series(NAMES), NAMES),
    "polars integers": (lambda: polars_series([0, 1, 2]), [0, 1, 2]),
    "masked strings": (lambda: np.ma.array(np.array(NAMES)[states], mask=~KNOWN), NAMES),
}


@pytest.mark.parametrize(("make", "classes"), KINDS.values(), ids=KINDS.keys())
def test_kinds_of_labels(make, classes):
    found = read_labels(make(), 90)
    assert_array_equal(found.classes, classes)
    assert_array_equal(found.codes, CODES)
    assert found.codes.dtype == np.intp


@by_estimator
@pytest.mark.parametrize(("make", "classes"), KINDS.values(), ids=KINDS.keys())
def test_estimators(estimator, make, classes):
    plain = estimator(use_labels=True).fit(X, CODES)
    model = estimator(use_labels=True).fit(X, make())
    assert_array_equal(model.classes_, classes)
    assert model.log_likelihood_ == plain.log_likelihood_
    mean = model.component_params_["mean"][:, 0]
    assert_allclose(mean, [X[states == c].mean() for c in range(3)], atol=1e-4)
    names = np.asarray(classes, object)[states]
    assert_array_equal(model.predict(X), names)
    assert_array_equal(model.fit_predict(X, make()), names)
    drawn, labels = model.sample(20)
    assert_array_equal(labels, np.asarray(classes, object)[np.abs(drawn - mean).argmin(axis=1)])


@by_estimator
def test_booleans(estimator):
    side = states == 1
    for y in (side, side.tolist(), np.where(KNOWN, side, None)):
        model = estimator(use_labels=True).fit(X, y)
        assert_array_equal(model.classes_, [False, True])
        assert_array_equal(model.predict(X), side)


@by_estimator
@pytest.mark.parametrize(
    "y",
    [
        np.full(90, -1),
        np.full(90, nan),
        [None] * 90,
        np.full(90, -1.0),
        np.ma.array(states, mask=True),
    ],
)
def test_no_label_is_known(estimator, y):
    model = estimator(2, use_labels=True, **QUICK).fit(X, y)
    assert not hasattr(model, "classes_")
    assert model.log_likelihood_ == estimator(2, **QUICK).fit(X).log_likelihood_
    assert estimator(use_labels=True).fit(X, y).n_components_ == 1


# ---- numbers of states ---------------------------------------------------------------


def test_integers_below_the_number_of_states_are_the_states():
    y = np.where(states == 1, 3, np.where(states == 2, 2, -1))
    for dtype in (int, float, object):
        found = read_labels(y.astype(dtype), 90, 4)
        assert_array_equal(found.classes, np.arange(4))
        assert_array_equal(found.codes, y)
    # One that is too large makes classes of all, and so do other kinds.
    assert_array_equal(read_labels(y, 90, 3).classes, [2, 3])
    assert_array_equal(read_labels(y, 90).classes, [2, 3])
    assert_array_equal(read_labels([0, -2, -1], 3, 4).classes, [-2, 0])
    assert_array_equal(read_labels(states == 1, 90, 4).classes, [False, True])
    model = HiddenMarkovEM(3, use_labels=True, **QUICK).fit(X, np.where(states == 1, -1, states))
    assert_array_equal(model.classes_, [0, 1, 2])
    for state in (0, 2):
        assert model.means_[state, 0] == pytest.approx(X[states == state].mean(), abs=1e-3)
    assert_array_equal(model.predict(X), states)
    named = HiddenMarkovEM(use_labels=True).fit(X, np.where(states == 1, -1, states))
    assert_array_equal(named.classes_, [0, 2])


@by_estimator
def test_components_that_no_label_names(estimator):
    y = np.array(["ash", "elm", None], object)[states]
    model = estimator(3, use_labels=True, **QUICK).fit(X, y)
    assert_array_equal(model.predict(X), np.array(["ash", "elm", -1], object)[states])


def test_classes_of_components():
    codes = np.array([0, 2, 1])
    assert_array_equal(classes_of(codes, np.array([5, 7])), [5, -1, 7])
    assert str(classes_of(codes, np.array([False, True])).tolist()) == "[False, -1, True]"
    assert classes_of(codes, np.array([5, 7, 9])).dtype == np.array([5]).dtype
    assert classes_of(codes[:1], np.array(["a", "b"], object)).tolist() == ["a"]


# ---- what is refused -----------------------------------------------------------------

REFUSED = {
    "continuous": (
        lambda: np.linspace(0, 1, 90),
        r"continuous.*0\.01.* in row 1.*use_labels=False",
    ),
    "continuous in objects": (lambda: objects([1, 2, 2.5], None), "continuous"),
    "infinite": (lambda: np.where(KNOWN, np.inf, 0.0), "continuous. y is inf in row 0"),
    "mixed": (lambda: objects([1, "a", "b"], None), "labels of type int and str"),
    "bytes and strings": (lambda: objects([b"a", "a", "b"], None), "type bytes and str"),
    "times": (lambda: np.zeros(90, "M8[D]"), "dtype datetime64"),
    "complex": (lambda: states * 1j, "dtype complex"),
    "objects": (lambda: objects([{1}, {2}, {3}], None), "labels of type set"),
    "-1 as a string": (lambda: np.where(KNOWN, "a", "-1"), "dtype object"),
    "nan as a string": (lambda: np.where(KNOWN, "a", "nan"), "dtype object"),
    "too few": (lambda: CODES[:80], "y has 80 entries, but X has 90 rows"),
    "two columns": (lambda: np.c_[CODES, CODES], "1d array"),
    "too many classes": (
        lambda: CODES + 10 * KNOWN,
        "3 classes, .*n_components=2.*use_labels=False",
    ),
}


@by_estimator
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(estimator, make, message):
    with pytest.raises(ValueError, match=message):
        estimator(2, use_labels=True, **QUICK).fit(X, make())


# ---- y is not read unless asked for ----------------------------------------------------


@by_estimator
@pytest.mark.parametrize("y", [states, np.linspace(0, 1, 90), np.array(NAMES)[states], [None] * 90])
def test_targets_of_others_are_ignored(estimator, y):
    model = estimator(2, **QUICK).fit(X, y)
    assert model.log_likelihood_ == estimator(2, **QUICK).fit(X).log_likelihood_
    assert not hasattr(model, "classes_")
    assert estimator().fit(X, y).n_components_ == 1


def test_before_a_classifier_and_a_regressor():
    flowers, kinds = load_iris(return_X_y=True)
    mixture = FiniteMixtureEM(3, random_state=0)
    alone = mixture.fit(flowers).predict_proba(flowers)
    classifier = make_pipeline(FiniteMixtureEM(3, random_state=0), LogisticRegression())
    assert classifier.fit(flowers, kinds).score(flowers, kinds) > 0.8
    assert_array_equal(classifier[0].predict_proba(flowers), alone)
    regressor = make_pipeline(FiniteMixtureEM(3, random_state=0), LinearRegression())
    regressor.fit(flowers, flowers[:, 0] + 0.5)
    assert_array_equal(regressor[0].predict_proba(flowers), alone)


@by_estimator
def test_the_warning_of_a_column_points_here(estimator):
    with pytest.warns(DataConversionWarning, match="column-vector y was passed") as caught:
        estimator(use_labels=True, **QUICK).fit(X, CODES[:, None])
    assert caught[0].filename == __file__
