"""Weights and lengths: what they may be, and what is said where they are not."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM
from emlearn.data import read_lengths, read_weight
from emlearn.impute import MissingDataImputerEM

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(30, 2))
LENGTHS = [10, 5, 15]
COUNTS = np.array([1.0, 0.0, 3.0])
QUICK = {"random_state": 0, "max_iter": 20}
ESTIMATORS = {
    "GaussianMixtureEM": (GaussianMixtureEM(2, **QUICK), {}),
    "FiniteMixtureEM": (FiniteMixtureEM(2, init_params="rows", **QUICK), {}),
    "HiddenMarkovEM": (HiddenMarkovEM(2, init_params="rows", **QUICK), {"lengths": [1] * 30}),
    "MissingDataImputerEM": (MissingDataImputerEM(**QUICK), {}),
}
by_estimator = pytest.mark.parametrize(
    ("estimator", "more"), ESTIMATORS.values(), ids=ESTIMATORS.keys()
)


def test_kinds_of_weights():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for given in (
        COUNTS,
        COUNTS.tolist(),
        COUNTS.astype(int),
        COUNTS.astype(">f4"),
        COUNTS.astype(object),
        np.frombuffer(b"\0" + COUNTS.tobytes(), offset=1),
        np.ma.array(COUNTS),
        pd.Series(COUNTS, index=[7, 8, 9]),
        pd.Series(COUNTS, dtype="Int64"),
        pl.Series(COUNTS),
    ):
        found = read_weight(given, 3)
        assert_array_equal(found, COUNTS)
        assert found.dtype == np.dtype("=f8")
        assert found.flags.aligned
    assert_array_equal(read_weight(2, 3), [2.0, 2.0, 2.0])
    assert_array_equal(read_weight([True, False, True], 3), [1.0, 0.0, 1.0])
    assert read_weight(None, 3) is None


def weight_with(value):
    weight = np.ones(30, np.result_type(type(value), float))
    weight[4] = value
    return weight


REFUSED = {
    "negative": (lambda: weight_with(-1.0), " 4 has weight -1.0.*must be finite and >= 0"),
    "NaN": (lambda: weight_with(np.nan), "sample_weight contains NaN: .* 4 has weight nan"),
    "None": (lambda: [1.0] * 29 + [None], "sample_weight contains NaN: .* 29 has weight nan"),
    "masked": (lambda: np.ma.array(np.ones(30), mask=np.arange(30) == 3), "NaN: .* 3 has"),
    "infinite": (lambda: weight_with(np.inf), "sample_weight contains infinity: .* 4 has"),
    "complex": (lambda: weight_with(1j), "Complex data not supported: sample_weight"),
    "text": (lambda: ["a"] * 30, "Text in sample_weight of .* 0: could not convert"),
    "times": (lambda: np.zeros(30, "m8[D]"), "Times in sample_weight"),
    "too few": (lambda: np.ones(29), r"sample_weight has shape \(29,\).* shape \(30,\)"),
    "two columns": (lambda: np.ones((30, 2)), "1D array or scalar"),
    "all zero": (lambda: np.zeros(30), "at least one non-zero number: all .* have weight 0"),
    "sum overflows": (lambda: np.full(30, 1e308), "sample_weight sums to inf.*their mean"),
}


@by_estimator
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_weights(estimator, more, make, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, sample_weight=make(), **more)
    model = estimator.fit(X, **more)
    with pytest.raises(ValueError, match=message):
        model.score(X, sample_weight=make(), **more)


@by_estimator
@pytest.mark.parametrize("factor", [1e-170, 1e160])
def test_weights_of_extreme_scale(estimator, more, factor):
    """Either a factor changes nothing, or the weights are refused: never a wrong message."""
    weight = np.linspace(1.0, 2.0, 30)
    if isinstance(estimator, GaussianMixtureEM):
        # The default start and tolerance count rows, so these are given.
        estimator = clone(estimator).set_params(init_params="kmeans", tol=1e-10, max_iter=1000)
        plain = estimator.fit(X, sample_weight=weight).means_
        scaled = estimator.fit(X, sample_weight=factor * weight).means_
        np.testing.assert_allclose(scaled, plain, rtol=1e-6)
        return
    with pytest.raises(ValueError, match=r"sample_weight sums to .*divide the weights"):
        estimator.fit(X, sample_weight=factor * weight, **more)


@pytest.mark.filterwarnings("ignore:The weights of 30 rows")
@pytest.mark.parametrize("factor", [1e-90, 1e90])
@pytest.mark.parametrize("name", ["FiniteMixtureEM", "HiddenMarkovEM", "MissingDataImputerEM"])
def test_weights_that_are_just_accepted(name, factor):
    estimator, more = ESTIMATORS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = estimator.fit(X, sample_weight=np.full(30, factor), **more)
    assert np.isfinite(model.score(X, **more))


def test_what_has_a_weight():
    with pytest.raises(ValueError, match=r"one weight for each sequence, shape \(3,\)"):
        HiddenMarkovEM().fit(X, lengths=LENGTHS, sample_weight=np.ones(30))
    with pytest.raises(ValueError, match=r"one weight for each row, shape \(30,\)"):
        FiniteMixtureEM().fit(X, sample_weight=np.ones(3))


# ---- lengths --------------------------------------------------------------------------


def test_kinds_of_lengths():
    pd = pytest.importorskip("pandas")
    for given in (LENGTHS, tuple(LENGTHS), np.array(LENGTHS, float), pd.Series(LENGTHS)):
        found = read_lengths(given, 30)
        assert_array_equal(found, LENGTHS)
        assert found.dtype == np.int64
    assert_array_equal(read_lengths(None, 30), [30])
    assert_array_equal(read_lengths([3, 4], None), [3, 4])


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([10, 5], r"add up to 15, but X has 30 rows\. Each row must belong to one sequence\.$"),
        ([10, 5, 16], "add up to 31, but X has 30 rows.*cross-validation"),
        ([30, 0], "sequence 1 has length 0"),
        ([np.inf], "sequence 0 has length inf"),
        ([29.5, 0.5], "sequence 0 has length 29.5"),
        (30, "lengths must be a list"),
        (["30"], "lengths must be a list"),
        ([], "lengths must be a list"),
    ],
)
def test_refused_lengths(lengths, message):
    with pytest.raises(ValueError, match=message):
        read_lengths(lengths, 30)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_lengths_cannot_follow_a_split():
    search = GridSearchCV(HiddenMarkovEM(**QUICK), {"n_components": [1, 2]}, cv=3)
    message = r"lengths cannot follow the split\. Pass an identifier .* list of sequences"
    with pytest.raises(ValueError, match=message):
        search.fit(X, lengths=LENGTHS)
    with pytest.raises(ValueError, match=message):
        cross_val_score(HiddenMarkovEM(), X, params={"lengths": LENGTHS}, cv=3)
    assert np.isfinite(search.fit(X).best_score_)


def test_lengths_as_y():
    for method in (HiddenMarkovEM().fit, HiddenMarkovEM().fit(X).score):
        with pytest.raises(ValueError, match=r"y has 3 entries, but X has 30 .* lengths=\.\.\."):
            method(X, LENGTHS)
    with pytest.raises(ValueError, match="y has 3 entries, but X has 30 ") as refused:
        FiniteMixtureEM(use_labels=True).fit(X, LENGTHS)
    assert "lengths" not in str(refused.value)
