"""The numbers that are read: types, precision, memory, sparse matrices, markers."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal


def test_booleans(read):
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    expected = [[1.0, 0.5], [0.0, 2.0], [np.nan, 3.0]]
    given = {"a": [True, False, None], "b": [0.5, 2.0, 3.0]}
    for table in (
        pd.DataFrame(given),
        pd.DataFrame(given).astype({"a": "boolean"}),
        pl.DataFrame(given),
    ):
        assert_array_equal(read(table), expected)
    assert_array_equal(read(np.eye(2, dtype=bool)), np.eye(2))
    assert_array_equal(read(pd.DataFrame(np.eye(2, dtype=bool))), np.eye(2))


def test_numbers_beside_text_or_times_in_a_list_stay_what_they_are(read):
    assert_array_equal(read([[True, "2"], [3, "4"]]), [[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match="Times in column 1"):
        read([[5, np.timedelta64(1, "D")], [6, np.timedelta64(2, "D")]])


def test_a_column_of_nothing_is_missing(read):
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for frame in (pd.DataFrame, pl.DataFrame):
        assert_array_equal(
            read(frame({"a": [None, None], "b": [1, 2]})), [[np.nan, 1.0], [np.nan, 2.0]]
        )
    assert_array_equal(read([[pd.NaT, 1.0], [np.nan, pd.NA]]), [[np.nan, 1.0], [np.nan, np.nan]])


def test_single_precision_is_kept_only_where_all_of_it_is_single(read):
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    single, double = np.float32([[1.5], [2.5]]), np.array([[1.5], [2.5]])
    for table in (
        single,
        single.astype(">f4"),
        np.ma.array(single),
        pd.DataFrame(single),
        pd.DataFrame(single).astype("Float32"),
        pl.DataFrame(single),
    ):
        assert read(table).dtype == np.dtype("=f4")
        assert read(table, dtype=(np.float64,)).dtype == np.float64
    for table in (
        double,
        pd.DataFrame({"a": single[:, 0], "b": double[:, 0]}),
        pl.DataFrame({"a": pl.Series([1, None], dtype=pl.UInt8)}),
        single.astype(object),
    ):
        assert read(table).dtype == np.float64


@pytest.mark.parametrize("order", ["C", "F"])
def test_copies_only_where_asked_for(order, complete, holed, read):
    pd = pytest.importorskip("pandas")
    X = np.array(holed, order=order)
    assert np.shares_memory(read(X), X)
    assert np.shares_memory(read(pd.DataFrame(X, copy=False)), X)
    whole = np.array(complete, int, order=order)
    for table in (X, pd.DataFrame(X, copy=False), np.ma.array(X), X.tolist(), whole):
        own = read(table, copy=True)
        assert not np.shares_memory(own, X)
        assert own.flags.c_contiguous
        assert own.flags.writeable


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_matrix, sp.coo_array])
def test_sparse(form, read):
    X = np.array([[0, 3, 0], [1, 0, 2]])
    found = read(form(X), accept_sparse=True)
    assert found.format == "csr"
    assert found.dtype == np.float64
    assert_array_equal(found.toarray(), X)
    with pytest.raises(TypeError, match="dense data is required"):
        read(form(X))


def test_sparse_duplicates_are_added_and_the_input_is_left_alone(read):
    X = sp.csr_array(([1.0, 2.0, 5.0], [0, 0, 1], [0, 3]), shape=(1, 2))
    assert_array_equal(read(X, accept_sparse=True).data, [3.0, 5.0])
    assert_array_equal(X.data, [1.0, 2.0, 5.0])


def test_sparse_frames_stay_sparse_where_that_is_accepted(read):
    pd = pytest.importorskip("pandas")
    X = np.array([[0.0, 3.0], [1.0, 0.0]])
    frame = pd.DataFrame(X, columns=["a", "b"]).astype(pd.SparseDtype(float, 0.0))
    assert sp.issparse(read(frame, accept_sparse=True))
    assert_array_equal(read(frame, accept_sparse=True).toarray(), X)
    half = frame.assign(b=[3.0, 0.0])
    assert_array_equal(read(half, accept_sparse=True), X)
    others_left_out = pd.DataFrame(X).astype(pd.SparseDtype(float, np.nan))
    assert_array_equal(read(others_left_out, accept_sparse=True), X)


def test_markers(read):
    pd = pytest.importorskip("pandas")
    expected = [[1.0, np.nan], [np.nan, 4.0]]
    single = np.float32([[1, -99.9], [-99.9, 4]])
    for table, marker in (
        ([[1, -1], [-1, 4]], -1),
        ([[1, "-1"], [-1, 4]], -1),
        (single, -99.9),
        (pd.DataFrame({"a": single[:, 0], "b": [-99.9, 4.0]}), -99.9),
        (pd.DataFrame({"a": [1, -1], "b": [-1, 4]}, dtype="Int8"), -1),
        ([[1, np.inf], [np.inf, 4]], np.inf),
        (pd.DataFrame({"a": [1, pd.NA], "b": [pd.NA, 4]}), pd.NA),
        (np.ma.array([[1, 7], [-1, 4]], mask=[[0, 1], [0, 0]]), -1),
    ):
        assert_array_equal(read(table, missing_values=marker), expected)


def test_a_number_as_marker_is_the_only_one(read):
    pd = pytest.importorskip("pandas")
    for table in (
        [[1, 2], [3, None]],
        np.array([[1, 2], [3, np.nan]]),
        pd.DataFrame({"a": [1, 3], "b": [2, pd.NA]}),
    ):
        with pytest.raises(ValueError, match=r"NaN in column .*, row 1, but missing_values=-1"):
            read(table, missing_values=-1)


def test_huge_but_finite_numbers_are_no_infinities(read):
    X = np.full((4, 2), 1.5e308)
    assert read(X) is not None


def test_infinite_and_complex_sparse(read):
    X = sp.csr_array([[0.0, 0.0, 1.0], [0.0, np.inf, 2.0]])
    with pytest.raises(ValueError, match=r"infinity.*column 1, row 1"):
        read(X, accept_sparse=True)
    with pytest.raises(ValueError, match=r"NaN: column 1, row 1.*does not take missing"):
        read(sp.csr_array([[0.0, 1.0], [0.0, np.nan]]), accept_sparse=True, allow_nan=False)
    with pytest.raises(ValueError, match="Complex data"):
        read(sp.csr_array([[1j]]), accept_sparse=True)


def test_arrays_of_other_libraries(complete, read):
    xp = pytest.importorskip("array_api_strict")
    assert_array_equal(read(xp.asarray(complete)), complete)


def test_periods_are_times(read):
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="Times in column 'a' of X"):
        read(pd.DataFrame({"a": pd.period_range("2020", periods=3, freq="D")}))


def test_columns_of_polars_that_numpy_does_not_have(read):
    pl = pytest.importorskip("polars")
    if hasattr(pl, "Int128"):
        integers = pl.DataFrame({"a": pl.Series([1, None], dtype=pl.Int128)})
        assert_array_equal(read(integers), [[1.0], [np.nan]])
    for dtype, value in (
        (pl.List(pl.Float64), [1.0, 2.0]),
        (pl.Array(pl.Float64, 2), [1.0, 2.0]),
        (pl.Struct({"x": pl.Float64}), {"x": 1.0}),
    ):
        frame = pl.DataFrame({"a": pl.Series([value, value], dtype=dtype), "b": [1.0, 2.0]})
        with pytest.raises(ValueError, match="Column 'a' of X has several values in each row"):
            read(frame)
