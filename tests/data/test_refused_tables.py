"""Tables that every estimator refuses, with the place of what is wrong."""

import datetime

import numpy as np
import pytest
from sklearn.base import clone

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.impute import little_mcar_test

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
by_estimator = pytest.mark.parametrize(
    "estimator",
    ["GaussianMixtureEM", "FiniteMixtureEM", "HiddenMarkovEM", "MissingDataImputerEM"],
    indirect=True,
)


def frame_of(**columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def polars_of(**columns):
    return pytest.importorskip("polars").DataFrame(columns)


def times(*days):
    return np.array(days, "M8[ns]")


class OnDevice:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


DAY = datetime.date(2020, 1, 1)
REFUSED = {
    # Times are not numbers, NaT least of all.
    "times": (lambda: times("2020-01-01", "NaT")[:, None], "Times in column 0 of X .*days since"),
    "durations": (lambda: times("2020-01-01", "NaT")[:, None] - times("2019"), "Times in column 0"),
    "frame of times": (lambda: frame_of(When=times("2020", "NaT")), "Times in column 'When'"),
    "a column of times": (lambda: frame_of(n=[1, 2], When=times("2020", "NaT")), "column 'When'"),
    "dates in objects": (lambda: [[1.0, DAY], [2.0, None]], "Times in column 1"),
    "times in objects": (lambda: np.array([[1.0, times("2020")[0]]], object), "Times in column 1"),
    "polars dates": (lambda: polars_of(n=[1, 2], d=[DAY, None]), "Times in column 'd'"),
    "polars durations": (lambda: polars_of(d=[datetime.timedelta(1), None]), "Times in column 'd'"),
    "masked times": (lambda: np.ma.array(times("2020", "NaT")[:, None], mask=True), "Times in col"),
    # Text.
    "text": (lambda: frame_of(n=[1, 2], City=["Rome", "Bern"]), "Text in column 'City'.*'Rome'"),
    "text further down": (lambda: [[1, "2"], [1, "b"]], "column 1 of X, row 1: .*OrdinalEncoder"),
    "array of text": (lambda: np.array([["a"], ["b"]]), "Text in column 0 of X, row 0"),
    "polars text": (lambda: polars_of(n=[1, 2], City=["Rome", None]), "Text in column 'City'"),
    # Other things.
    "complex": (lambda: np.ones((2, 2)) * 1j, "Complex data not supported"),
    "complex objects": (lambda: [[1, None], [2, 3j]], "Complex data not supported: column 1"),
    "complex column": (lambda: frame_of(a=[1, 2], b=[1j, 2]), "not supported: column 'b'"),
    "huge integer": (lambda: [[1], [10**400]], "number in column 0 of X, row 1 is too large"),
    "records": (lambda: np.zeros(3, [("a", float), ("b", float)]), "structured_to_unstructured"),
    "equal names": (lambda: frame_of(a=[1, 2]).iloc[:, [0, 0]], "Two columns of X are named 'a'"),
    "series": (lambda: frame_of(a=[1.0, 2.0])["a"], r"Reshape your data: pass X\.to_frame\(\)"),
    "polars series": (lambda: polars_of(a=[1.0, 2.0])["a"], r"pass X\.to_frame\(\)"),
    "lazy frame": (lambda: polars_of(a=[1.0, 2.0]).lazy(), r"Pass X\.collect\(\)"),
    "vector": (lambda: np.ones(3), "Expected 2D array, got 1D array.*Reshape your data"),
    "ragged": (lambda: [[1, 2], [3]], "entry 0 has 2, entry 1 has 1. Expected 2D array"),
    "cube": (lambda: np.ones((2, 2, 2)), "dim 3, while dim <= 2 is required"),
    "number": (lambda: 3.0, "scalar array"),
    "None": (lambda: None, "got NoneType instead"),
    "generator": (lambda: (i for i in range(3)), r"got generator.*numpy\.asarray"),
    "on a device": (OnDevice, r"cuda:0.*Convert it with numpy\.asarray"),
    "no rows": (lambda: np.ones((0, 2)), "0 sample"),
    "no columns": (lambda: np.ones((9, 0)), "0 feature"),
    "infinite": (lambda: frame_of(a=[1.0, 2.0], b=[1, -np.inf]), "infinity .*column 'b', row 1"),
    "infinite in objects": (lambda: [[1, None], [2, "inf"]], "infinity .*column 1, row 1"),
    "too large": (lambda: np.array([[np.longdouble("1e400")], [1]]), "infinity.*column 0, row 0"),
}


# The imputer takes columns of times, as days, in a DataFrame.
TIMES = ("frame of times", "a column of times", "polars dates", "polars durations")


@by_estimator
@pytest.mark.parametrize("name", REFUSED)
def test_refused(estimator, name):
    if name in TIMES and type(estimator).__name__ == "MissingDataImputerEM":
        pytest.skip("taken as days")
    if name == "cube" and type(estimator).__name__ == "HiddenMarkovEM":
        pytest.skip("taken as sequences")
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        clone(estimator).fit(make())


@by_estimator
def test_refused_in_new_rows(estimator, complete):
    pd = pytest.importorskip("pandas")
    names = ["a", "b", "c"]
    model = clone(estimator).fit(pd.DataFrame(complete, columns=names))
    for value, message in (
        ("x", "Text in column 'b' of X, row 3"),
        (pd.Timestamp(0), "Times in column 'b' of X"),
        (1j, "Complex data not supported: column 'b' of X"),
        (np.inf, "infinity or .*: column 'b', row 3"),
    ):
        table = pd.DataFrame(complete.astype(object), columns=names)
        table.iloc[3, 1] = value
        for method in ("predict", "transform", "score_samples", "score"):
            if hasattr(model, method):
                with pytest.raises(ValueError, match=message):
                    getattr(model, method)(table)


def test_little_refuses_the_same():
    for name, (make, message) in REFUSED.items():
        if name in TIMES:
            continue
        with pytest.raises(ValueError, match=f"(?s){message}"):
            little_mcar_test(make())


@by_estimator
def test_objects_that_are_no_numbers(estimator, complete):
    table = complete.astype(object)
    table[1, 2] = {"a": 1}
    with pytest.raises(TypeError, match=r"column 2 of X, row 1: float.* not 'dict'"):
        clone(estimator).fit(table)


@pytest.mark.parametrize(
    "X",
    [
        np.ones((3, 4, 2)),
        [np.ones((3, 2)), np.ones((4, 2))],
        [[[1.0], [2.0]], [[3.0]]],
        np.array([np.ones((3, 2)), np.ones((4, 2))], dtype=object),
    ],
)
def test_sequences_given_as_they_are(X):
    """Hidden Markov models read them; to others they are no table."""
    assert len(HiddenMarkovEM().fit(X).score_samples(X)) == len(X)
    with pytest.raises(ValueError, match=r"Expected 2D|dim 3") as refused:
        FiniteMixtureEM().fit(X)
    assert "lengths=" not in str(refused.value)


def test_lists_that_could_be_sequences():
    """Lists of numbers are rows, so they must be of one length."""
    with pytest.raises(ValueError, match=r"X=\[numpy\.array\(s\) for s in sequences\]"):
        HiddenMarkovEM().fit([[1.0, 2.0], [3.0]])


class Foreign:
    """An array of another library that numpy is not allowed to read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, "float64"

    def __len__(self):
        return len(self.array)

    def __getitem__(self, item):
        return Foreign(np.asarray(self.array[item]))

    def __array_namespace__(self, api_version=None):
        return None


@by_estimator
def test_arrays_that_numpy_cannot_read(estimator, complete):
    with pytest.raises(ValueError, match=r"got Foreign.*Convert it with numpy\.asarray first"):
        clone(estimator).fit(Foreign(complete))
    weight = Foreign(np.ones(len(complete)))
    with pytest.raises(ValueError, match=r"sample_weight is a Foreign.*numpy\.asarray first"):
        clone(estimator).fit(complete, sample_weight=weight)
