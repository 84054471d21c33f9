"""Every kind of table is read as the same numbers, by every estimator."""

import datetime
import decimal
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM
from emlearn.data import read_table
from emlearn.impute import MissingDataImputerEM, little_mcar_test, multiple_imputation

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {"random_state": 0, "max_iter": 20}
ESTIMATORS = [
    GaussianMixtureEM(2, **QUICK),
    FiniteMixtureEM(2, init_params="rows", **QUICK),
    HiddenMarkovEM(2, init_params="rows", **QUICK),
    MissingDataImputerEM(**QUICK),
]
by_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)

rng = np.random.default_rng(0)
# Small integers, so that every kind of number holds them.
WHOLE = rng.integers(0, 2, (40, 1)) * 40 + rng.integers(0, 20, (40, 3)).astype(float)
HOLES = WHOLE.copy()
HOLES[rng.random(HOLES.shape) < 0.15] = np.nan
HOLES[0] = [3.0, np.nan, 7.0]


def misaligned(X):
    shifted = np.frombuffer(b"\0" + X.tobytes(), offset=1)
    assert not shifted.flags.aligned
    return shifted.reshape(X.shape)


def packed_field(X):
    records = np.zeros(len(X), np.dtype([("tag", "i1"), ("x", float, X.shape[1])]))
    records["x"] = X
    assert not records["x"].flags.aligned
    return records["x"]


def memory_mapped(X, tmp_path):
    (tmp_path / "rows").write_bytes(b"abc" + X.tobytes())
    return np.memmap(tmp_path / "rows", dtype=float, mode="r", offset=3, shape=X.shape)


def with_absent(value):
    def make(X):
        table = X.astype(object)
        table[np.isnan(X)] = value
        return table

    return make


ARRAYS = {
    "float64": np.array,
    "Fortran order": np.asfortranarray,
    "read-only": lambda X: np.lib.stride_tricks.as_strided(X, writeable=False),
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "byte order": lambda X: X.astype(">f8"),
    "longdouble": lambda X: X.astype(np.longdouble),
    "float16": lambda X: X.astype(np.float16),
    "objects": lambda X: X.astype(object),
    "None": with_absent(None),
    "list with None": lambda X: with_absent(None)(X).tolist(),
    "tuple of rows": tuple,
    "decimals": lambda X: [[decimal.Decimal(str(v)) for v in row] for row in X],
    "text of numbers": lambda X: X.astype(str),
    "not aligned": misaligned,
    "packed records": packed_field,
}
INTEGERS = {
    "int8": lambda X: X.astype(np.int8),
    "uint64": lambda X: X.astype(np.uint64),
    "big-endian int": lambda X: X.astype(">i4"),
    "list of int": lambda X: X.astype(int).tolist(),
}


def masked(X, dtype=float):
    mask = np.isnan(X)
    return np.ma.array(np.where(mask, -99, X).astype(dtype), mask=mask)


MASKED = {
    "masked": masked,
    "masked integers": lambda X: masked(X, int),
    "masked objects": lambda X: np.ma.array(with_absent("?")(X), mask=np.isnan(X)),
    "list of masked rows": lambda X: list(masked(X)),
}


def read(X, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_table(BaseEstimator(), X, reset=True, **settings)


def assert_same_use(estimator, table, expected):
    """Fitting, and all that can be asked, gives the same as with an array of NaN."""
    ours, theirs = clone(estimator).fit(table), clone(estimator).fit(expected)
    # Sums of numbers in another layout are rounded in another order.
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, rel=1e-12)
    for method in ("predict", "predict_proba", "transform", "score_samples", "score"):
        if hasattr(ours, method):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "X has feature names")
                found = getattr(ours, method)(table)
            assert_allclose(found, getattr(theirs, method)(expected), rtol=1e-9, atol=1e-12)


def check(estimator, make, X):
    """X is read, or refused with a message where the estimator takes no missing values."""
    table = make(X)
    if np.isnan(X).any() and not get_tags(estimator).input_tags.allow_nan:
        with pytest.raises(ValueError, match=r"contains NaN: column .*, row \d+"):
            clone(estimator).fit(table)
        table, X = make(WHOLE), WHOLE
    assert_same_use(estimator, table, X)


@by_estimator
@pytest.mark.parametrize("make", (ARRAYS | MASKED).values(), ids=(ARRAYS | MASKED).keys())
def test_arrays(estimator, make):
    check(estimator, make, HOLES)


@by_estimator
@pytest.mark.parametrize("make", INTEGERS.values(), ids=INTEGERS.keys())
def test_integers(estimator, make):
    check(estimator, make, WHOLE)


@by_estimator
def test_memory_maps(estimator, tmp_path):
    check(estimator, lambda X: memory_mapped(X, tmp_path), HOLES)


def test_little_and_multiple_imputation_read_the_same():
    expected = little_mcar_test(HOLES)
    for make in (ARRAYS | MASKED).values():
        assert little_mcar_test(make(HOLES)) == expected
    settings = {"n_imputations": 1, "random_state": 0}
    plain = next(multiple_imputation(MissingDataImputerEM(), HOLES, **settings))
    hidden = next(multiple_imputation(MissingDataImputerEM(), masked(HOLES), **settings))
    assert_array_equal(hidden, plain)


# ---- data frames ------------------------------------------------------------------------


def pandas_frames(X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abc"))
    objects = frame.astype(object).mask(frame.isna(), pd.NA)
    frames = {
        "float64": frame,
        "Int64": frame.astype("Int64"),
        "Float64": frame.astype("Float64"),
        "category": frame.astype("category"),
        "category of Int64": frame.astype("Int64").astype("category"),
        "objects with pandas.NA": objects,
        "objects with None": objects.mask(frame.isna(), None),
        "mixed": objects.assign(a=frame["a"], b=frame["b"].astype("Int16")),
        "sparse": frame.astype(pd.SparseDtype(float)),
        "one sparse column": frame.assign(c=frame["c"].astype(pd.SparseDtype(float))),
        "numbers as names": frame.set_axis([0, 1, 2], axis=1),
    }
    try:
        import pyarrow
    except ImportError:
        return frames
    frames["arrow"] = frame.astype("Int64").astype("int64[pyarrow]")
    frames["pyarrow"] = pyarrow.Table.from_pandas(frame)
    return frames


@by_estimator
def test_pandas(estimator):
    X = HOLES if get_tags(estimator).input_tags.allow_nan else WHOLE
    for name, frame in pandas_frames(X).items():
        check(estimator, lambda _, frame=frame: frame, X)
        names = getattr(clone(estimator).fit(frame), "feature_names_in_", None)
        assert (names is None) == (name == "numbers as names")


@by_estimator
def test_polars(estimator):
    pl = pytest.importorskip("polars")
    X = HOLES if get_tags(estimator).input_tags.allow_nan else WHOLE
    frame = pl.DataFrame(X, schema=list("abc")).fill_nan(None)
    for table in (frame, frame.cast(pl.Int64), frame.cast({"a": pl.Int8, "b": pl.Utf8})):
        check(estimator, lambda _, table=table: table, X)
        assert_array_equal(clone(estimator).fit(table).feature_names_in_, list("abc"))


def test_booleans():
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


def test_numbers_beside_text_or_times_in_a_list_stay_what_they_are():
    assert_array_equal(read([[True, "2"], [3, "4"]]), [[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match="Times in column 1"):
        read([[5, np.timedelta64(1, "D")], [6, np.timedelta64(2, "D")]])


def test_a_column_of_nothing_is_missing():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for frame in (pd.DataFrame, pl.DataFrame):
        assert_array_equal(
            read(frame({"a": [None, None], "b": [1, 2]})), [[np.nan, 1.0], [np.nan, 2.0]]
        )
    assert_array_equal(read([[pd.NaT, 1.0], [np.nan, pd.NA]]), [[np.nan, 1.0], [np.nan, np.nan]])


# ---- precision and memory ------------------------------------------------------------


def test_single_precision_is_kept_only_where_all_of_it_is_single():
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
def test_copies_only_where_asked_for(order):
    pd = pytest.importorskip("pandas")
    X = np.array(HOLES, order=order)
    assert np.shares_memory(read(X), X)
    assert np.shares_memory(read(pd.DataFrame(X, copy=False)), X)
    whole = np.array(WHOLE, int, order=order)
    for table in (X, pd.DataFrame(X, copy=False), np.ma.array(X), X.tolist(), whole):
        own = read(table, copy=True)
        assert not np.shares_memory(own, X)
        assert own.flags.c_contiguous
        assert own.flags.writeable


def test_what_was_given_is_never_changed():
    for make in (ARRAYS | MASKED).values():
        table, before = make(HOLES), make(HOLES)
        imputer = MissingDataImputerEM().fit(table)
        imputer.transform(table)
        assert str(np.ma.getdata(table).tolist()) == str(np.ma.getdata(before).tolist())
    X = WHOLE.copy()
    read(X, missing_values=X[0, 0])
    assert_array_equal(X, WHOLE)


# ---- sparse matrices ------------------------------------------------------------------


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_matrix, sp.coo_array])
def test_sparse(form):
    X = np.array([[0, 3, 0], [1, 0, 2]])
    found = read(form(X), accept_sparse=True)
    assert found.format == "csr"
    assert found.dtype == np.float64
    assert_array_equal(found.toarray(), X)
    with pytest.raises(TypeError, match="dense data is required"):
        read(form(X))


def test_sparse_duplicates_are_added_and_the_input_is_left_alone():
    X = sp.csr_array(([1.0, 2.0, 5.0], [0, 0, 1], [0, 3]), shape=(1, 2))
    assert_array_equal(read(X, accept_sparse=True).data, [3.0, 5.0])
    assert_array_equal(X.data, [1.0, 2.0, 5.0])


def test_sparse_frames_stay_sparse_where_that_is_accepted():
    pd = pytest.importorskip("pandas")
    X = np.array([[0.0, 3.0], [1.0, 0.0]])
    frame = pd.DataFrame(X, columns=["a", "b"]).astype(pd.SparseDtype(float, 0.0))
    assert sp.issparse(read(frame, accept_sparse=True))
    assert_array_equal(read(frame, accept_sparse=True).toarray(), X)
    half = frame.assign(b=[3.0, 0.0])
    assert_array_equal(read(half, accept_sparse=True), X)
    others_left_out = pd.DataFrame(X).astype(pd.SparseDtype(float, np.nan))
    assert_array_equal(read(others_left_out, accept_sparse=True), X)


# ---- what marks a missing entry -------------------------------------------------------


def test_markers():
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


def test_a_number_as_marker_is_the_only_one():
    pd = pytest.importorskip("pandas")
    for table in (
        [[1, 2], [3, None]],
        np.array([[1, 2], [3, np.nan]]),
        pd.DataFrame({"a": [1, 3], "b": [2, pd.NA]}),
    ):
        with pytest.raises(ValueError, match=r"NaN in column .*, row 1, but missing_values=-1"):
            read(table, missing_values=-1)


@pytest.mark.parametrize("form", ["pandas", "polars", "default"])
def test_indicators_in_any_output(form):
    pytest.importorskip(form) if form != "default" else None
    expected = MissingDataImputerEM(add_indicator=True).fit_transform(HOLES)
    with sklearn.config_context(transform_output=form):
        imputer = MissingDataImputerEM(add_indicator=True)
        for found in (imputer.fit_transform(HOLES), imputer.transform(HOLES)):
            assert_array_equal(np.asarray(found), expected)
    assert expected.shape == (40, 6)


# ---- names ----------------------------------------------------------------------------


@by_estimator
def test_names_of_columns_are_compared(estimator):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(WHOLE, columns=["a", "b", "c"])
    model = clone(estimator).fit(frame)
    assert model.n_features_in_ == 3
    for other, message in (
        (frame[["b", "a", "c"]], "must be in the same order"),
        (frame.rename(columns={"a": "z"}), "unseen at fit time:\n- z"),
    ):
        with pytest.raises(ValueError, match=message):
            model.score(other)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.score(WHOLE)
    with pytest.raises(ValueError, match=r"2 features, but .* is expecting 3"):
        clone(estimator).fit(WHOLE).score(WHOLE[:, :2])
    assert not hasattr(model.fit(WHOLE), "feature_names_in_")


# ---- what is refused ------------------------------------------------------------------


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


@by_estimator
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(estimator, make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        clone(estimator).fit(make())


@by_estimator
def test_refused_in_new_rows(estimator):
    pd = pytest.importorskip("pandas")
    names = ["a", "b", "c"]
    model = clone(estimator).fit(pd.DataFrame(WHOLE, columns=names))
    for value, message in (
        ("x", "Text in column 'b' of X, row 3"),
        (pd.Timestamp(0), "Times in column 'b' of X"),
        (1j, "Complex data not supported: column 'b' of X"),
        (np.inf, "infinity or .*: column 'b', row 3"),
    ):
        table = pd.DataFrame(WHOLE.astype(object), columns=names)
        table.iloc[3, 1] = value
        for method in ("predict", "transform", "score_samples", "score"):
            if hasattr(model, method):
                with pytest.raises(ValueError, match=message):
                    getattr(model, method)(table)


def test_little_refuses_the_same():
    for make, message in REFUSED.values():
        with pytest.raises(ValueError, match=f"(?s){message}"):
            little_mcar_test(make())


@by_estimator
def test_objects_that_are_no_numbers(estimator):
    table = WHOLE.astype(object)
    table[1, 2] = {"a": 1}
    with pytest.raises(TypeError, match=r"column 2 of X, row 1: float.* not 'dict'"):
        clone(estimator).fit(table)


def test_huge_but_finite_numbers_are_no_infinities():
    X = np.full((4, 2), 1.5e308)
    assert read(X) is not None


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
    for method in (HiddenMarkovEM().fit, HiddenMarkovEM().fit(WHOLE).predict):
        with pytest.raises(ValueError, match=r"lengths=\[len\(s\) for s in sequences\]"):
            method(X)
    with pytest.raises(ValueError, match=r"Expected 2D|dim 3") as refused:
        FiniteMixtureEM().fit(X)
    assert "lengths=" not in str(refused.value)


def test_infinite_and_complex_sparse():
    X = sp.csr_array([[0.0, 0.0, 1.0], [0.0, np.inf, 2.0]])
    with pytest.raises(ValueError, match=r"infinity.*column 1, row 1"):
        read(X, accept_sparse=True)
    with pytest.raises(ValueError, match=r"NaN: column 1, row 1.*does not take missing"):
        read(sp.csr_array([[0.0, 1.0], [0.0, np.nan]]), accept_sparse=True, allow_nan=False)
    with pytest.raises(ValueError, match="Complex data"):
        read(sp.csr_array([[1j]]), accept_sparse=True)


def test_arrays_of_other_libraries():
    xp = pytest.importorskip("array_api_strict")
    assert_array_equal(read(xp.asarray(WHOLE)), WHOLE)


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
def test_arrays_that_numpy_cannot_read(estimator):
    with pytest.raises(ValueError, match=r"got Foreign.*Convert it with numpy\.asarray first"):
        clone(estimator).fit(Foreign(WHOLE))
    weight = Foreign(np.ones(len(WHOLE)))
    with pytest.raises(ValueError, match=r"sample_weight is a Foreign.*numpy\.asarray first"):
        clone(estimator).fit(WHOLE, sample_weight=weight)


def test_periods_are_times():
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="Times in column 'a' of X"):
        read(pd.DataFrame({"a": pd.period_range("2020", periods=3, freq="D")}))


def test_columns_of_polars_that_numpy_does_not_have():
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
