"""Every form in which sequences are given becomes rows and lengths."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array, issparse

from emlearn.data.sequences import read_sequences
from emlearn.sequences import split_rows

A, B = np.arange(6.0).reshape(3, 2), np.arange(10.0, 14.0).reshape(2, 2)
ROWS = np.concatenate([A, B])


@pytest.mark.parametrize(
    "X",
    [
        [A, B],
        (A, B),
        [A.tolist(), B.tolist()],
        [list(A), list(B)],
        [np.ma.array(A), B],
        [A.astype(int), B],
    ],
)
def test_lists(X):
    rows, lengths = read_sequences(X)
    assert_array_equal(rows, ROWS)
    assert_array_equal(lengths, [3, 2])
    assert [part.tolist() for part in split_rows(rows, lengths)] == [A.tolist(), B.tolist()]


def test_array_of_objects():
    X = np.empty(2, object)
    X[:] = [A, B]
    assert_array_equal(read_sequences(X)[0], ROWS)


def test_three_dimensions():
    X = np.arange(24.0).reshape(3, 4, 2)
    rows, lengths = read_sequences(X)
    assert_array_equal(rows, X.reshape(12, 2))
    assert_array_equal(lengths, [4, 4, 4])
    masked = np.ma.masked_equal(X, 5.0)
    assert read_sequences(masked)[0].mask.sum() == 1
    nested, lengths = read_sequences(X.tolist())
    assert_array_equal(nested, rows)


def test_sequences_of_one_column():
    rows, lengths = read_sequences([np.array([1.0, 2.0]), np.array([3.0])])
    assert_array_equal(rows, [[1.0], [2.0], [3.0]])
    assert_array_equal(lengths, [2, 1])
    pd = pytest.importorskip("pandas")
    rows, lengths = read_sequences([pd.Series([1.0, 2.0], name="a"), pd.Series([3.0], name="a")])
    assert list(rows.columns) == ["a"]
    assert_array_equal(lengths, [2, 1])


def test_text_and_sparse():
    rows, lengths = read_sequences([np.array(["a", "b"]), np.array([1, 2, 3])])
    assert rows.ravel().tolist() == ["a", "b", 1, 2, 3]
    rows, lengths = read_sequences([csr_array(A), csr_array(B)])
    assert issparse(rows)
    assert_array_equal(rows.toarray(), ROWS)
    assert [part.toarray().tolist() for part in split_rows(rows, lengths)][1] == B.tolist()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    frames = pytest.importorskip(library)
    parts = [frames.DataFrame({"a": part[:, 0], "b": part[:, 1]}) for part in (A, B)]
    rows, lengths = read_sequences(parts)
    assert list(rows.columns) == ["a", "b"]
    assert_array_equal(rows.to_numpy(), ROWS)
    assert_array_equal(lengths, [3, 2])
    assert_array_equal(split_rows(rows, lengths)[1].to_numpy(), B)
    ids = ["x", "x", "x", "y", "y"]
    table = frames.DataFrame({"a": ROWS[:, 0], "who": ids, "b": ROWS[:, 1]})
    for column in ("who", 1, -2):
        rows, lengths = read_sequences(table, sequence_column=column)
        assert list(rows.columns) == ["a", "b"]
        assert_array_equal(lengths, [3, 2])
    with pytest.raises(ValueError, match=r"'when' is not a column of X; .*'a', 'who', 'b'"):
        read_sequences(table, sequence_column="when")
    with pytest.raises(ValueError, match="sequence_column=3 is not a column of X, which has 3"):
        read_sequences(table, sequence_column=3)
    wrong = parts[1].rename({"b": "c"}) if library == "polars" else parts[1][["b", "a"]]
    with pytest.raises(ValueError, match="Sequence 1 of X has the columns"):
        read_sequences([parts[0], wrong])
    with pytest.raises(ValueError, match="Sequence 1 of X is a ndarray, but sequence 0 is a Data"):
        read_sequences([parts[0], B])


def test_identifiers():
    for ids in (
        [7, 7, 7, 2, 2],
        ["b"] * 3 + ["a"] * 2,
        [1, 1, 1, "1", "1"],
        np.array([0.5] * 3 + [1] * 2),
    ):
        rows, lengths = read_sequences(ROWS, sequence_ids=ids)
        assert rows is ROWS
        assert_array_equal(lengths, [3, 2])
    pd = pytest.importorskip("pandas")
    for ids in (
        pd.Series(["u"] * 3 + ["v"] * 2, index=range(5, 10)),
        pd.Categorical([3, 3, 3, 1, 1]),
    ):
        assert_array_equal(read_sequences(ROWS, sequence_ids=ids)[1], [3, 2])
    with_ids = np.column_stack([ROWS, [4.0] * 3 + [5.0] * 2])
    for table in (with_ids, with_ids.tolist(), csr_array(with_ids)):
        rows, lengths = read_sequences(table, sequence_column=2)
        dense = rows.toarray() if issparse(rows) else rows
        assert_array_equal(np.asarray(dense, float), ROWS)
        assert_array_equal(lengths, [3, 2])


def test_one_table():
    for X in (ROWS, ROWS.tolist(), csr_array(ROWS)):
        rows, lengths = read_sequences(X)
        assert rows is X
        assert_array_equal(lengths, [5])
    assert_array_equal(read_sequences(ROWS, [2, 3])[1], [2, 3])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 1, 2, 2, 1], r"sequence_ids has 1 in row 4 again, after other sequences: .* row is 0"),
        (["u", "v", "u", "w", "w"], "sequence_ids has 'u' in row 2 again"),
        ([1, 1, 1], "sequence_ids has 3 entries, but X has 5 rows"),
        ([1, 1, None, 2, 2], "sequence_ids has no identifier in row 2"),
        (np.array([1, 1, 1, np.nan, 2]), "sequence_ids has no identifier in row 3"),
        (np.ones((5, 2)), r"one entry for each row, got an array of shape \(5, 2\)"),
    ],
)
def test_wrong_identifiers(ids, message):
    with pytest.raises(ValueError, match=message):
        read_sequences(ROWS, sequence_ids=ids)


@pytest.mark.parametrize(
    ("X", "settings", "message"),
    [
        ([A, B], {"lengths": [3, 2]}, "X is a list of 2 sequences, .* so lengths must be None"),
        ([A, B], {"sequence_ids": [0] * 5}, "so sequence_ids must be None"),
        ([A, B], {"sequence_column": 0}, "so sequence_column must be None"),
        (ROWS, {"lengths": [5], "sequence_ids": [0] * 5}, "Both lengths and sequence_ids"),
        (ROWS, {"lengths": [2, 2]}, "add up to 4, but X has 5"),
        (ROWS, {"sequence_column": "who"}, "'who' is a name, but X has no names"),
        ([A, np.zeros((0, 2)), B], {}, "Sequence 1 of X has no rows"),
        ([A.tolist(), []], {}, "Sequence 1 of X has no rows"),
        ([A, B[:, :1]], {}, "Sequence 1 of X has 1 columns, but sequence 0 has 2"),
        ([A, np.zeros((2, 2, 2))], {}, r"Sequence 1 of X has shape \(2, 2, 2\)"),
        (np.zeros((2, 0, 3)), {}, "Sequence 0 of X has no rows"),
    ],
)
def test_refused(X, settings, message):
    with pytest.raises(ValueError, match=message):
        read_sequences(X, **settings)


def test_rows_by_sequence():
    with pytest.raises(ValueError, match="add up to 4, but X has 5"):
        split_rows(ROWS, [2, 2])
