import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_score

from emlearn import LinearMixedModelEM
from emlearn.mixed._response import read_response

RESPONSES = {
    "floats": np.array([1.5, np.nan, 3.0]),
    "float32": np.array([1.5, np.nan, 3.0], np.float32),
    "big endian": np.array([1.5, np.nan, 3.0], ">f8"),
    "list": [1.5, None, 3],
    "tuple": (1.5, float("nan"), 3),
    "objects": np.array([1.5, None, 3], object),
    "objects with NA": np.array([1.5, pd.NA, 3], object),
    "masked": np.ma.array([1.5, 7.0, 3.0], mask=[0, 1, 0]),
    "masked objects": np.ma.array(np.array([1.5, "?", 3.0], object), mask=[0, 1, 0]),
    "Series": pd.Series([1.5, np.nan, 3.0]),
    "Series of Float64": pd.Series([1.5, pd.NA, 3.0], dtype="Float64"),
    "Series of objects": pd.Series([1.5, pd.NA, 3.0], dtype=object),
    "polars": pl.Series([1.5, None, 3.0]),
}


@pytest.mark.parametrize("y", RESPONSES.values(), ids=RESPONSES.keys())
def test_missing_values_are_nan(y):
    read = read_response(y, 3, "Model")
    assert read.dtype == np.float64
    assert read.dtype.isnative
    assert_array_equal(read, [1.5, np.nan, 3.0])


INTEGERS = {
    "int": np.array([1, 0, 3]),
    "uint8": np.array([1, 0, 3], np.uint8),
    "bool": np.array([True, False, True]),
    "Int64": pd.Series([1, 0, 3], dtype="Int64"),
    "polars": pl.Series([1, 0, 3]),
}


@pytest.mark.parametrize("y", INTEGERS.values(), ids=INTEGERS.keys())
def test_integers_become_floats(y):
    read = read_response(y, 3, "Model")
    assert read.dtype == np.float64
    assert read.tolist() == [float(value) for value in y]


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pl.Series([1, None, 3]),
        pl.Series([1, None, 3], dtype=pl.Int8),
    ],
    ids=["pandas", "polars", "polars Int8"],
)
def test_integers_with_missing_values(y):
    assert_array_equal(read_response(y, 3, "Model"), [1.0, np.nan, 3.0])


def test_the_response_is_a_copy():
    y = np.array([1.0, 2.0])
    read_response(y, 2, "Model")[0] = 7.0
    assert y[0] == 1.0


@pytest.mark.parametrize(
    "y",
    [np.ones((3, 1)), [[1], [1], [1]], pd.DataFrame({"y": [1, 1, 1]})],
    ids=["array", "list", "frame"],
)
def test_a_column_is_read_with_a_warning(y):
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        read = read_response(y, 3, "Model")
    assert_array_equal(read, [1.0, 1.0, 1.0])


ERRORS = {
    "none": (None, "This Model estimator requires y to be passed, but the target y is None."),
    "infinity": (
        [1.0, np.inf, 2.0],
        r"Input y contains infinity or a value too large for dtype\('float64'\)\. .* row 1",
    ),
    "too large": ([1.0, 10**400, 2.0], "y, row 1 is too large for float64"),
    "text": ([1.0, 2.0, "high"], "y has text: 'high' in row 2"),
    "array of text": (np.array(["a", "b", "c"]), "y has text: 'a' in row 0"),
    "text that is a number": (["1", 2, 3], "y has text: '1' in row 0"),
    "complex": (np.array([1.0, 2j, 3.0]), "Complex data not supported"),
    "complex objects": ([1.0, 2j, 3.0], "Complex data not supported"),
    "times": (np.array(["2020-01-01"] * 3, "M8[D]"), "Times in y"),
    "all missing": ([np.nan, None, np.nan], "y has no values: all 3 are missing. Model needs"),
    "short": ([1.0, 2.0], r"inconsistent numbers of samples: \[3, 2\]"),
    "two columns": (np.ones((3, 2)), r"y should be a 1d array, got an array of shape \(3, 2\)"),
}


@pytest.mark.parametrize(("y", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_bad_responses_are_errors(y, message):
    with pytest.raises(ValueError, match=message):
        read_response(y, 3, "Model")


def test_objects_that_are_no_numbers_are_errors():
    with pytest.raises(TypeError, match="Not a number in y, row 1"):
        read_response([1.0, {}, 2.0], 3, "Model")


def test_score_leaves_out_rows_without_responses():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=40), "g": np.arange(40) % 5})
    y = X["x"] + X["g"] + rng.normal(size=40)
    known = rng.random(40) < 0.7
    model = LinearMixedModelEM("g").fit(X, y.where(known))
    weight = rng.random(40)
    for own in (None, weight):
        expected = r2_score(
            y[known], model.predict(X[known]), sample_weight=None if own is None else own[known]
        )
        assert model.score(X, y.where(known), own) == pytest.approx(expected, rel=1e-12)
    scores = cross_val_score(model, X, y.where(known), cv=KFold(4, shuffle=True, random_state=0))
    assert np.isfinite(scores).all()
    with pytest.raises(ValueError, match="y has no values: all 40 are missing"):
        model.score(X, y.where(y > np.inf))
    by_formula = LinearMixedModelEM(formula="y ~ x + (1 | g)").fit(X.assign(y=y))
    assert by_formula.score(X.assign(y=y)) == by_formula.score(X, y)
