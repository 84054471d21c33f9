"""What bounds may be given as, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emlearn.impute import MissingDataImputerEM
from emlearn.impute._bounds import read_bounds

inf = np.inf
NAMES = np.array(["a", "b"], dtype=object)


@pytest.mark.parametrize(
    ("bounds", "low", "high"),
    [
        ((0, 9), [0, 0], [9, 9]),
        ((None, 9), [-inf, -inf], [9, 9]),
        ((0, None), [0, 0], [inf, inf]),
        (([0, 1], [8, 9]), [0, 1], [8, 9]),
        ((np.array([0, 1]), [8.0, None]), [0, 1], [8, inf]),
        (([0, None], 9), [0, -inf], [9, 9]),
        ({0: (0, 9)}, [0, -inf], [9, inf]),
        ({"b": [None, 9]}, [-inf, -inf], [inf, 9]),
        ({np.int64(1): (0, 9), "a": (1, 2)}, [1, 0], [2, 9]),
        ({}, [-inf, -inf], [inf, inf]),
        ((np.float32(0), np.array(9)), [0, 0], [9, 9]),
    ],
)
def test_forms(bounds, low, high):
    read = read_bounds(bounds, 2, NAMES)
    assert_array_equal(read.low, low)
    assert_array_equal(read.high, high)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([(0, 100), (10, 200)], r"pairs by column or lower and upper bounds.*\{0: \(0, 100\)"),
        ([0, 9], "must be a tuple"),
        (np.array([[0, 1], [8, 9]]), "must be a tuple"),
        (((0, 100), (10, 200)), "lower bounds are the tuple"),
        ((0, (10, 200)), "upper bounds are the tuple"),
        ((0, 1, 2), "pair.*got 3"),
        ("ab", "must be a tuple"),
        (3, "must be a tuple"),
        (("0", 9), "must be a number or None; got '0'"),
        ((0, np.nan), "must be a number or None"),
        (([0, 0, 0], 1), "one lower bound for each"),
        ((0, [[1, 2]]), "one upper bound for each"),
        ((1, 0), "column 'a'.*must be below"),
        ((1, 1), "must be below"),
        ({"c": (0, 1)}, r"no column 'c'; the columns are \['a', 'b'\]"),
        ({5: (0, 1)}, "no column 5; there are 2"),
        ({-1: (0, 1)}, "no column -1"),
        ({True: (0, 1)}, "no column True"),
        ({1.0: (0, 1)}, "no column 1.0"),
        ({"a": 3}, "column 'a' needs a pair"),
        ({"a": (0, 1, 2)}, "column 'a' needs a pair"),
        ({"a": ("x", 1)}, "of column 'a' must be a number"),
        ({"a": (0, 1), 0: (0, 2)}, "'a' and 0 are the same column"),
    ],
)
def test_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        read_bounds(bounds, 2, NAMES)
    with pytest.raises(ValueError, match="bounds"):
        MissingDataImputerEM(bounds=bounds).fit([[0.0, 1.0], [2.0, np.nan], [3.0, 4.0]])


def test_series_go_by_their_labels():
    pd = pytest.importorskip("pandas")
    low, high = pd.Series({"b": 1, "a": 0}), pd.Series({"a": 8, "b": 9})
    read = read_bounds((low, high), 2, NAMES)
    assert_array_equal(read.low, [0, 1])
    assert_array_equal(read.high, [8, 9])
    assert_array_equal(read_bounds((pd.Series([0, 1]), None), 2, None).low, [0, 1])
    assert_array_equal(read_bounds((pd.Series([1, 0], index=[1, 0]), None), 2, None).low, [0, 1])
    for index in (["a", "c"], ["a"], ["a", "a"], [0, 1]):
        with pytest.raises(ValueError, match="labels of the lower bounds"):
            read_bounds((pd.Series(0.0, index=index), None), 2, NAMES)
    with pytest.raises(ValueError, match="labels of the upper bounds"):
        read_bounds((None, high), 2, None)
    with pytest.raises(ValueError, match="must be a tuple"):
        read_bounds(pd.DataFrame({"a": [0, 1], "b": [0, 1]}), 2, NAMES)


def test_bounds_of_a_dropped_column_do_not_move_others():
    X = np.array([[np.nan, 1.0], [np.nan, 2.0], [np.nan, np.nan], [np.nan, 4.0]])
    with pytest.warns(UserWarning, match="column 0"):
        out = MissingDataImputerEM(bounds={0: (50, 60), 1: (0, 2)}).fit_transform(X)
    assert_array_equal(out[:, 0], [1, 2, 2, 4])
