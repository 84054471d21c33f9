"""Every kind of table is read as the same numbers, by every estimator."""

import decimal
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils import get_tags

from emlearn.impute import MissingDataImputerEM, little_mcar_test, multiple_imputation

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
by_estimator = pytest.mark.parametrize(
    "estimator",
    ["GaussianMixtureEM", "FiniteMixtureEM", "HiddenMarkovEM", "MissingDataImputerEM"],
    indirect=True,
)


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


@pytest.fixture
def check(complete):
    """Function: X is read, or refused with a message where no missing values are taken."""

    def check(estimator, make, X):
        table = make(X)
        if np.isnan(X).any() and not get_tags(estimator).input_tags.allow_nan:
            with pytest.raises(ValueError, match=r"contains NaN: column .*, row \d+"):
                clone(estimator).fit(table)
            table, X = make(complete), complete
        assert_same_use(estimator, table, X)

    return check


@by_estimator
@pytest.mark.parametrize("make", (ARRAYS | MASKED).values(), ids=(ARRAYS | MASKED).keys())
def test_arrays(estimator, make, holed, check):
    is_list = isinstance(make(holed), (list, tuple)) and isinstance(make(holed)[0], np.ndarray)
    if is_list and type(estimator).__name__ == "HiddenMarkovEM":
        pytest.skip("a list of arrays is a list of sequences")
    check(estimator, make, holed)


@by_estimator
@pytest.mark.parametrize("make", INTEGERS.values(), ids=INTEGERS.keys())
def test_integers(estimator, make, complete, check):
    check(estimator, make, complete)


@by_estimator
def test_memory_maps(estimator, tmp_path, holed, check):
    check(estimator, lambda X: memory_mapped(X, tmp_path), holed)


def test_little_and_multiple_imputation_read_the_same(holed):
    expected = little_mcar_test(holed)
    for make in (ARRAYS | MASKED).values():
        assert little_mcar_test(make(holed)) == expected
    settings = {"n_imputations": 1, "random_state": 0}
    plain = next(multiple_imputation(MissingDataImputerEM(), holed, **settings))
    hidden = next(multiple_imputation(MissingDataImputerEM(), masked(holed), **settings))
    assert_array_equal(hidden, plain)


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
def test_pandas(estimator, complete, holed, check):
    X = holed if get_tags(estimator).input_tags.allow_nan else complete
    for name, frame in pandas_frames(X).items():
        check(estimator, lambda _, frame=frame: frame, X)
        names = getattr(clone(estimator).fit(frame), "feature_names_in_", None)
        assert (names is None) == (name == "numbers as names")


@by_estimator
def test_polars(estimator, complete, holed, check):
    pl = pytest.importorskip("polars")
    X = holed if get_tags(estimator).input_tags.allow_nan else complete
    frame = pl.DataFrame(X, schema=list("abc")).fill_nan(None)
    for table in (frame, frame.cast(pl.Int64), frame.cast({"a": pl.Int8, "b": pl.Utf8})):
        check(estimator, lambda _, table=table: table, X)
        assert_array_equal(clone(estimator).fit(table).feature_names_in_, list("abc"))


def test_what_was_given_is_never_changed(complete, holed, read):
    for make in (ARRAYS | MASKED).values():
        table, before = make(holed), make(holed)
        imputer = MissingDataImputerEM().fit(table)
        imputer.transform(table)
        assert str(np.ma.getdata(table).tolist()) == str(np.ma.getdata(before).tolist())
    X = complete.copy()
    read(X, missing_values=X[0, 0])
    assert_array_equal(X, complete)


@pytest.mark.parametrize("form", ["pandas", "polars", "default"])
def test_indicators_in_any_output(form, holed):
    pytest.importorskip(form) if form != "default" else None
    expected = MissingDataImputerEM(add_indicator=True).fit_transform(holed)
    with sklearn.config_context(transform_output=form):
        imputer = MissingDataImputerEM(add_indicator=True)
        for found in (imputer.fit_transform(holed), imputer.transform(holed)):
            assert_array_equal(np.asarray(found), expected)
    assert expected.shape == (40, 6)


@by_estimator
def test_names_of_columns_are_compared(estimator, complete):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(complete, columns=["a", "b", "c"])
    model = clone(estimator).fit(frame)
    assert model.n_features_in_ == 3
    for other, message in (
        (frame[["b", "a", "c"]], "must be in the same order"),
        (frame.rename(columns={"a": "z"}), "unseen at fit time:\n- z"),
    ):
        with pytest.raises(ValueError, match=message):
            model.score(other)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.score(complete)
    with pytest.raises(ValueError, match=r"2 features, but .* is expecting 3"):
        clone(estimator).fit(complete).score(complete[:, :2])
    assert not hasattr(model.fit(complete), "feature_names_in_")
