"""Bad input: a clear error, or the documented result."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from emlearn import RecordLinkageEM
from emlearn.linkage import RecordPairs


@pytest.fixture
def X(sample):
    return sample[0]


def with_entry(X, value):
    changed = X.copy()
    changed[7, 1] = value
    return changed


@pytest.mark.parametrize("value", [0.5, -1, 100, 1e9])
def test_levels_that_are_none(X, value):
    with pytest.raises(ValueError, match=r"level \S+ in row 7, comparison 1"):
        RecordLinkageEM().fit(with_entry(X, value))


def test_pairs_without_any_comparison(X):
    """They have the prevalence as their probability, and change nothing but counts."""
    X = np.concatenate([X, np.full((50, 3), np.nan)])
    model, without = RecordLinkageEM(tol=1e-10).fit(X), RecordLinkageEM(tol=1e-10).fit(X[:-50])
    assert_allclose(model.predict_proba(X[-1:])[0, 1], model.prevalence_)
    assert_allclose(model.prevalence_, without.prevalence_, rtol=1e-4)


def test_comparison_that_is_always_missing(X):
    X = np.column_stack([X, np.full(len(X), np.nan)])
    with pytest.warns(UserWarning, match=r"same level of the comparison\(s\) 3, or none"):
        model = RecordLinkageEM().fit(X)
    assert_allclose(model.match_weights_[3], 0.0)
    assert_allclose(model.prevalence_, RecordLinkageEM().fit(X[:, :3]).prevalence_, rtol=1e-3)


def test_comparison_with_one_level(X):
    X = np.column_stack([X, np.ones(len(X))])
    with pytest.warns(UserWarning, match=r"same level of the comparison\(s\) 3"):
        model = RecordLinkageEM().fit(X)
    assert_allclose(model.match_weights_[3], 0.0, atol=1e-3)


def test_levels_never_seen(X):
    """They have a weight of 0, unless m and u of them are held."""
    model = RecordLinkageEM(n_levels=(4, 2, 4)).fit(X)
    assert model.match_weights_[0][3] == 0.0
    row = np.array([[3.0, np.nan, np.nan]])
    assert_allclose(model.predict_proba(row)[0, 1], model.prevalence_)
    held = {"u": {"0": [np.nan, np.nan, np.nan, 0.01]}, "m": {"0": [np.nan, np.nan, np.nan, 0.4]}}
    model = RecordLinkageEM(n_levels=(4, 2, 4), fixed=held).fit(X)
    assert_allclose(model.match_weights_[0][3], np.log2(40))


def test_new_levels(X):
    model = RecordLinkageEM().fit(X)
    with pytest.raises(ValueError, match="level 2 in row 7, comparison 1, but the fit knows"):
        model.predict(with_entry(X, 2))
    with pytest.raises(ValueError, match=r"level 3 in comparison 2, but n_levels declares 3"):
        RecordLinkageEM(n_levels=3).fit(X)


def test_counts(X):
    model = RecordLinkageEM()
    with pytest.raises(ValueError, match="row 3 has weight -1"):
        model.fit(X, sample_weight=np.where(np.arange(len(X)) == 3, -1, 1))
    with pytest.raises(ValueError, match="all rows have weight 0"):
        model.fit(X, sample_weight=np.zeros(len(X)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, sample_weight=np.full(len(X), 1e-4))
    assert any("the prior counts as" in str(own.message) for own in caught)


def test_no_pairs():
    none = RecordPairs(np.zeros((0, 2), np.int8), ("a", "b"), (("0", "1"),) * 2)
    with pytest.raises(ValueError, match="no pairs"):
        RecordLinkageEM().fit(none)
    with pytest.raises(ValueError, match="0 sample"):
        RecordLinkageEM().fit(np.zeros((0, 2)))


def test_all_pairs_equal():
    """Nothing tells matches from non-matches; results are finite and told to be unsound."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = RecordLinkageEM().fit(np.ones((20, 3)))
    assert any("say nothing" in str(own.message) for own in caught)
    assert np.isfinite(model.decision_function(np.ones((2, 3)))).all()


def test_no_matches(vectors):
    X, _ = vectors(3000, prevalence=0.0, missing=0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = RecordLinkageEM(alpha=0.0, fixed={"u": [[0.9, 0.05, 0.05], None, None]}).fit(X)
    for own in caught:
        assert issubclass(own.category, ConvergenceWarning)
    assert np.isfinite(model.predict_proba(X)).all()
    assert np.isfinite(model.decision_function(X)).all()


def test_comparison_names(X):
    levels = np.where(np.isnan(X), -1, X).astype(np.int8)
    names = tuple(tuple("abcd"[:n]) for n in (3, 2, 4))
    pairs = RecordPairs(levels, ("first", "last", "city"), names)
    model = RecordLinkageEM().fit(pairs)
    other = RecordPairs(levels, ("last", "first", "city"), names)
    with pytest.raises(ValueError, match="fitted to first, last, city, in this order"):
        model.predict(other)
    with pytest.raises(ValueError, match="2 comparisons, but RecordLinkageEM was fitted to 3"):
        model.predict(RecordPairs(levels[:, :2], ("first", "last"), names[:2]))
    with pytest.raises(NotFittedError):
        RecordLinkageEM().predict(pairs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_levels": (3, 2)}, "n_levels has 2 entries, but there are 3"),
        ({"n_levels": 1}, "integers from 2 to 100, got 1 for comparison 0"),
        ({"interactions": [("0", "7")]}, "names the comparison '7'; there are 0, 1, 2"),
        ({"interactions": [(0, 0)]}, "none with itself"),
        ({"interactions": [(0, 5)]}, "positions below 3; got 5"),
        ({"interactions": ["01"]}, "must be pairs of comparisons"),
        ({"interactions": [(0, 1)], "ordered": True}, "ordered=True is not possible"),
        ({"interactions": [(0, 1)], "alpha": 0.0}, "interactions need alpha > 0"),
        ({"interactions": [(0, 1)], "fixed": {"u": {"0": [0.9, 0.1, 0]}}}, "has interactions"),
        ({"prevalence_alpha": (1, 2, 3)}, "a number >= 0, or two"),
        ({"prevalence_alpha": -1.0}, "prevalence_alpha"),
        ({"fixed": {"weights": 3}}, "unknown parameter 'weights'"),
        ({"fixed": {"prevalence": 1.5}}, "between 0 and 1, got 1.5"),
        ({"fixed": {"u": {"7": [1]}}}, "names the comparison '7'"),
        ({"fixed": {"u": {"1": [0.2, 0.2]}}}, "of '1' has probabilities that sum to 0.4"),
        ({"fixed": {"m": {"1": [0.2]}}}, "must have 2 probabilities"),
        ({"fixed": {"m": {"1": [-0.2, 1.2]}}}, "probabilities from 0 to 1"),
        ({"fixed": {"m": {"1": ["a", "b"]}}}, "must hold numbers"),
        ({"fixed": {"m": 3}}, "a dict of arrays by comparison, or a list"),
        ({"fixed": {"m": [None]}}, "None for each of the 3 comparisons"),
        ({"ordered": True, "fixed": {"u": {"0": [0.9, np.nan, np.nan]}}}, "as a whole only"),
        ({"threshold": 2.0}, "threshold"),
    ],
)
def test_hyperparameters(X, settings, message):
    with pytest.raises(ValueError, match=message):
        RecordLinkageEM(**settings).fit(X)


@pytest.mark.parametrize(
    ("frequency", "message"),
    [
        ({"7": [1.0]}, "names the comparison '7'"),
        ({"0": [1.0]}, "must have shape"),
        ({"0": np.zeros(3000)}, "of '0' is 0 in row 0"),
        (np.zeros((2, 2)), "must have shape"),
    ],
)
def test_frequencies(X, frequency, message):
    model = RecordLinkageEM().fit(X)
    with pytest.raises(ValueError, match=message):
        model.predict(X, frequency=frequency)


def test_precision(X):
    model = RecordLinkageEM().fit(X)
    with pytest.raises(ValueError, match="precision must be between 0 and 1"):
        model.threshold_for_precision(X, 1.0)
    with pytest.raises(ValueError, match="interactions has changed after fit"):
        model.set_params(interactions=[(0, 1)]).predict(X)
