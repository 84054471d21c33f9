"""Lags and leads, within series, and the way back."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn.impute import LagFeatures, MissingDataImputerEM

nan = np.nan

# A row of the output depends on its neighbors, as it must.
NEIGHBORS = {
    "check_methods_subset_invariance": "a row depends on its neighbors",
    "check_methods_sample_order_invariance": "a row depends on its neighbors",
}


@parametrize_with_checks(
    [LagFeatures(), LagFeatures([1, 2], leads=1)], expected_failed_checks=lambda _: NEIGHBORS
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_lags_and_leads_as_pandas_shifts_them():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("abc"))
    frame["person"] = rng.choice(["x", "y", "z"], size=30)
    frame.iloc[3, 0] = nan
    lags = LagFeatures([1, 3], leads=2, columns=["a", "c"], groups="person")
    out = lags.set_output(transform="pandas").fit_transform(frame)
    expected = frame[["a", "b", "c"]].copy()
    for step, word in ((1, "lag1"), (3, "lag3"), (-2, "lead2")):
        for name in ("a", "c"):
            expected[f"{name}_{word}"] = frame.groupby("person")[name].shift(step)
    pd.testing.assert_frame_equal(out, expected)
    assert list(lags.get_feature_names_out()) == list(expected.columns)
    pd.testing.assert_frame_equal(lags.inverse_transform(out), frame[["a", "b", "c"]])


def test_in_front_of_an_imputer():
    rng = np.random.default_rng(0)
    series = np.zeros((400, 2))
    for i in range(1, 400):
        series[i] = 0.95 * series[i - 1] + 0.3 * rng.normal(size=2)
    X = series.copy()
    X[rng.random(X.shape) < 0.2] = nan
    lags = LagFeatures(1, leads=1)
    filled = lags.inverse_transform(make_pipeline(lags, MissingDataImputerEM()).fit_transform(X))
    alone = MissingDataImputerEM().fit_transform(X)
    holes = np.isnan(X)
    assert_array_equal(filled[~holes], X[~holes])
    error, without = (np.sqrt(np.mean((f - series)[holes] ** 2)) for f in (filled, alone))
    assert error < 0.5 * without


def test_arrays_with_groups_and_short_series():
    X = np.array([[1.0, 0], [10.0, 1], [2.0, 0], [20.0, 1], [7.0, 2]])
    out = LagFeatures(1, leads=[1], groups=1).fit_transform(X)
    expected = [[1, nan, 2], [10, nan, 20], [2, 1, nan], [20, 10, nan], [7, nan, nan]]
    assert_array_equal(out, expected)
    assert LagFeatures(9).fit_transform(X).shape == (5, 4)
    assert LagFeatures([], leads=()).fit_transform(X).shape == X.shape
    text = np.array([[1.0, "u"], [2.0, "v"], [3.0, "u"]], dtype=object)
    assert_array_equal(LagFeatures(groups=1).fit_transform(text), [[1, nan], [2, nan], [3, 1]])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lags": 0}, "lags must be different integers >= 1"),
        ({"leads": [1, 1]}, "leads must be different integers >= 1"),
        ({"lags": [1.5]}, "lags must be"),
        ({"columns": ["z"]}, "There is no column 'z'; the columns are x0, x1"),
        ({"groups": 5}, "There is no column 5"),
        ({"columns": [1], "groups": 1}, "which is the column of groups"),
    ],
)
def test_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        LagFeatures(**parameters).fit([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match="missing entry in row 1"):
        LagFeatures(groups=1).fit([[1.0, 2.0], [3.0, nan]])
