"""Mixed tables and parameters that are refused, and what the messages say."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator

from emlearn.data import check_marker, read_mixed, read_table

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

N = 24
TEXT = ["b", "a"] * (N // 2)
FRAME = pd.DataFrame({"City": TEXT, "x": np.arange(N) + 0.5})


def read(X, **settings):
    return read_mixed(BaseEstimator(), X, reset=True, **settings)


@pytest.mark.parametrize("parameter", ["categorical_features", "ordinal_features"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["City", "town"], "no column 'town'. Its columns are: 'City', 'x'"),
        ([0, 2], "position 2, but X has 2 columns: positions are integers from 0 to 1"),
        ([-1], "position -1"),
        ([True], "mask of 1 columns, but X has 2"),
        ([0.0], "must be a list of names"),
        ([0, "x"], "must be a list of names"),
        ([[0, 1]], "must be a list of names"),
        (0, "must be a list of names"),
    ],
)
def test_selections(parameter, given, message):
    with pytest.raises(ValueError, match=f"{parameter}.*{message}"):
        read(FRAME, **{parameter: given})


def test_selections_without_names():
    with pytest.raises(ValueError, match="columns of X have none"):
        read(np.eye(3), categorical_features=["x"])
    with pytest.raises(ValueError, match="must be 'from_dtype', None, a list"):
        read(FRAME, categorical_features="auto")


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_identifiers(frame):
    def with_levels(n_levels, n_rows):
        return frame({"Id": [f"r{i % n_levels}" for i in range(n_rows)]})

    for n_levels, n_rows in ((6, 40), (11, 100), (11, 109), (31, 1000)):
        with pytest.raises(ValueError, match=f"^Column 'Id' of X has {n_levels} distinct"):
            read(with_levels(n_levels, n_rows))
    for n_levels, n_rows in ((5, 5), (5, 40), (6, 60), (11, 110), (30, 1000)):
        assert read(with_levels(n_levels, n_rows)).schema.n_levels == [n_levels]


def test_declared_categories_need_fewer_rows():
    values = [f"r{i % 12}" for i in range(24)]
    with pytest.raises(ValueError, match="list it in categorical_features"):
        read(pd.DataFrame({"c": values}))
    assert read(pd.DataFrame({"c": values}), categorical_features=["c"]).schema.n_levels == [12]
    assert read(pd.DataFrame({"c": pd.Categorical(values)})).schema.n_levels == [12]
    with pytest.raises(ValueError, match=r"group its rare values\.$"):
        read(pd.DataFrame({"c": pd.Categorical([f"r{i % 13}" for i in range(24)])}))
    with pytest.raises(ValueError, match="has 31 distinct values"):
        read(np.arange(310.0).reshape(-1, 1) % 31, categorical_features=[0])


def test_text_is_an_error_where_no_column_is_a_category():
    with pytest.raises(ValueError, match="Text in column 'City' of X, row 0"):
        read(FRAME, categorical_features=None)
    with pytest.raises(ValueError, match="Text in column 'City' of X, row 0"):
        read(FRAME.assign(x=TEXT), categorical_features=["x"])


def test_a_number_as_marker_is_the_only_one():
    frame = pd.DataFrame({"City": ["b", None, "a"], "x": [1.5, -9, 3.5]})
    with pytest.raises(ValueError, match="NaN in column 'City', row 1, but missing_values=-9"):
        read(frame, missing_values=-9)
    assert np.isnan(read(frame, missing_values=[-9]).table[1]).all()
    times = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", None])})
    with pytest.raises(ValueError, match="NaN in column 't', row 1"):
        read(times, missing_values=-9)


def test_markers_that_are_none():
    for marker in ({}, [1, {}], True, [True], 1j, b"?"):
        with pytest.raises(ValueError, match="'missing_values' parameter of Own"):
            check_marker(marker, "Own")
    for marker in (-9, np.nan, None, pd.NA, "?", [-9, "?", None], (), np.array([-9, -8])):
        check_marker(marker, "Own")


def test_several_markers_in_tables_of_numbers(read):
    nan, markers = np.nan, [-9, -8, "?", ""]
    expected = [[1.5, nan], [nan, 2.0]]
    for table in (
        [[1.5, -9], [-8, 2]],
        np.array([[1.5, "?"], ["", 2]], object),
        np.array([["1.5", "?"], ["-9", "2"]]),
        np.float32([[1.5, -9], [nan, 2]]),
        np.ma.array([[1.5, -9], [7, 2]], mask=[[0, 0], [1, 0]]),
        pd.DataFrame({"a": ["1.5", ""], "b": [-8, 2]}),
        pl.DataFrame({"a": ["1.5", None], "b": [-8, 2]}),
    ):
        np.testing.assert_array_equal(read(table, missing_values=markers), expected)
    np.testing.assert_array_equal(
        read(np.array([[1, -9], [-8, 2]]), missing_values=[-9, -8]), [[1, nan], [nan, 2]]
    )


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"x": ["1.5", "q"] * 12}, ValueError, "Text in column 'x' of X, row 1.*'q'"),
        ({"x": [1.5, np.inf] * 12}, ValueError, "infinity.*column 'x', row 1"),
        ({"t": ["2020-01-01"] * 24}, ValueError, "Column 't' of X has dtype .* but held times"),
        ({"t": pd.to_timedelta(range(24), "D")}, ValueError, "Column 't' of X .* held times"),
        ({"City": [["a"]] * 24}, TypeError, "Column 'City' of X has lists"),
        ({"x": pd.date_range("2020", periods=24)}, ValueError, "Times in column 'x'"),
    ],
)
def test_new_rows(change, kind, message):
    frame = FRAME.assign(t=pd.date_range("2020", periods=24))
    estimator = BaseEstimator()
    schema = read_mixed(estimator, frame, reset=True).schema
    with pytest.raises(kind, match=message):
        read_mixed(estimator, frame.assign(**change), reset=False, schema=schema)


def test_unseen_levels():
    estimator = BaseEstimator()
    frame = FRAME.assign(few=[0, 1, 2] * 8)
    schema = read_mixed(estimator, frame, reset=True).schema
    rows = pd.DataFrame({"City": ["a", None, "z"], "x": [0.5, 1.5, 2.5], "few": [0, 1, 3]})
    found = read_mixed(estimator, rows, reset=False, schema=schema)
    np.testing.assert_array_equal(found.table[:, 0], [0, np.nan, np.nan])
    np.testing.assert_array_equal(found.unseen, [[0, 0, 0], [0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(found.missing, [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
    with pytest.raises(
        ValueError, match=r"^Column 'City' of X, row 2, has the level 'z'.*'a', 'b'"
    ):
        read_mixed(estimator, rows, reset=False, schema=schema, unseen="error")
    # A further whole number is no unknown category.
    settings = {"reset": False, "schema": schema, "unseen": "error"}
    assert read_mixed(estimator, rows.assign(City="a"), **settings).unseen[2, 2]


def test_tables_that_are_none():
    with pytest.raises(TypeError, match="dense data is required"):
        read(csr_array(np.eye(3)), categorical_features=[0])
    with pytest.raises(ValueError, match="Two columns of X are named 'x'"):
        read(pd.DataFrame([["a", 1], ["b", 2]], columns=["x", "x"]))
    with pytest.raises(ValueError, match="0 sample"):
        read(FRAME.iloc[:0])
    with pytest.raises(ValueError, match="0 feature"):
        read(FRAME[[]])
    with pytest.raises(TypeError, match="Not a number in column 0 of X, row 0"):
        read(np.array([[{"a": 1}, "x"], [1, "y"]], object))
    with pytest.raises(TypeError, match="Column 0 of X has lists, dicts"):
        read(np.array([["a"], [{}]], object))
    with pytest.raises(ValueError, match="several values in each row"):
        read(pl.DataFrame({"a": [[1], [2]], "b": ["x", "y"]}))


def test_read_table_still_refuses_text():
    with pytest.raises(ValueError, match="Text in column 'City'"):
        read_table(BaseEstimator(), FRAME, reset=True)
