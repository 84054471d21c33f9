"""From a mixed table to codes and back: every dtype, every library, new rows."""

import datetime

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from emlearn.data import read_mixed

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
from pandas.testing import assert_frame_equal, assert_series_equal  # noqa: E402
from polars.testing import assert_frame_equal as assert_polars_equal  # noqa: E402

N = 24
TEXT = ["b", "a"] * (N // 2)
DAY = datetime.datetime(2020, 1, 1)


def fitted(X, **settings):
    return read_mixed(BaseEstimator(), X, reset=True, **settings)


def completed(schema, X, imputed, **settings):
    """New rows with the same numbers and codes in the holes of each row."""
    codes, unseen = schema.encode(X, **settings)
    missing = np.isnan(codes) if unseen is None else np.isnan(codes) & ~unseen
    return schema.decode(np.where(missing, imputed, codes), X, missing)


# ---- every dtype ----------------------------------------------------------------------

CATEGORIES = ["u", "w", "v"]
# Values that a column may have, the dtype, and whether it can have holes.
IN_PANDAS = {
    "float64": (st.floats(-1e6, 1e6), "float64", True),
    "float32": (st.floats(-1e6, 1e6, width=32), "float32", True),
    "Float32": (st.floats(-1e6, 1e6, width=32), "Float32", True),
    "int64": (st.integers(-(2**40), 2**40), "int64", False),
    "uint8": (st.integers(0, 255), "uint8", False),
    "Int8": (st.integers(-128, 127), "Int8", True),
    "UInt64": (st.integers(0, 2**40), "UInt64", True),
    "few": (st.integers(0, 3), "int16", False),
    "bool": (st.booleans(), "bool", False),
    "boolean": (st.booleans(), "boolean", True),
    "objects of booleans": (st.booleans(), "object", True),
    "text": (st.sampled_from(CATEGORIES), "str", True),
    "string": (st.sampled_from(CATEGORIES), "string", True),
    "objects": (st.sampled_from(CATEGORIES), "object", True),
    "several types": (st.sampled_from(["u", 3, 2.5]), "object", True),
    "category": (st.sampled_from(CATEGORIES), pd.CategoricalDtype([*CATEGORIES, "t"]), True),
    "order": (st.sampled_from(CATEGORIES), pd.CategoricalDtype(CATEGORIES, ordered=True), True),
    "numbers as categories": (st.sampled_from([3, 1]), pd.CategoricalDtype([3, 2, 1]), True),
    "times": (st.integers(0, 10**9), "datetime64[s]", True),
    "fine times": (st.integers(0, 10**9), "datetime64[ns]", True),
    "zone": (st.integers(0, 10**9), pd.DatetimeTZDtype("us", "Europe/Berlin"), True),
    "durations": (st.integers(-(10**9), 10**9), "timedelta64[ms]", True),
}
IN_POLARS = {
    "Float64": (st.floats(-1e6, 1e6), pl.Float64),
    "Float32": (st.floats(-1e6, 1e6, width=32), pl.Float32),
    "Int64": (st.integers(-(2**40), 2**40), pl.Int64),
    "UInt8": (st.integers(0, 255), pl.UInt8),
    "few": (st.integers(0, 3), pl.Int16),
    "Boolean": (st.booleans(), pl.Boolean),
    "String": (st.sampled_from(CATEGORIES), pl.String),
    "Categorical": (st.sampled_from(CATEGORIES), pl.Categorical),
    "Enum": (st.sampled_from(CATEGORIES), pl.Enum([*CATEGORIES, "t"])),
    "Date": (st.integers(0, 10**4), pl.Date),
    "Datetime": (st.integers(0, 10**9), pl.Datetime("ms")),
    "zone": (st.integers(0, 10**9), pl.Datetime("us", "Asia/Tokyo")),
    "Duration": (st.integers(-(10**9), 10**9), pl.Duration("us")),
}


def holes_beside_text(data, n_columns):
    """Holes; the first two rows of all columns are complete, so that no column is empty."""
    holes = np.array(
        data.draw(st.lists(st.booleans(), min_size=N * n_columns, max_size=N * n_columns))
    )
    holes = holes.reshape(N, n_columns)
    holes[:2] = False
    return holes


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pandas_there_and_back(data):
    names = data.draw(st.lists(st.sampled_from(sorted(IN_PANDAS)), min_size=1, unique=True))
    truth = pd.DataFrame({"beside": TEXT}, index=pd.RangeIndex(5, 5 + N, name="row"))
    for name in names:
        values, dtype, _ = IN_PANDAS[name]
        drawn = data.draw(st.lists(values, min_size=N, max_size=N))
        truth[name] = pd.Series(drawn, truth.index, dtype=dtype)
    found = fitted(truth)
    assert not np.isnan(found.table).any()
    assert_frame_equal(found.schema.decode(found.table, truth, found.missing), truth)

    holes = holes_beside_text(data, truth.shape[1])
    holed = truth.copy()
    for j, name in enumerate(truth):
        if name in IN_PANDAS and IN_PANDAS[name][2]:
            holed[name] = truth[name].mask(pd.Series(holes[:, j], truth.index))
    missing = holed.isna().to_numpy()
    assert_frame_equal(found.schema.decode(found.table, holed, missing), truth)
    assert_array_equal(np.isnan(found.schema.encode(holed)[0]), missing)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_polars_there_and_back(data):
    names = data.draw(st.lists(st.sampled_from(sorted(IN_POLARS)), min_size=1, unique=True))
    columns = [pl.Series("beside", TEXT)]
    for name in names:
        values, dtype = IN_POLARS[name]
        drawn = pl.Series(name, data.draw(st.lists(values, min_size=N, max_size=N)))
        whole = drawn.cast(pl.Int32) if dtype == pl.Date else drawn
        columns.append(whole.cast(dtype))
    truth = pl.DataFrame(columns)
    found = fitted(truth)
    assert_polars_equal(found.schema.decode(found.table, truth, found.missing), truth)

    holes = holes_beside_text(data, truth.width)
    holed = truth.select(
        pl.when(~pl.Series(holes[:, j])).then(pl.col(name)).alias(name)
        for j, name in enumerate(truth.columns)
    )
    assert_polars_equal(found.schema.decode(found.table, holed, holes), truth)
    assert_array_equal(np.isnan(found.schema.encode(holed)[0]), holes)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_arrays_there_and_back(data):
    entries = st.tuples(
        st.sampled_from(["u", "v", 3]), st.floats(-1e6, 1e6), st.booleans(), st.sampled_from([2, 7])
    )
    truth = np.array([("u", 0.5, True, 2), *data.draw(st.lists(entries, min_size=3))], object)
    found = fitted(truth)
    holes = np.array(
        data.draw(st.lists(st.booleans(), min_size=truth.size, max_size=truth.size))
    ).reshape(truth.shape)
    holed = truth.copy()
    holed[holes] = None
    back = found.schema.decode(found.table, holed, holes)
    assert back.dtype == object
    assert_array_equal(back, truth)


def test_observed_entries_keep_their_bits():
    frame = pd.DataFrame(
        {"x": [0.1 + 0.2, -0.0, np.nan], "n": pd.array([2**62 + 1, None, 3], "Int64")}
    )
    frame["t"] = np.array(["2262-01-01T00:00:00.000000001", "NaT", "1700-01-01"], "M8[ns]")
    frame["text"] = ["a", "b", None]
    back = completed(fitted(frame).schema, frame, [0.5, 7.4, 1.0, 0.0])
    assert back["x"].to_numpy()[:2].tobytes() == frame["x"].to_numpy()[:2].tobytes()
    assert back["n"].tolist() == [2**62 + 1, 7, 3]
    assert back["t"].iloc[[0, 2]].equals(frame["t"].iloc[[0, 2]])
    assert back["t"].iloc[1] == pd.Timestamp("1700-01-02")
    assert back["text"].tolist() == ["a", "b", "a"]
    late = completed(fitted(frame).schema, frame, [0.5, 7.4, 1e9, 0.0])
    assert pd.Timestamp("2262-04-01") < late["t"].iloc[1] <= pd.Timestamp.max


# ---- imputed values -------------------------------------------------------------------


def test_integers_are_rounded_within_their_dtype():
    full = [*range(100, 99 + N), None]
    frame = pd.DataFrame({"n": pd.array(full, "Int8"), "text": TEXT})
    schema = fitted(frame).schema
    for imputed, expected in ((7.6, 8), (-7.6, -8), (500.0, 127), (-500.0, -128)):
        back = completed(schema, frame, [imputed, 0])
        assert back["n"].dtype == "Int8"
        assert back["n"].iloc[-1] == expected
    frame = pl.DataFrame({"n": pl.Series(full, dtype=pl.UInt8), "text": TEXT})
    for imputed, expected in ((7.6, 8), (-7.6, 0), (500.0, 255)):
        back = completed(fitted(frame).schema, frame, [imputed, 0])
        assert (back["n"].dtype, back["n"][-1]) == (pl.UInt8, expected)


def test_holes_of_integers_and_booleans_come_as_other_dtypes():
    frame = pd.DataFrame({"n": range(N), "yes": [True, False] * (N // 2), "text": TEXT})
    schema = fitted(frame).schema
    rows = pd.DataFrame({"n": [3, np.nan], "yes": [None, False], "text": ["a", "b"]})
    back = completed(schema, rows, [7.6, 1, 0])
    assert back["n"].dtype == np.float64
    assert back["n"].tolist() == [3.0, 8.0]
    assert back["yes"].dtype == object
    assert back["yes"].tolist() == [True, False]
    whole = completed(schema, frame, [0, 0, 0])
    assert_frame_equal(whole, frame)


def test_marked_integers_stay_integers():
    frame = pd.DataFrame({"n": [*range(N - 1), -9], "text": TEXT})
    schema = fitted(frame, missing_values=-9).schema
    back = completed(schema, frame, [7.6, 0], missing_values=-9)
    assert_series_equal(back["n"], pd.Series([*range(N - 1), 8], name="n"))


def test_fractions_widen_integers():
    schema = fitted(pd.DataFrame({"x": np.arange(N) + 0.5, "text": TEXT})).schema
    rows = {"x": [3, None], "text": ["a", "b"]}
    for frame in (pd.DataFrame(rows).astype({"x": "Int64"}), pl.DataFrame(rows)):
        back = completed(schema, frame, [2.5, 0])
        assert str(back["x"].dtype) == "Float64"
        assert back["x"].to_list() == [3.0, 2.5]


def test_whole_days_stay_whole():
    for values in (pd.date_range("2020", periods=N), pd.to_timedelta(range(N), "D")):
        frame = pd.DataFrame({"t": values})
        frame.loc[3, "t"] = None
        back = completed(fitted(frame).schema, frame, [7.3])
        assert back["t"].iloc[3] == values[7]
    frame = pd.DataFrame({"t": pd.date_range("2020", periods=N, freq="6h")})
    frame.loc[3, "t"] = None
    assert completed(fitted(frame).schema, frame, [7.25])["t"].iloc[3] == DAY + pd.Timedelta("7D6h")


def test_numbers_of_text_come_back_as_numbers():
    values = ["1.5", "?", *map(str, range(2, N))]
    for frame in (pd.DataFrame, pl.DataFrame):
        X = frame({"x": values, "text": TEXT})
        schema = fitted(X, missing_values="?").schema
        back = completed(schema, X, [2.5, 0], missing_values="?")
        assert back["x"].to_list() == [1.5, 2.5, *range(2, N)]
        assert back["text"].to_list() == TEXT
    X = np.array([values, TEXT], object).T
    back = completed(fitted(X, missing_values="?").schema, X, [2.5, 0], missing_values="?")
    assert back[:2].tolist() == [[1.5, "b"], [2.5, "a"]]


def test_codes_of_arrays_stay_numbers():
    for dtype in (np.float64, np.float32):
        X = np.column_stack([[3, 5, np.nan, 5], [0.5, np.nan, 2.5, 3.5]]).astype(dtype)
        back = completed(fitted(X, categorical_features=[0]).schema, X, [1, 7.25])
        assert back.dtype == dtype
        assert_array_equal(back, [[3, 0.5], [5, 7.25], [5, 2.5], [5, 3.5]])
    X = np.array([[3, 10], [5, -9], [-9, 30]])
    schema = fitted(X, categorical_features=[0], missing_values=-9).schema
    back = completed(schema, X, [1, 19.6], missing_values=-9)
    assert back.dtype.kind == "i"
    assert_array_equal(back, [[3, 10], [5, 20], [5, 30]])


def test_only_the_columns_asked_for():
    frame = pd.DataFrame({"a": TEXT, "x": np.arange(N) + 0.5, "b": TEXT})
    found = fitted(frame)
    kept = [2, 1]
    for X in (frame, pl.DataFrame(frame.to_dict("list")), frame.to_numpy()):
        back = found.schema.decode(found.table[:, kept], X, found.missing[:, kept], kept)
        if isinstance(X, np.ndarray):
            assert_array_equal(back, X[:, kept])
        else:
            assert list(back.columns) == ["b", "x"]
            assert back["x"].to_list() == frame["x"].tolist()


# ---- new rows -------------------------------------------------------------------------

CATEGORY = pd.DataFrame({"c": pd.Categorical(TEXT, ["b", "a"]), "x": np.arange(N) + 0.5})


@pytest.mark.parametrize(
    ("column", "codes", "expected"),
    [
        (pd.Categorical(["a", None], ["a"]), [1, np.nan], ["a", "b"]),
        (pd.Categorical(["a", None], ["a", "b"]), [1, np.nan], ["a", "b"]),
        (pd.Categorical(["z", None], ["z", "a", "b"]), [np.nan, np.nan], ["z", "b"]),
        (["a", None], [1, np.nan], ["a", "b"]),
        (pd.array(["a", None], "string"), [1, np.nan], ["a", "b"]),
        (np.array(["a", None], object), [1, np.nan], ["a", "b"]),
        (np.array(["z", None], object), [np.nan, np.nan], ["z", "b"]),
        ([np.nan, np.nan], [np.nan, np.nan], ["b", "b"]),
        ([3.5, np.nan], [np.nan, np.nan], [3.5, "b"]),
    ],
)
def test_levels_are_recognized_by_value(column, codes, expected):
    schema = fitted(CATEGORY).schema
    rows = pd.DataFrame({"c": column, "x": [0.5, 1.5]})
    assert_array_equal(schema.encode(rows)[0][:, 0], codes)
    back = completed(schema, rows, [0, 0])
    assert back["c"].tolist() == expected
    own = rows["c"].dtype
    if isinstance(own, pd.CategoricalDtype) and "b" in own.categories:
        assert back["c"].dtype == own
    single = completed(schema, rows.iloc[[1]], [0, 0])
    assert single["c"].tolist() == ["b"]


def test_levels_that_are_numbers_in_columns_of_text():
    schema = fitted(pd.DataFrame({"n": [3, 5] * 12}), categorical_features=["n"]).schema
    for rows in (
        pd.DataFrame({"n": pd.array(["x", None], "string")}),
        pl.DataFrame({"n": ["x", None]}),
    ):
        back = completed(schema, rows, [1])
        assert back["n"].dtype == rows["n"].dtype
        assert back["n"].to_list() == ["x", "5"]


def test_dtypes_of_categories_are_widened_in_the_order_of_fit():
    ordered = CATEGORY.assign(c=pd.Categorical(TEXT, ["b", "n", "a"], ordered=True))
    rows = pd.DataFrame({"c": pd.Categorical(["a", None], ["a"], ordered=True), "x": [0.5, 1.5]})
    back = completed(fitted(ordered).schema, rows, [0, 0])
    assert back["c"].dtype == pd.CategoricalDtype(["b", "a"], ordered=True)
    rows["c"] = pd.Categorical(["z", None], ["z"])
    assert completed(fitted(ordered).schema, rows, [0, 0])["c"].cat.categories.tolist() == [
        "z",
        "b",
    ]
    enum = pl.DataFrame({"c": pl.Series(TEXT, dtype=pl.Enum(["b", "n", "a"]))})
    rows = pl.DataFrame({"c": pl.Series(["a", None], dtype=pl.Enum(["a"]))})
    back = completed(fitted(enum).schema, rows, [0])
    assert_polars_equal(back, pl.DataFrame({"c": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"]))}))


def test_the_same_rows_in_another_library():
    frame = pd.DataFrame({"c": TEXT, "yes": [True, False] * 12, "few": [0, 1, 2] * 8, "x": 0.5})
    schema = fitted(frame).schema
    rows = {"c": ["a", None], "yes": [None, True], "few": [1, None], "x": [None, 0.5]}
    expected = [["a", False, 1, 2.5], ["b", True, 2, 0.5]]
    imputed = [1, 0, 2, 2.5]
    as_pandas, as_polars = pd.DataFrame(rows), pl.DataFrame(rows)
    as_array = np.array(list(zip(*rows.values(), strict=True)), object)
    found = completed(schema, as_pandas, imputed)
    assert found.to_numpy().tolist() == expected
    found = completed(schema, as_polars, imputed)
    assert found.dtypes == as_polars.dtypes
    assert [list(row) for row in found.rows()] == expected
    found = completed(schema, as_array, imputed)
    assert found.tolist() == expected
    assert completed(schema, as_array.tolist(), imputed).tolist() == expected


@pytest.mark.parametrize("nothing", [None, np.nan])
def test_a_column_of_nothing_takes_the_dtype_of_fit_if_its_own_tells_nothing(nothing):
    times = pd.date_range("2020", periods=N)
    frame = pd.DataFrame(
        {"c": TEXT, "yes": [True, False] * 12, "t": times, "x": np.arange(N) + 0.5}
    )
    for zone in (None, "UTC"):
        schema = fitted(frame.assign(t=times.tz_localize(zone))).schema
        rows = pd.DataFrame({name: [nothing] for name in frame})
        back = completed(schema, rows, [0, 1, 2, 2.5])
        assert back.iloc[0].tolist() == ["a", True, times[2].tz_localize(zone), 2.5]
        if nothing is None:
            assert {dtype.kind for dtype in back.dtypes} == {"O"}
        else:
            assert back["t"].dtype == times.tz_localize(zone).dtype
            assert back["yes"].dtype == bool
    back = completed(
        fitted(frame).schema, pl.DataFrame({name: [None] for name in frame}), [0, 1, 2, 2.5]
    )
    assert back.row(0) == ("a", True, datetime.datetime(2020, 1, 3), 2.5)


def test_sparse_columns_stay_sparse():
    frame = pd.DataFrame({"x": pd.arrays.SparseArray([0.5, np.nan] * 12), "text": TEXT})
    back = completed(fitted(frame).schema, frame, [2.5, 0])
    assert back["x"].dtype == frame["x"].dtype
    assert back["x"].tolist() == [0.5, 2.5] * 12


def test_the_input_is_left_alone():
    frame = pd.DataFrame({"c": [*TEXT[:-1], None], "x": [np.nan, *range(N - 1)]})
    for X in (frame, frame.to_numpy()):
        before = X.copy()
        back = completed(fitted(X).schema, X, [0, 0])
        if isinstance(X, np.ndarray):
            back[:] = "changed"
            assert all(a is b for a, b in zip(X.ravel(), before.ravel(), strict=True))
        else:
            back.iloc[:, 1] = 5.0
            assert_frame_equal(X, before)
