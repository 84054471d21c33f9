import datetime
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

X = pd.DataFrame(
    {
        "x": [1.0, 2.0, 3.0, 4.0],
        "t": [0, 1, 0, 1],
        "school": ["b", "a", "b", "a"],
        "class": [2, 1, 1, 1],
    }
)


def of_polars(X):
    return pl.DataFrame({name: X[name].tolist() for name in X})


# ---- what kinds of tables there are ---------------------------------------------------

TABLES = {
    "pandas": X,
    "polars": of_polars(X),
    "pandas with categories": X.astype({"school": "category", "class": "category"}),
    "pandas with nullable dtypes": X.convert_dtypes(),
    "pandas of objects": X.astype(object),
    "objects": X.to_numpy(object),
    "lists": X.to_numpy(object).tolist(),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_tables_of_any_kind_have_the_same_design(parameters, table):
    named = hasattr(table, "columns")
    groups, slope = (["school", "class"], "t") if named else ([2, 3], 1)
    estimator = parameters(groups, random_slopes={groups[0]: [slope]}).learn(table)
    fixed, names = estimator.design.fixed, estimator.design.fixed_names
    school, classes = estimator.design.terms
    assert_array_equal(fixed, [[1, 0], [2, 1], [3, 0], [4, 1]])
    assert fixed.dtype == np.float64
    assert names == (("x", "t") if named else ("x0", "x1"))
    assert school.name == ("school" if named else "x2")
    assert school.columns == ("intercept", "t" if named else "x1")
    assert school.levels.tolist() == ["a", "b"]
    assert_array_equal(school.index, [1, 0, 1, 0])
    assert_array_equal(school.basis, [[1, 0], [1, 1], [1, 0], [1, 1]])
    assert school.pattern.all()
    assert classes.columns == ("intercept",)
    assert classes.levels.tolist() == [1, 2]
    assert_array_equal(classes.index, [1, 0, 0, 0])
    assert_array_equal(classes.basis, np.ones((4, 1)))
    assert estimator.n_features_in_ == 4
    assert hasattr(estimator, "feature_names_in_") == named
    if named:
        assert estimator.feature_names_in_.tolist() == ["x", "t", "school", "class"]
    again = estimator.apply(table)
    assert_array_equal(again.fixed, fixed)
    assert_array_equal(again.terms[0].index, school.index)


def test_groups_of_an_array_of_floats(parameters):
    table = np.array([[0.5, 7.0], [0.25, -1.0], [0.5, 7.0]])
    (term,) = parameters(1).learn(table).design.terms
    assert term.levels.dtype == np.int64
    assert term.levels.tolist() == [-1, 7]
    assert_array_equal(term.index, [1, 0, 1])


def test_tables_of_pyarrow(parameters):
    pyarrow = pytest.importorskip("pyarrow")
    design = parameters("school").learn(pyarrow.Table.from_pandas(X)).design
    assert design.terms[0].levels.tolist() == ["a", "b"]
    assert design.fixed_names == ("x", "t", "class")


def test_without_groups_there_are_fixed_effects_only(parameters):
    table = np.arange(6.0).reshape(3, 2)
    estimator = parameters().learn(table)
    assert_array_equal(estimator.design.fixed, table)
    assert estimator.design.terms == ()
    assert estimator.recipe.fit_intercept


def test_the_design_does_not_share_the_memory_of_x(parameters):
    table = np.arange(6.0).reshape(3, 2)
    design = parameters().learn(table).design
    assert not np.shares_memory(design.fixed, table)


def test_all_columns_can_be_groups(parameters):
    design = parameters("g").learn(pd.DataFrame({"g": [1, 1, 2]})).design
    assert design.fixed.shape == (3, 0)
    assert design.fixed_names == ()


def test_fit_intercept_is_kept(parameters):
    assert not parameters(fit_intercept=False).learn(np.ones((2, 1))).recipe.fit_intercept


# ---- labels ---------------------------------------------------------------------------

DAY = datetime.date(2024, 5, 1)
LABELS = {
    "text": (["b", "a", "b"], ["a", "b"]),
    "integers": ([3, -1, 3], [-1, 3]),
    "large integers": (pd.array([2**53 + 1, 2**53, None], "Int64")[[0, 1, 0]], [2**53, 2**53 + 1]),
    "unsigned": (np.array([2**63 + 5, 1, 2**63 + 5], np.uint64), [1, 2**63 + 5]),
    "floats": ([3.0, -1.0, 3.0], [-1, 3]),
    "large floats": ([1e300, -1.0, 1e300], [-1, int(1e300)]),
    "floats beyond integers": ([2.0**63, -1.0, 2.0**63], [-1, 2**63]),
    "booleans": ([True, False, True], [False, True]),
    "nullable booleans": (pd.array([True, False, True], "boolean"), [False, True]),
    "categories": (pd.Categorical(["b", "a", "b"], ["c", "b", "a"]), ["a", "b"]),
    "categories of integers": (pd.Categorical([10, 9, 10]), [9, 10]),
    "times": (
        pd.to_datetime(["2024-02-01", "2024-01-01", "2024-02-01"]),
        [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-01")],
    ),
    "dates": ([DAY.replace(day=2), DAY, DAY.replace(day=2)], [DAY, DAY.replace(day=2)]),
    "numbers and text": (["1", 1, "1"], [1, "1"]),
    "integers and floats": (np.array([2, 1.0, 2.0], object), [1, 2]),
    "tuples": ([(1, "b"), (1, "a"), (1, "b")], [(1, "a"), (1, "b")]),
    "types without an order": ([1j, 0j, 1j], [0j, 1j]),
}


@pytest.mark.parametrize(("values", "levels"), LABELS.values(), ids=LABELS.keys())
def test_levels_are_sorted_labels(parameters, values, levels):
    frame = pd.DataFrame({"g": pd.Series(values)})
    (term,) = parameters("g").learn(frame).design.terms
    assert term.levels.tolist() == levels
    assert [type(level) for level in term.levels.tolist()] == [type(level) for level in levels]
    assert_array_equal(term.index, [1, 0, 1])


@pytest.mark.parametrize(
    ("fitted", "new", "index"),
    [
        (pd.Series([1, 2]), pd.Series([2.0, 1.0]), [1, 0]),
        (pd.Series([1.0, 2.0]), pd.Series([2, 1], dtype="Int64"), [1, 0]),
        (pd.Series([1, 2]), pd.Series(["2", "1"]), [-1, -1]),
        (pd.Series(["1", "2"]), pd.Series([2, 1]), [-1, -1]),
        (pd.Series([1, 2]), pd.Series([2, 1], dtype=object), [1, 0]),
        (pd.Series([1, 2]), pd.Series([2, 1], dtype="category"), [1, 0]),
        (pd.Series([1, 2], dtype="uint8"), pd.Series([2.0, 300.0], dtype="float32"), [1, -1]),
        (pd.Series(["a", "b"], dtype="category"), pd.Series(["b", "a"], dtype=object), [1, 0]),
        (pd.Series(["a", "b"], dtype=object), pd.Series(["b", "c"], dtype="category"), [1, -1]),
        (pd.Series(["a", "b"], dtype="string"), pd.Series(["b", "a"], dtype="category"), [1, 0]),
        (pd.Series([False, True]), pd.Series([True, False], dtype="boolean"), [1, 0]),
    ],
    ids=lambda own: str(own.dtype) if isinstance(own, pd.Series) else "",
)
@pytest.mark.parametrize("other", [False, True], ids=["pandas", "polars"])
@pytest.mark.filterwarnings("ignore:.*These are different levels:UserWarning")
def test_levels_are_the_same_in_any_dtype(parameters, fitted, new, index, other):
    estimator = parameters("g").learn(pd.DataFrame({"g": fitted}))
    frame = pd.DataFrame({"g": new})
    (term,) = estimator.apply(of_polars(frame) if other else frame).terms
    assert_array_equal(term.index, index)
    assert_array_equal(term.levels, estimator.design.terms[0].levels)


FRAMES_OF_POLARS = {
    "Categorical": pl.Series(["b", "a", "b"], dtype=pl.Categorical),
    "Enum": pl.Series(["b", "a", "b"], dtype=pl.Enum(["c", "b", "a"])),
    "Boolean": pl.Series([True, False, True]),
    "UInt8": pl.Series([7, 1, 7], dtype=pl.UInt8),
    "Date": pl.Series([DAY.replace(day=2), DAY, DAY.replace(day=2)]),
    "Datetime": pl.Series([datetime.datetime(2024, 5, d) for d in (2, 1, 2)]),
}


@pytest.mark.parametrize("values", FRAMES_OF_POLARS.values(), ids=FRAMES_OF_POLARS.keys())
def test_labels_of_polars(parameters, values):
    estimator = parameters("g").learn(pl.DataFrame({"g": values}))
    (term,) = estimator.design.terms
    assert term.levels.tolist() == sorted(set(values.to_list()))
    assert_array_equal(term.index, [1, 0, 1])
    frame = pd.DataFrame({"g": values.to_list()})
    assert_array_equal(estimator.apply(frame).terms[0].index, [1, 0, 1])


@pytest.mark.parametrize("dtype", ["int64[pyarrow]", "double[pyarrow]", "string[pyarrow]"])
def test_labels_of_arrow(parameters, dtype):
    pytest.importorskip("pyarrow")
    values = ["b", "a", "b"] if dtype.startswith("string") else [7, 1, 7]
    estimator = parameters("g").learn(pd.DataFrame({"g": pd.Series(values, dtype=dtype)}))
    assert estimator.design.terms[0].levels.tolist() == sorted(set(values))
    frame = pd.DataFrame({"g": values})
    assert_array_equal(estimator.apply(frame).terms[0].index, [1, 0, 1])


def test_unknown_levels_have_the_index_minus_one(parameters):
    estimator = parameters(["school", ("school", "class")]).learn(X)
    new = X.assign(school=["b", "c", "a", "b"], **{"class": [2, 1, 2, 1]})
    school, both = estimator.apply(new).terms
    assert_array_equal(school.index, [1, -1, 0, 1])
    assert_array_equal(both.index, [2, -1, -1, 1])


def test_interactions_are_the_combinations_that_occur(parameters):
    (term,) = parameters(("school", "class")).learn(X).design.terms
    assert term.name == "school:class"
    assert term.levels.tolist() == [("a", 1), ("b", 1), ("b", 2)]
    assert_array_equal(term.index, [2, 0, 1, 0])


def test_interactions_of_three_columns(parameters):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 4, (60, 3)).astype(float)
    (term,) = parameters((0, 2, 1)).learn(table).design.terms
    rows = [tuple(map(int, row)) for row in table[:, [0, 2, 1]]]
    assert term.name == "x0:x2:x1"
    assert term.levels.tolist() == sorted(set(rows))
    assert [term.levels[i] for i in term.index] == rows


MISSING = {
    "NaN": pd.Series(["a", np.nan, "b"], dtype=object),
    "None": pd.Series(["a", None, "b"], dtype=object),
    "NA": pd.Series(["a", pd.NA, "b"], dtype="string"),
    "float": pd.Series([1.0, np.nan, 2.0]),
    "Int64": pd.Series([1, pd.NA, 2], dtype="Int64"),
    "category": pd.Series(["a", None, "b"], dtype="category"),
    "time": pd.Series(pd.to_datetime(["2024-01-01", None, "2024-01-02"])),
}


@pytest.mark.parametrize("values", MISSING.values(), ids=MISSING.keys())
def test_missing_groups_are_errors(parameters, values):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "g": values})
    message = "Column 'g' of X, row 1, has no value"
    with pytest.raises(ValueError, match=message):
        parameters("g").learn(frame)
    estimator = parameters("g").learn(frame.iloc[[0, 2]])
    with pytest.raises(ValueError, match=message):
        estimator.apply(frame)


def test_a_null_of_polars_is_a_missing_group(parameters):
    with pytest.raises(ValueError, match="Column 'g' of X, row 1, has no value"):
        parameters("g").learn(pl.DataFrame({"g": [1, None, 2]}))


def test_a_missing_group_of_an_array_is_an_error(parameters):
    with pytest.raises(ValueError, match="Column 1 of X, row 0, has no value"):
        parameters(1).learn(np.array([[1.0, np.nan], [1.0, 2.0]]))


@pytest.mark.parametrize("value", [0.5, np.inf], ids=["fraction", "infinity"])
@pytest.mark.parametrize("dtype", [float, object])
def test_labels_are_whole_numbers(parameters, value, dtype):
    with pytest.raises(ValueError, match=f"Column 'g' of X, row 2, has {value:g}, but labels"):
        parameters("g").learn(pd.DataFrame({"g": np.array([1.0, 2.0, value], dtype)}))


def test_lists_are_no_labels(parameters):
    with pytest.raises(TypeError, match="Column 'g' of X has lists, dicts or the like"):
        parameters("g").learn(pd.DataFrame({"g": [[1], [2]]}))


# ---- numbers --------------------------------------------------------------------------


NO_NUMBERS = {
    "NaN": (np.nan, ValueError, "Input X contains NaN: column 'x', row 1. Parameters does not"),
    "None": (None, ValueError, "Input X contains NaN: column 'x', row 1"),
    "NA": (pd.NA, ValueError, "Input X contains NaN: column 'x', row 1"),
    "infinity": (np.inf, ValueError, "Input X contains infinity or a value .*: column 'x', row 1"),
    "text": ("high", ValueError, "Column 'x' of X has text: 'high' in row 1.*OneHotEncoder"),
    "text of a number": ("2", ValueError, "Column 'x' of X has text: '2' in row 1"),
    "complex": (2j, ValueError, "Complex data not supported: column 'x' of X"),
    "time": (pd.Timestamp("2024-01-01"), ValueError, "Times in column 'x' of X"),
    "dict": ({"foo": "bar"}, TypeError, "argument must be .* string.* number"),
}


@pytest.mark.parametrize(("value", "error", "message"), NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
@pytest.mark.parametrize("role", ["fixed", "slope", "Z"])
def test_what_is_no_finite_number_is_an_error(parameters, value, error, message, role):
    options = {
        "fixed": {},
        "slope": {"random_slopes": ["x"], "fixed_columns": []},
        "Z": {"Z": {"blocks": ["x"]}},
    }[role]
    good = X[["x", "t", "school"]]
    values = np.array([1.0, None, 3.0, 4.0], object)
    values[1] = value
    bad = good.assign(x=values)
    with pytest.raises(error, match=message):
        parameters("school", **options).learn(bad)
    estimator = parameters("school", **options).learn(good)
    with pytest.raises(error, match=message):
        estimator.apply(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["NaN", "infinity"])
def test_errors_of_arrays_number_the_column_of_x(parameters, value):
    table = np.ones((3, 4))
    table[2, 3] = value
    with pytest.raises(ValueError, match="column 3, row 2"):
        parameters(0).learn(table)


def test_missing_values_are_for_the_imputer(parameters):
    with pytest.raises(ValueError, match=r"leave out the rows.*MissingDataImputerEM") as caught:
        parameters().learn(np.array([[1.0], [np.nan]]))
    assert "FiniteMixtureEM" not in str(caught.value)


def test_columns_that_are_not_used_may_hold_anything(parameters):
    frame = X.assign(x=["?", None, "!", np.nan])
    design = parameters("school", fixed_columns=["t"]).learn(frame).design
    assert design.fixed_names == ("t",)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint64", "float16", "bool", "Int32", "Float32", "boolean", "Sparse[int]"]
)
def test_numbers_of_any_dtype(parameters, dtype):
    frame = pd.DataFrame({"x": pd.Series([1, 0, 1]).astype(dtype), "g": ["a", "b", "a"]})
    fixed = parameters("g").learn(frame).design.fixed
    assert fixed.dtype == np.float64
    assert_array_equal(fixed, [[1], [0], [1]])


def test_categories_are_no_numbers(parameters):
    frame = pd.DataFrame({"x": pd.Series([1, 2, 1], dtype="category")})
    with pytest.raises(ValueError, match="Column 'x' of X has a dtype of categories"):
        parameters().learn(frame)


# ---- the checks of scikit-learn -------------------------------------------------------


def test_sparse_tables_are_errors(parameters):
    with pytest.raises(TypeError, match="Sparse data was passed for X"):
        parameters().learn(csr_array(np.eye(3)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones(3), "Expected 2D array, got 1D array instead"),
        (np.ones((2, 2, 2)), "Found array with dim 3"),
        (np.ones((0, 2)), r"Found array with 0 sample\(s\)"),
        (np.ones((2, 0)), r"0 feature\(s\) \(shape=\(2, 0\)\) while a minimum of 1 is required"),
        (pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]), "Two columns of X are named 'a'"),
    ],
    ids=["vector", "cube", "no rows", "no columns", "same names"],
)
def test_what_is_no_table_is_an_error(parameters, table, message):
    with pytest.raises(ValueError, match=message):
        parameters().learn(table)


def test_other_columns_than_in_fit_are_errors(parameters):
    estimator = parameters("school").learn(X)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.apply(X.rename(columns={"x": "z"}))
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.apply(X[["t", "x", "school", "class"]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        design = estimator.apply(X.to_numpy(object))
    assert_array_equal(design.terms[0].index, [1, 0, 1, 0])


def test_another_number_of_columns_is_an_error(parameters):
    estimator = parameters(3).learn(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"has 3 features, but .* is expecting 4"):
        estimator.apply(np.ones((2, 3)))


def test_errors_of_new_arrays_have_the_names_of_fit(parameters):
    estimator = parameters("school").learn(X)
    new = X.to_numpy(object)
    new[2, 0] = np.nan
    with (
        pytest.warns(UserWarning, match="X does not have valid feature names"),
        pytest.raises(ValueError, match="column 'x', row 2"),
    ):
        estimator.apply(new)


def test_recipes_can_be_pickled(parameters, labels):
    estimator = parameters(["school"], Z={"z": ["t"]}).learn(X)
    again = pickle.loads(pickle.dumps(estimator)).apply(X)
    assert_array_equal(again.terms[0].index, [1, 0, 1, 0])


# ---- parameters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ("school", ["school"]),
        (["school"], ["school"]),
        (np.array(["school", "class"]), ["school", "class"]),
        (["school", ("school", "class")], ["school", "school:class"]),
        ({"genetic": "school", "permanent": "school"}, ["genetic", "permanent"]),
        ({"both": ("school", "class")}, ["both"]),
        (2, ["school"]),
        ((2, "class"), ["school:class"]),
        ([np.int64(3)], ["class"]),
    ],
    ids=str,
)
def test_names_of_terms(parameters, groups, names):
    design = parameters(groups, fixed_columns=["x"]).learn(X).design
    assert [term.name for term in design.terms] == names


def test_columns_can_have_numbers_as_names(parameters):
    frame = pd.DataFrame(np.array([[5.0, 1.0], [6.0, 2.0]]), columns=[1, 0])
    design = parameters(0).learn(frame).design
    assert design.terms[0].levels.tolist() == [1, 2]
    assert design.terms[0].name == "0"
    assert_array_equal(design.fixed, [[5.0], [6.0]])


def test_columns_can_have_tuples_as_names(parameters):
    frame = pd.DataFrame([[5.0, 1], [6.0, 2]])
    frame.columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "g")])
    assert parameters(("a", "g")).learn(frame).design.terms[0].levels.tolist() == [1, 2]


def test_slopes_of_the_only_term(parameters):
    (term,) = parameters("school", random_slopes=["t", "x"]).learn(X).design.terms
    assert term.columns == ("intercept", "t", "x")
    assert_array_equal(term.basis, np.column_stack((np.ones(4), X["t"], X["x"])))
    assert term.pattern.all()


def test_slopes_without_an_intercept(parameters):
    estimator = parameters("school", random_slopes=["t", "x"], random_intercept=False)
    (term,) = estimator.learn(X).design.terms
    assert term.columns == ("t", "x")
    assert_array_equal(term.basis, X[["t", "x"]])


def test_options_by_term(parameters):
    estimator = parameters(
        ["school", ("school", "class")],
        random_slopes={"school": ["t", "x"], ("school", "class"): ["x"]},
        random_intercept={"school:class": False},
        covariance={"school": "diag"},
    )
    school, both = estimator.learn(X).design.terms
    assert school.columns == ("intercept", "t", "x")
    assert_array_equal(school.pattern, np.eye(3, dtype=bool))
    assert both.columns == ("x",)
    assert both.pattern.tolist() == [[True]]


def test_diagonal_covariance_of_all_terms(parameters):
    estimator = parameters("school", random_slopes=["t"], covariance="diag").learn(X)
    assert_array_equal(estimator.design.terms[0].pattern, np.eye(2, dtype=bool))


def test_fixed_columns(parameters):
    estimator = parameters("school", fixed_columns=["class", "x"], random_slopes=["t"]).learn(X)
    assert estimator.design.fixed_names == ("class", "x")
    assert_array_equal(estimator.design.fixed, X[["class", "x"]])
    assert parameters("school", fixed_columns=[]).learn(X).design.fixed.shape == (4, 0)


def test_blocks_of_columns(parameters):
    table = np.arange(12.0).reshape(3, 4)
    estimator = parameters(Z={"markers": [3, 1]}).learn(table)
    assert estimator.design.fixed_names == ("x0", "x2")
    for (term,) in (estimator.design.terms, estimator.apply(table).terms):
        assert term.name == "markers"
        assert not term.grouped
        assert term.columns == ("x3", "x1")
        assert_array_equal(term.basis, table[:, [3, 1]])
        assert_array_equal(term.index, [0, 0, 0])
        assert len(term.levels) == 1
        assert term.pattern.tolist() == [[True]]


def test_kinships_have_all_levels(parameters, labels):
    kinship = labels("b", "z", "a")
    estimator = parameters("school", kinship=kinship).learn(X)
    (term,) = estimator.design.terms
    assert term.kinship is kinship
    assert term.levels.tolist() == ["b", "z", "a"]
    assert_array_equal(term.index, [0, 2, 0, 2])
    new = X.assign(school=["z", "new", "a", "b"])
    assert_array_equal(estimator.apply(new).terms[0].index, [1, -1, 2, 0])


def test_kinships_by_term(parameters, labels):
    estimator = parameters(
        {"genetic": "school", "permanent": "school"}, kinship={"genetic": labels("a", "b")}
    )
    genetic, permanent = estimator.learn(X).design.terms
    assert isinstance(genetic.kinship, labels)
    assert permanent.kinship is None


def test_levels_that_a_kinship_lacks_are_errors(parameters, labels):
    message = (
        r"Level 'a' of column 'school' of X \(row 1\) is not in the kinship of 'school': of "
        r"2 levels, 1 are missing\. The kinship has 'b', 1: add"
    )
    with pytest.raises(ValueError, match=message):
        parameters("school", kinship=labels("b", 1)).learn(X)


def test_text_and_numbers_are_different_levels(parameters):
    message = "1 are missing. The kinship has 0, 1: text and numbers are never the same level"
    with pytest.raises(ValueError, match=message):
        parameters(0, kinship=np.eye(2)).learn(np.array([["1"], ["1"]], object))


def test_kinships_of_arrays_and_frames(parameters):
    table = np.array([[0.5, 2.0], [1.0, 0.0], [1.5, 2.0]])
    (term,) = parameters(1, kinship=np.eye(4)).learn(table).design.terms
    assert term.levels.tolist() == [0, 1, 2, 3]
    assert_array_equal(term.index, [2, 0, 2])
    names = ["b", "c", "a"]
    kinship = pd.DataFrame(np.eye(3), names, names)
    (term,) = parameters("school", kinship=kinship).learn(X).design.terms
    assert term.levels.tolist() == names
    assert_array_equal(term.index, [0, 2, 0, 2])
    with pytest.raises(ValueError, match=r"Level 4 of column 1 of X \(row 1\) is not in the kin"):
        parameters(1, kinship=np.eye(4)).learn(np.array([[0.0, 1.0], [0.0, 4.0]]))


BAD_PARAMETERS = {
    "no such column": (
        {"groups": "pupil"},
        "groups: X has no column 'pupil'. The columns of X are: 'x', 't', 'school', 'class'.",
    ),
    "no such number": ({"groups": 4}, "groups: X has no column 4"),
    "negative number": ({"groups": -1}, "groups: X has no column -1"),
    "no such column in a tuple": ({"groups": ("school", "pupil")}, "X has no column 'pupil'"),
    "no such column of a term": ({"groups": {"a": "pupil"}}, r"groups\['a'\]: X has no column"),
    "list in a list": ({"groups": [["school"]]}, "groups must have names or numbers of columns"),
    "empty tuple": ({"groups": ()}, "groups has an empty tuple"),
    "twice in a tuple": (
        {"groups": ("school", "school")},
        r"The tuple .* in groups has column 'school' twice",
    ),
    "two terms": ({"groups": ["school", "school"]}, "Two terms have the name 'school'"),
    "number as a name": ({"groups": {1: "school"}}, "Names of terms are text. Got 1"),
    "reserved name": ({"groups": {"residual": "school"}}, "No term can have the name 'residual'"),
    "fixed and groups": (
        {"groups": "class", "fixed_columns": ["x", "class"]},
        r"fixed_columns has column 'class', which is also in groups \('class'\)",
    ),
    "slope and groups": (
        {"groups": ["class"], "random_slopes": ["class"]},
        "random_slopes has column 'class', which is also in groups",
    ),
    "Z and groups": (
        {"groups": "class", "Z": {"z": ["class"]}},
        r"Z\['z'\] has column 'class', which is also in groups",
    ),
    "fixed and Z": (
        {"fixed_columns": ["x"], "Z": {"z": ["x"]}},
        r"fixed_columns has column 'x', which is also in Z \('z'\)",
    ),
    "fixed twice": ({"fixed_columns": ["x", "x"]}, "fixed_columns has column 'x' twice"),
    "no such fixed column": ({"fixed_columns": ["z"]}, "fixed_columns: X has no column 'z'"),
    "fixed text": ({"fixed_columns": "x"}, "fixed_columns must be a list of columns"),
    "slopes without terms": (
        {"random_slopes": ["x"]},
        "random_slopes is for the terms of groups, but there are none",
    ),
    "slopes of several terms": (
        {"groups": ["school", "class"], "random_slopes": ["x"]},
        r"random_slopes must be a dict.*random_slopes=\{'school': ...\}.*'school', 'class'",
    ),
    "slopes of no term": (
        {"groups": "school", "random_slopes": {"class": ["x"]}},
        "random_slopes has the key 'class', which is no term. The terms are: 'school'",
    ),
    "slopes of no column": (
        {"groups": "school", "random_slopes": ["z"]},
        "random_slopes: X has no column 'z'",
    ),
    "slopes as text": (
        {"groups": "school", "random_slopes": "x"},
        "random_slopes must be a list of columns",
    ),
    "no effects": (
        {"groups": "school", "random_intercept": False},
        "The term 'school' has no random effects",
    ),
    "intercept of no term": (
        {"groups": "school", "random_intercept": {"class": True}},
        "random_intercept has the key 'class', which is no term",
    ),
    "intercept as text": (
        {"groups": "school", "random_intercept": "no"},
        "random_intercept must be True, False or a dict",
    ),
    "covariance": (
        {"groups": "school", "covariance": "diagonal"},
        "covariance must be 'full', 'diag' or a dict of these. Got 'diagonal'",
    ),
    "covariance of no term": ({"covariance": {"a": "full"}}, "There are no terms"),
    "kinship without terms": ({"kinship": np.eye(2)}, "kinship is for the terms of groups"),
    "kinship of several terms": (
        {"groups": ["school", "class"], "kinship": np.eye(2)},
        "kinship must be a dict, since there are several terms",
    ),
    "kinship of an interaction": (
        {"groups": ("school", "class"), "kinship": np.eye(2)},
        "The term 'school:class' has a kinship and several columns",
    ),
    "kinship of a term of Z": (
        {"Z": {"z": ["x"]}, "kinship": {"z": np.eye(2)}},
        "kinship has the key 'z', which is no term",
    ),
    "Z as a list": ({"Z": ["x"]}, "Z must be a dict from names of terms to lists of columns"),
    "Z as text": ({"Z": {"z": "x"}}, r"Z\['z'\] must be a list of columns of X. Got 'x'"),
    "empty Z": ({"Z": {"z": []}}, r"Z\['z'\] is an empty list"),
    "column of Z twice": ({"Z": {"z": ["x", "x"]}}, r"Z\['z'\] has column 'x' twice"),
    "name of Z": ({"groups": "school", "Z": {"school": ["x"]}}, "Two terms have the name"),
    "reserved name of Z": ({"Z": {"residual": ["x"]}}, "No term can have the name 'residual'"),
}


@pytest.mark.parametrize(("options", "message"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS.keys())
def test_bad_parameters_are_errors(parameters, options, message):
    with pytest.raises(ValueError, match=message):
        parameters(**options).learn(X)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("school", "groups has the column 'school', but the columns of X have no names"),
        (2, "groups has the column 2, but X has 2 columns, numbered from 0 to 1"),
        (-1, "groups has the column -1, but"),
        (True, "groups has the column True, but the columns of X have no names"),
    ],
)
def test_columns_that_an_array_lacks(parameters, column, message):
    with pytest.raises(ValueError, match=message):
        parameters(column).learn(np.ones((3, 2)))


# ---- groups that are given to fit -----------------------------------------------------

GIVEN = {
    "list": ["b", "a", "b", "a"],
    "array": np.array(["b", "a", "b", "a"]),
    "column": np.array([["b"], ["a"], ["b"], ["a"]]),
    "pandas": X["school"],
    "Categorical": pd.Categorical(X["school"]),
    "Index": pd.Index(X["school"]),
    "frame": X[["school"]],
    "polars": pl.Series(X["school"].tolist()),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN.keys())
def test_labels_can_be_given(parameters, given):
    estimator = parameters().learn(X[["x"]], given)
    (term,) = estimator.design.terms
    assert term.name == "groups"
    assert term.levels.tolist() == ["a", "b"]
    assert_array_equal(term.index, [1, 0, 1, 0])
    assert_array_equal(estimator.apply(X[["x"]]).terms[0].index, [-1] * 4)
    new = estimator.apply(X[["x"]], ["a", "new", "b", "a"])
    assert_array_equal(new.terms[0].index, [0, -1, 1, 0])


def test_given_labels_are_one_more_term(parameters):
    estimator = parameters("class", random_slopes={"groups": ["x"]})
    first, second = estimator.learn(X[["x", "class"]], X["school"]).design.terms
    assert (first.name, second.name) == ("class", "groups")
    assert second.columns == ("intercept", "x")


def test_given_labels_can_have_slopes_and_a_kinship(parameters, labels):
    estimator = parameters(random_slopes=["x"], kinship=labels("b", "a"))
    (term,) = estimator.learn(X[["x"]], X["school"]).design.terms
    assert term.columns == ("intercept", "x")
    assert term.levels.tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "b"], r"inconsistent numbers of samples: \[4, 2\]"),
        (np.ones((4, 2)), r"groups must have one label for each row, but has shape \(4, 2\)"),
        (["a", None, "b", "a"], "Groups, row 1, has no value"),
        ([0.5, 1, 2, 1], "Groups, row 0, has 0.5, but labels"),
    ],
    ids=["short", "two columns", "missing", "fraction"],
)
def test_bad_labels_are_errors(parameters, given, message):
    with pytest.raises(ValueError, match=message):
        parameters().learn(X[["x"]], given)


def test_labels_that_were_not_given_to_fit_are_errors(parameters):
    estimator = parameters("school").learn(X)
    with pytest.raises(ValueError, match="groups are given, but there were none in fit"):
        estimator.apply(X, X["school"])


def test_a_second_term_named_groups_is_an_error(parameters):
    with pytest.raises(ValueError, match="Two terms have the name 'groups'"):
        parameters({"groups": "class"}).learn(X[["class"]], X["school"])
