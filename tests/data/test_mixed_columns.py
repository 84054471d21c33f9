"""What the columns of a mixed table are taken for, and their codes."""

import pickle
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from emlearn.data import read_mixed
from emlearn.data.tables import table_of

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

N = 24
TEXT = ["b", "a"] * (N // 2)


def read(X, **settings):
    return read_mixed(BaseEstimator(), X, reset=True, **settings)


def column_of(values, beside=TEXT, **settings):
    """What one column is taken for, beside another of categories."""
    frame = pd.DataFrame({"own": values} if beside is None else {"own": values, "text": beside})
    return read(frame, **settings).schema.columns[0]


def kinds_of(X, **settings):
    schema = read(X, **settings).schema
    return None if schema is None else schema.kinds.tolist()


@pytest.mark.parametrize(
    ("values", "kind", "levels"),
    [
        (TEXT, "nominal", ("a", "b")),
        (pd.array(TEXT, dtype="string"), "nominal", ("a", "b")),
        (np.array(TEXT, object), "nominal", ("a", "b")),
        (pd.Series([*TEXT[:-1], None], dtype=object), "nominal", ("a", "b")),
        (np.array([*TEXT[:-1], 3], object), "nominal", (3, "a", "b")),
        (pd.Categorical(TEXT, ["b", "c", "a"]), "nominal", ("b", "c", "a")),
        (pd.Categorical(TEXT, ["b", "c", "a"], ordered=True), "ordered", ("b", "c", "a")),
        (pd.Categorical([5, 3] * (N // 2)), "nominal", (3, 5)),
        (np.ones(N, bool), "nominal", (False, True)),
        (pd.array([True, None] * (N // 2), "boolean"), "nominal", (False, True)),
        (pd.Series([True, None] * (N // 2), dtype=object), "nominal", (False, True)),
        (pd.array([None] * N, "string"), "nominal", ()),
        # Numbers.
        (np.arange(N) + 0.5, "continuous", None),
        (["1.5", "2.5"] * (N // 2), "continuous", None),
        (np.array(["1.5", 3] * (N // 2), object), "continuous", None),
        (pd.Series([None] * N, dtype=object), "continuous", None),
        (np.arange(N), "integer", None),
        (pd.array([*range(N - 1), None], "Int16"), "integer", None),
        (pd.date_range("2020", periods=N), "continuous", None),
        (pd.to_timedelta(np.arange(N), unit="s"), "continuous", None),
        # Few whole numbers.
        ([4, 2, 7] * (N // 3), "ordered", (2, 4, 7)),
        ([4.0, 2.0, np.nan, 2.0] * (N // 4), "ordered", (2.0, 4.0)),
        (["4", "2"] * (N // 2), "ordered", (2.0, 4.0)),
        ([4.0, 2.5] * (N // 2), "continuous", None),
        ([3] * N, "integer", None),
        (list(range(8)) * 3, "ordered", tuple(range(8))),
        ([*list(range(8)) * 2, *range(7), 1], "ordered", tuple(range(8))),
        ([*list(range(8)) * 2, *range(7), 8], "integer", None),
        ([0, 0, 1, 1, 2] + [None] * (N - 5), "continuous", None),
    ],
)
def test_kinds(values, kind, levels):
    own = column_of(values)
    assert (own.kind, own.levels) == (kind, levels)
    if levels:
        assert [type(level) for level in own.levels] == [type(level) for level in levels]


def test_kinds_in_polars():
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, N), eager=True)
    frame = pl.DataFrame({"text": TEXT, "day": days, "yes": [True, None] * (N // 2)}).with_columns(
        pl.col("text").cast(pl.Categorical).alias("category"),
        pl.col("text").cast(pl.Enum(["b", "a", "c"])).alias("enum"),
        pl.col("day").cast(pl.Datetime("ms")).alias("time"),
        pl.Series("n", range(N)),
        pl.Series("digits", ["1.5", "2"] * (N // 2)),
    )
    schema = read(frame).schema
    kinds = dict(zip(frame.columns, schema.kinds.tolist(), strict=True))
    assert kinds == {
        "text": "nominal",
        "day": "continuous",
        "yes": "nominal",
        "category": "nominal",
        "enum": "ordered",
        "time": "continuous",
        "n": "integer",
        "digits": "continuous",
    }
    assert schema.columns[4].levels == ("b", "a", "c")
    assert schema.columns[4].counts == (N // 2, N // 2, 0)
    assert_array_equal(schema.n_levels, [2, 0, 2, 2, 3, 0, 0, 0])


def test_kinds_in_arrays():
    X = np.array([["a", 1.5, True], ["b", "2.5", False], [None, 3, None]], object)
    assert kinds_of(X) == ["nominal", "continuous", "nominal"]
    assert kinds_of(X.tolist()) == ["nominal", "continuous", "nominal"]
    assert kinds_of(np.array([["a", "1.5"], ["b", "2"]])) == ["nominal", "continuous"]


def test_few_whole_numbers_are_levels_only_beside_categories_or_by_dtype():
    few = np.tile([0.0, 1.0, 3.0], N // 3)
    assert kinds_of(pd.DataFrame({"few": few, "x": np.arange(N) + 0.5})) is None
    assert kinds_of(pd.DataFrame({"few": few.astype(int), "x": few})) == ["ordered", "continuous"]
    assert kinds_of(np.column_stack([few, few]).astype(int)) is None
    assert kinds_of(np.column_stack([few, few]), categorical_features=[0]) == ["nominal", "ordered"]
    assert kinds_of(pd.DataFrame({"few": few.astype(int)}), categorical_features=None) == [
        "integer"
    ]


@pytest.mark.parametrize(
    ("n_levels", "n_rows", "kind"),
    [(8, 24, "ordered"), (8, 23, "integer"), (9, 90, "integer"), (2, 6, "ordered")],
)
def test_few_is_at_most_8_with_3_rows_each(n_levels, n_rows, kind):
    frame = pd.DataFrame({"n": np.arange(n_rows) % n_levels})
    assert kinds_of(frame) == [kind]


@pytest.mark.parametrize(
    "X",
    [
        np.arange(6.0).reshape(3, 2),
        np.float32([[1, 2], [3, np.nan]]),
        np.arange(6).reshape(3, 2),
        np.eye(2, dtype=bool),
        [[1, None], ["2", 3]],
        np.array([[1, None], ["2.5", 3]], object),
        np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]]),
        pd.DataFrame({"a": [1.5, np.nan], "b": ["2", "3.5"]}),
        pl.DataFrame({"a": [1.5, None], "b": ["2", "3.5"]}),
    ],
)
def test_tables_of_numbers_are_read_as_ever(X, read):
    found = read_mixed(BaseEstimator(), X, reset=True)
    expected = read(X)
    assert found.schema is None
    assert found.unseen is None
    assert found.table.dtype == expected.dtype
    assert_array_equal(found.table, expected)
    assert_array_equal(found.missing, np.isnan(expected))


@pytest.mark.parametrize("chosen", [["z", "x"], [0, 2], [True, False, True], np.array([2, 0])])
def test_listed_columns_are_categories_whatever_their_dtype(chosen):
    frame = pd.DataFrame({"x": [2.5, 0.5, np.nan] * 8, "y": np.arange(N) / 7, "z": TEXT})
    found = read(frame, categorical_features=chosen)
    assert found.schema.kinds.tolist() == ["nominal", "continuous", "nominal"]
    assert found.schema.columns[0].levels == (0.5, 2.5)
    assert_array_equal(found.table[:3, 0], [1.0, 0.0, np.nan])
    ordered = read(frame[["x", "y"]], categorical_features=None, ordinal_features=["x"])
    assert ordered.schema.kinds.tolist() == ["ordered", "continuous"]
    assert_array_equal(ordered.schema.ordered, [True, False])
    assert_array_equal(ordered.schema.categorical, [True, False])


def test_listed_text_is_never_a_number():
    own = column_of(["10", "9"] * (N // 2), categorical_features=["own", "text"])
    assert own.levels == ("10", "9")


def test_codes_and_counts():
    frame = pd.DataFrame(
        {
            "c": pd.Categorical(["v", None, "u", "v"], ["v", "w", "u"]),
            "t": ["q", "p", None, "p"],
            "b": pd.array([True, None, False, False], "boolean"),
            "x": [0.5, np.nan, 2.5, 3.5],
        }
    )
    found = read(frame)
    assert_array_equal(
        found.table,
        [[0, 1, 1, 0.5], [np.nan, 0, np.nan, np.nan], [2, np.nan, 0, 2.5], [0, 0, 0, 3.5]],
    )
    assert [own.counts for own in found.schema.columns] == [(2, 0, 1), (2, 1), (2, 1), ()]
    assert [own.n_observed_levels for own in found.schema.columns] == [2, 2, 2, 0]
    assert [own.label for own in found.schema.columns[:2]] == ["column 'c'", "column 't'"]


def test_times_are_days():
    times = pd.to_datetime(["2020-03-02 12:00", None, "2020-03-01 06:00"])
    frame = pd.DataFrame({"t": times, "d": pd.to_timedelta([36, None, 60], unit="h")})
    for own in (
        frame,
        frame.assign(t=times.tz_localize("UTC").tz_convert("Asia/Tokyo")),
        pl.DataFrame(
            {
                "t": [None if t is pd.NaT else t.to_pydatetime() for t in frame.t],
                "d": [None if d is pd.NaT else d.to_pytimedelta() for d in frame.d],
            }
        ),
    ):
        # From the start of the earliest day, and the least whole number of days.
        assert_array_equal(read(own).table, [[1.5, 0.5], [np.nan, np.nan], [0.25, 1.5]])


def test_times_centuries_apart():
    times = np.array(["2262-01-01", "1700-01-01"], "M8[ns]")
    days = (np.datetime64("2262-01-01") - np.datetime64("1700-01-01")).astype(float)
    assert_array_equal(read(pd.DataFrame({"t": times})).table[:, 0], [days, 0])


def test_nan_in_polars_is_missing():
    frame = pl.DataFrame({"x": [1.5, float("nan"), None], "c": [2.0, float("nan"), 3.0]})
    found = read(frame, categorical_features=["c"])
    assert_array_equal(found.missing, [[0, 0], [1, 1], [1, 0]])
    assert_array_equal(table_of(frame).columns[0].absent(), [False, True, True])
    filled = np.where(found.missing, [2.5, 1.0], found.table)
    back = found.schema.decode(filled, frame, found.missing)
    assert back.rows() == [(1.5, 2.0), (2.5, 3.0), (2.5, 3.0)]


def test_markers_of_every_kind():
    X = np.array(
        [["?", "1.5", -9], ["a", "?", 2.5], ["b", "", None], ["a", 7, -8], [-9, np.nan, 1]], object
    )
    found = read(X, missing_values=[-9, -8, "?", ""])
    nan = np.nan
    expected = [[nan, 1.5, nan], [0, nan, 2.5], [1, nan, nan], [0, 7, nan], [nan, nan, 1]]
    assert_array_equal(found.table, expected)
    assert found.schema.columns[0].levels == ("a", "b")
    for frame in (pd.DataFrame, pl.DataFrame):
        table = frame({"a": ["x", "?", "y"], "b": ["1", "?", "2"], "n": [-9, 3, 4]})
        assert_array_equal(
            read(table, missing_values=["?", -9, "no such"]).table,
            [[0, 1, nan], [nan, nan, 3], [1, 2, 4]],
        )


def test_a_marker_among_declared_categories_is_no_level():
    own = pd.Categorical(["a", "?", "b"], ["?", "b", "a"])
    found = read(pd.DataFrame({"c": own}), missing_values="?")
    assert found.schema.columns[0].levels == ("b", "a")
    assert_array_equal(found.table[:, 0], [1, np.nan, 0])


def test_markers_of_codes():
    X = np.column_stack([[0.0, 1.0, -9.0, 1.0], [1.5, -9.0, 3.5, 4.5]])
    found = read(X, missing_values=-9, categorical_features=[0])
    assert_array_equal(found.table, np.where(X == -9, np.nan, X))
    assert found.schema.columns[0].levels == (0.0, 1.0)


def test_names_are_checked_as_ever():
    estimator = BaseEstimator()
    frame = pd.DataFrame({"c": TEXT, "x": np.arange(N) + 0.5})
    schema = read_mixed(estimator, frame, reset=True).schema
    assert estimator.feature_names_in_.tolist() == ["c", "x"]
    assert estimator.n_features_in_ == 2
    with pytest.raises(ValueError, match="must be in the same order"):
        read_mixed(estimator, frame[["x", "c"]], reset=False, schema=schema)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        read_mixed(estimator, frame.to_numpy(), reset=False, schema=schema)


def test_a_schema_is_pickled():
    schema = read(pd.DataFrame({"c": pd.Categorical(TEXT), "x": np.arange(N) + 0.5})).schema
    assert pickle.loads(pickle.dumps(schema)) == schema


def test_arrays_need_neither_pandas_nor_polars(monkeypatch):
    for name in ("pandas", "polars"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    X = np.array([["a", 1.5], ["b", None], [None, 3.5]], object)
    found = read(X)
    filled = np.where(found.missing, [0.0, 2.5], found.table)
    completed = found.schema.decode(filled, X, found.missing)
    assert completed.tolist() == [["a", 1.5], ["b", 2.5], ["a", 3.5]]
