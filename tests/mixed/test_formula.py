import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import LinearMixedModelEM
from emlearn.mixed._formula import parse_formula
from emlearn.mixed._response import read_response

X = pd.DataFrame(
    {
        "y": [3.0, 1.0, np.nan, 4.0, 2.0, 6.0],
        "x": [1.0, 2.0, 3.0, 4.0, 6.0, 5.0],
        "z": [2, 1, 2, 1, 3, 3],
        "machine": ["B", "A", "C", "A", "B", "C"],
        "a": ["p", "q", "p", "q", "p", "q"],
        "b": [1, 1, 2, 2, 1, 2],
    }
)
ONE = np.ones(6)


@pytest.fixture
def learn(parameters):
    """Function that reads a table with a formula."""
    pytest.importorskip("formulaic")

    def learn(formula, X=X, **options):
        return parameters(formula=formula, **options).learn(X)

    return learn


# ---- the grammar ----------------------------------------------------------------------

FORMULAS = {
    "y ~ x + (x | g)": ("y", "x", [("x", ("g",), True)]),
    "y~x+(x||g)": ("y", "x", [("x", ("g",), False)]),
    "y ~ (1 | g)": ("y", "1", [("1", ("g",), True)]),
    "y ~ (1 | g) + x": ("y", "x", [("1", ("g",), True)]),
    "y ~ x + (1 | g) + z": ("y", "x + z", [("1", ("g",), True)]),
    "y ~ x + (1 | g) - 1": ("y", "x - 1", [("1", ("g",), True)]),
    "y ~ (1 | g) - 1": ("y", "- 1", [("1", ("g",), True)]),
    "(1 | g)": (None, "1", [("1", ("g",), True)]),
    "~ 0 + x + (1|g)": (None, "0 + x", [("1", ("g",), True)]),
    "y ~ x": ("y", "x", []),
    "y ~ (1 | a) + (0 + x | b)": ("y", "1", [("1", ("a",), True), ("0 + x", ("b",), True)]),
    "y ~ (1 | a:b)": ("y", "1", [("1", ("a", "b"), True)]),
    "y ~ (1 | a / b)": ("y", "1", [("1", ("a",), True), ("1", ("a", "b"), True)]),
    "y ~ (x || a/b/c)": (
        "y",
        "1",
        [("x", ("a",), False), ("x", ("a", "b"), False), ("x", ("a", "b", "c"), False)],
    ),
    "y ~ (1 | (a:b))": ("y", "1", [("1", ("a", "b"), True)]),
    "y ~ (1 | `my g`:`a|b`)": ("y", "1", [("1", ("my g", "a|b"), True)]),
    "log(y + 1) ~ I(x | z) + (log(x) | g)": (
        "log(y + 1)",
        "I(x | z)",
        [("log(x)", ("g",), True)],
    ),
    "y ~ (x + z)**2 + (I(x | z) | g)": ("y", "(x + z)**2", [("I(x | z)", ("g",), True)]),
    "y ~ x:(z + w) + (1 | g)": ("y", "x:(z + w)", [("1", ("g",), True)]),
    "y ~ C(m, Treatment('a~(b')) + (1 | g)": (
        "y",
        "C(m, Treatment('a~(b'))",
        [("1", ("g",), True)],
    ),
}


def plain(text):
    return " ".join(text.split())


@pytest.mark.parametrize(("text", "parts"), FORMULAS.items(), ids=FORMULAS.keys())
def test_parts_of_formulas(text, parts):
    parsed = parse_formula(text)
    assert parsed.response == parts[0]
    assert plain(parsed.fixed) == parts[1]
    assert [tuple(part) for part in parsed.random] == parts[2]


BAD_FORMULAS = {
    "y ~ x | g": "has a '|' outside of a random part",
    "y ~ x + (x + (1 | g))": "has a '|' outside of a random part",
    "y ~ x * (1 | g)": "has a random part that is not joined by",
    "y ~ x - (1 | g)": "has a random part that is not joined by",
    "y ~ (1 | g):x": "has a random part that is not joined by",
    "y ~ x ~ z": "has several '~'",
    "y ~ (1 | g": "parentheses or quotes that are not closed",
    "y ~ 1 | g)": "parentheses or quotes that are not closed, or not opened",
    "y ~ `x": "parentheses or quotes that are not closed",
    "y ~ ( | g)": r"The random part '\( \| g\)' has nothing before the bar",
    "y ~ (1 | g | h)": "has several bars",
    "y ~ (1 ||| g)": "has several bars",
    "y ~ (1 | )": "has the group ''",
    "y ~ (1 | g + h)": r"has the group 'g \+ h'",
    "y ~ (1 | g * h)": r"has the group 'g \* h'",
    "y ~ (1 | factor(g))": r"has the group 'factor\(g\)'",
}


@pytest.mark.parametrize(("text", "message"), BAD_FORMULAS.items(), ids=BAD_FORMULAS.keys())
def test_bad_formulas_are_errors(text, message):
    with pytest.raises(ValueError, match=message):
        parse_formula(text)


def test_formulas_are_text(parameters):
    with pytest.raises(ValueError, match="formula must be text"):
        parse_formula(3)


# ---- the fixed part -------------------------------------------------------------------

FIXED = {
    "y ~ x + (1 | a)": (True, {"x": X["x"]}),
    "y ~ 0 + x + (1 | a)": (False, {"x": X["x"]}),
    "y ~ x - 1 + (1 | a)": (False, {"x": X["x"]}),
    "y ~ 1 + (1 | a)": (True, {}),
    "y ~ (1 | a)": (True, {}),
    "y ~ 0 + (1 | a)": (False, {}),
    "y ~ machine": (
        True,
        {"machine[T.B]": X["machine"] == "B", "machine[T.C]": X["machine"] == "C"},
    ),
    "y ~ 0 + machine": (False, {f"machine[{m}]": X["machine"] == m for m in "ABC"}),
    "y ~ C(z)": (True, {"C(z)[T.2]": X["z"] == 2, "C(z)[T.3]": X["z"] == 3}),
    "y ~ x:z + np.log(x)": (True, {"np.log(x)": np.log(X["x"]), "x:z": X["x"] * X["z"]}),
    "y ~ z + I(z**2)": (True, {"z": X["z"], "I(z**2)": X["z"] ** 2}),
    "y ~ x*a": (
        True,
        {"x": X["x"], "a[T.q]": X["a"] == "q", "x:a[T.q]": X["x"] * (X["a"] == "q")},
    ),
}


@pytest.mark.parametrize(
    ("formula", "intercept", "columns"),
    [(key, *value) for key, value in FIXED.items()],
    ids=FIXED.keys(),
)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_fixed_effects(learn, formula, intercept, columns, library):
    table = X if library == "pandas" else pl.DataFrame({name: X[name].tolist() for name in X})
    estimator = learn(formula, table)
    assert estimator.recipe.fit_intercept == intercept
    for design in (estimator.design, estimator.apply(table)):
        assert [name.replace(" ", "") for name in design.fixed_names] == list(columns)
        assert design.fixed.dtype == np.float64
        expected = np.column_stack([np.empty((6, 0)), *columns.values()])
        assert_allclose(design.fixed, expected, rtol=1e-15)


def test_transforms_keep_what_fit_learned(learn):
    estimator = learn("y ~ scale(x) + (1 | a)")
    scaled = (X["x"] - X["x"].mean()) / X["x"].std()
    assert_allclose(estimator.design.fixed[:, 0], scaled)
    assert_allclose(estimator.apply(X[1:3]).fixed[:, 0], scaled[1:3])


def test_a_dot_is_all_other_columns(learn):
    design = learn("y ~ . + (1 | a:b)").design
    assert design.fixed_names == ("x", "z", "machine[T.B]", "machine[T.C]")
    assert learn("y ~ . + (1 | a)", X[["y", "a"]]).design.fixed.shape == (6, 0)


def test_backquotes_are_for_other_names(learn):
    frame = X.rename(columns={"x": "my x", "a": "my a", "y": "my y"})
    estimator = learn("`my y` ~ `my x` + (`my x` | `my a`)", frame)
    assert estimator.design.fixed_names == ("my x",)
    assert estimator.design.terms[0].name == "my a"
    assert_array_equal(estimator.recipe.response(frame, None), X["y"])


def test_levels_have_the_order_of_their_dtype(learn):
    dtype = pd.CategoricalDtype(["C", "unused", "A", "B"])
    estimator = learn("y ~ machine", X.astype({"machine": dtype}))
    assert estimator.design.fixed_names == ("machine[T.A]", "machine[T.B]")
    assert_array_equal(estimator.apply(X.iloc[[0, 2]]).fixed, [[0, 1], [0, 0]])


@pytest.mark.parametrize("dtype", ["int8", "Int64", "float32", "object", "bool", "boolean"])
def test_numbers_of_any_dtype(learn, dtype):
    frame = X.assign(x=pd.Series([1, 0, 1, 1, 0, 0]).astype(dtype))
    design = learn("y ~ x + (x | a)", frame).design
    assert design.fixed_names == ("x",)
    assert_array_equal(design.fixed[:, 0], [1, 0, 1, 1, 0, 0])


@pytest.mark.parametrize("column", ["machine", "z"])
def test_new_levels_of_fixed_effects_are_errors(learn, column):
    estimator = learn("y ~ machine + C(z) + (1 | a)")
    new = X.assign(**{column: ["new" if column == "machine" else 9.0, *X[column].tolist()[1:]]})
    with pytest.raises(ValueError, match=f"Column '{column}' of X, row 0, has the level .*in fit"):
        estimator.apply(new)


def test_a_column_can_be_named_intercept(learn):
    estimator = learn("y ~ 0 + intercept", X.rename(columns={"x": "intercept"}))
    assert not estimator.recipe.fit_intercept
    assert estimator.design.fixed_names == ("intercept",)


def test_levels_that_are_not_whole(learn):
    frame = X.assign(x=[0.5, 0.5, 1.5, 2.0, 2.0, 1.5])
    assert learn("y ~ C(x)", frame).design.fixed_names == ("C(x)[T.1.5]", "C(x)[T.2.0]")


# ---- random parts ---------------------------------------------------------------------

TERMS = {
    "(1 | a)": {"a": (["intercept"], [ONE], [0])},
    "(x | a)": {"a": (["intercept", "x"], [ONE, X["x"]], [0, 0])},
    "(0 + x | a)": {"a": (["x"], [X["x"]], [0])},
    "(x - 1 | a)": {"a": (["x"], [X["x"]], [0])},
    "(x || a)": {"a": (["intercept", "x"], [ONE, X["x"]], [0, 1])},
    "(x * z || a)": {
        "a": (
            ["intercept", "x", "z", "x:z"],
            [ONE, X["x"], X["z"], X["x"] * X["z"]],
            [0, 1, 2, 3],
        )
    },
    "(1 | a) + (0 + x | a)": {"a": (["intercept", "x"], [ONE, X["x"]], [0, 1])},
    "(0 + z + x | a) + (1 | a)": {"a": (["z", "x", "intercept"], [X["z"], X["x"], ONE], [0, 0, 1])},
    "(0 + machine | a)": {
        "a": ([f"machine[{m}]" for m in "ABC"], [X["machine"] == m for m in "ABC"], [0, 0, 0])
    },
    "(machine || a)": {
        "a": (
            ["intercept", *(f"machine[{m}]" for m in "ABC")],
            [ONE, *(X["machine"] == m for m in "ABC")],
            [0, 1, 1, 1],
        )
    },
    "(1 | a) + (x | b)": {
        "a": (["intercept"], [ONE], [0]),
        "b": (["intercept", "x"], [ONE, X["x"]], [0, 0]),
    },
    "(1 | a / b)": {"a": (["intercept"], [ONE], [0]), "a:b": (["intercept"], [ONE], [0])},
}


@pytest.mark.parametrize(("random", "terms"), TERMS.items(), ids=TERMS.keys())
def test_random_effects(learn, random, terms):
    estimator = learn("y ~ z + " + random)
    for design in (estimator.design, estimator.apply(X)):
        assert [term.name for term in design.terms] == list(terms)
        for term, (names, basis, block) in zip(design.terms, terms.values(), strict=True):
            assert list(term.columns) == names
            assert_array_equal(term.basis, np.column_stack(basis))
            assert_array_equal(term.pattern, np.equal.outer(block, block))


def test_groups_of_formulas(learn):
    estimator = learn("y ~ (1 | a:b) + (1 | b)")
    both, b = estimator.design.terms
    assert both.levels.tolist() == [("p", 1), ("p", 2), ("q", 1), ("q", 2)]
    assert_array_equal(both.index, [0, 2, 1, 3, 0, 3])
    assert b.levels.tolist() == [1, 2]
    both, b = estimator.apply(X.assign(b=[1.0, 2, 3, 1, 1, 1])).terms
    assert_array_equal(both.index, [0, 3, -1, 2, 0, 2])
    assert_array_equal(b.index, [0, 1, -1, 0, 0, 0])


def test_a_column_can_be_a_group_and_have_a_fixed_effect(learn):
    design = learn("y ~ b + (1 | b)").design
    assert_array_equal(design.fixed[:, 0], X["b"])
    assert design.terms[0].levels.tolist() == [1, 2]


def test_kinships_of_formulas(learn, labels):
    kinship = labels("r", "q", "p")
    for option in (kinship, {"a": kinship}):
        (term,) = learn("y ~ (1 | a)", kinship=option).design.terms
        assert term.kinship is kinship
        assert_array_equal(term.index, [2, 1, 2, 1, 2, 1])
    with pytest.raises(ValueError, match=r"Level 'q' of column 'a' of X \(row 1\) is not in the"):
        learn("y ~ (1 | a)", kinship=labels("p"))
    with pytest.raises(ValueError, match="kinship has the key 'b', which is no term"):
        learn("y ~ (1 | a)", kinship={"b": kinship})


# ---- the response ---------------------------------------------------------------------


def test_the_response_is_no_feature(learn):
    estimator = learn("y ~ x + (1 | a)")
    assert estimator.feature_names_in_.tolist() == ["x", "z", "machine", "a", "b"]
    without = estimator.apply(X.drop(columns="y"))
    assert_array_equal(without.fixed, estimator.design.fixed)
    assert learn("y ~ x + (1 | a)", X.drop(columns="y")).design.fixed_names == ("x",)
    assert learn("x + y ~ x").feature_names_in_.tolist() == ["x", "z", "machine", "a", "b"]


@pytest.mark.parametrize(
    ("left", "values"),
    [
        ("y", X["y"]),
        ("np.log(y)", np.log(X["y"])),
        ("y / x", X["y"] / X["x"]),
        ("log(x)", np.log(X["x"])),
    ],
)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_left_side_is_computed(learn, left, values, library):
    table = X if library == "pandas" else pl.from_pandas(X[["y", "x", "a"]].astype({"a": object}))
    recipe = learn(left + " ~ 1 + (1 | a)", table).recipe
    assert_allclose(read_response(recipe.response(table, None), 6, "Model"), values, rtol=1e-15)


def test_y_comes_before_a_name(learn):
    recipe = learn("y ~ x").recipe
    assert recipe.response(X, ONE) is ONE
    assert learn("~ x").recipe.response(X, None) is None


def test_y_and_a_left_side_that_computes_it_are_an_error(learn):
    with pytest.raises(ValueError, match="y is given, but the left side of the form"):
        learn("log(y) ~ x").recipe.response(X, ONE)


def test_a_response_that_x_lacks_is_an_error(learn):
    recipe = learn("w ~ x").recipe
    with pytest.raises(ValueError, match="y is None, and X has no column 'w'"):
        recipe.response(X, None)
    with pytest.raises(
        ValueError, match=r"name 'w' is not defined.*The columns of X are: 'y', 'x'"
    ):
        learn("log(w) ~ x").recipe.response(X, None)
    with pytest.raises(ValueError, match=r"those of X have none. Pass y, or a DataFrame"):
        recipe.response(X.to_numpy(object), None)


def test_an_infinite_response_is_an_error(learn):
    frame = X.assign(y=0.0)
    with pytest.raises(ValueError, match="Input y contains infinity"):
        read_response(learn("log(y) ~ x", frame).recipe.response(frame, None), 6, "Model")


# ---- errors ---------------------------------------------------------------------------

BAD = {
    "no such column": ("y ~ w", {}, r"'1 \+ w' of the formula .* `w` is not present.*'x', 'z'"),
    "no such slope": ("y ~ (w | a)", {}, "`w` is not present"),
    "no such group": ("y ~ (1 | w)", {}, "formula: X has no column 'w'. The columns of X are: 'x'"),
    "no such function": ("y ~ foo(x)", {}, "name 'foo' is not defined"),
    "syntax": ("y ~ x +", {}, "'x \\+' of the formula is invalid: Operator"),
    "not finite": ("y ~ log(x - 2)", {}, r"'log\(x - 2\)' of the formula is nan in row 0"),
    "slope that is not finite": (
        "y ~ (log(x - 1) | a)",
        {},
        "'log\\(x - 1\\)' .* is -inf in row 0",
    ),
    "reserved name": ("y ~ (1 | residual)", {}, "No term can have the name 'residual'"),
    "an effect twice": ("y ~ (1 | a) + (x | a)", {}, "random effect 'intercept' of 'a' twice"),
    "no effects": ("y ~ (0 | a)", {}, "The formula has no random effects of 'a'"),
    "no independent effects": ("y ~ (0 || a)", {}, "The formula has no random effects of 'a'"),
    "no intercept": ("y ~ x", {"fit_intercept": False}, "written as '0 \\+' in the formula"),
    "groups": ("y ~ x", {"groups": "a"}, "groups and formula are given"),
    "slopes": ("y ~ x", {"random_slopes": ["x"]}, "random_slopes and formula are given"),
    "intercept": ("y ~ x", {"random_intercept": False}, "random_intercept and formula are given"),
    "covariance": ("y ~ x", {"covariance": "diag"}, "covariance and formula are given"),
    "Z": ("y ~ x", {"Z": {"z": ["x"]}}, "Z and formula are given"),
    "fixed columns": ("y ~ x", {"fixed_columns": ["x"]}, "fixed_columns and formula are given"),
}


@pytest.mark.parametrize(("formula", "options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_uses_are_errors(learn, formula, options, message):
    with pytest.raises(ValueError, match=message):
        learn(formula, X.assign(residual=X["a"]), **options)


@pytest.mark.parametrize("column", ["x", "machine", "a"])
def test_missing_values_are_errors(learn, column):
    formula = "y ~ x + machine + (x | a)"
    frame = X.astype({"a": object, "machine": object})
    bad = frame.copy()
    bad.loc[2, column] = None
    group = "Column 'a' of X, row 2, has no value"
    message = group if column == "a" else f"Input X contains NaN: column '{column}', row 2"
    with pytest.raises(ValueError, match=message):
        learn(formula, bad)
    with pytest.raises(ValueError, match=message):
        learn(formula, frame).apply(bad)


def test_columns_that_are_not_used_may_be_missing(learn):
    assert learn("y ~ x", X.assign(z=np.nan, machine=None)).design.fixed_names == ("x",)


@pytest.mark.parametrize(
    ("value", "message"),
    [("2", "Column 'x' of X has text: '2' in row 1"), (np.inf, "contains infinity .*'x', row 1")],
)
def test_new_numbers_are_finite_numbers(learn, value, message):
    estimator = learn("y ~ x")
    values = X["x"].astype(object)
    values[1] = value
    with pytest.raises(ValueError, match=message):
        estimator.apply(X.assign(x=values))


def test_times_are_errors(learn):
    with pytest.raises(ValueError, match="Times in column 'x' of X"):
        learn("y ~ x", X.assign(x=pd.Timestamp("2024-01-01")))


def test_arrays_have_no_names(learn):
    with pytest.raises(ValueError, match="The formula has names of columns, but those of X have"):
        learn("y ~ x", X.to_numpy(object))


def test_labels_cannot_be_given(parameters):
    pytest.importorskip("formulaic")
    with pytest.raises(ValueError, match=r"groups and formula are given. Add a column of groups"):
        parameters(formula="y ~ x").learn(X, X["a"])


def test_recipes_of_formulas_can_be_pickled(learn):
    estimator = learn("y ~ scale(x) + machine + (machine || a)")
    again = pickle.loads(pickle.dumps(estimator)).apply(X)
    assert_array_equal(again.fixed, estimator.design.fixed)
    assert_array_equal(again.terms[0].basis, estimator.design.terms[0].basis)


def test_without_formulaic_the_error_says_how_to_install_it(parameters, monkeypatch):
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match=r"pip install scikit-em\[formula\]"):
        parameters(formula="y ~ x").learn(X)


@pytest.mark.parametrize(
    ("formula", "plain"),
    [
        ("yield ~ a.b + (a.b | class)", "y ~ a + (a | g)"),
        ("np.log(yield_) ~ np.exp(a.b) * a.b + (1 | class)", "np.log(z) ~ np.exp(a) * a + (1 | g)"),
        ("yield ~ a.b * in + (1 | in:class)", "y ~ a * i + (1 | i:g)"),
        ("yield ~ . + (1 | class)", "y ~ . + (1 | g)"),
        ("`yield` ~ `a.b` + (0 + a.b || class)", "y ~ a + (0 + a || g)"),
    ],
)
def test_columns_whose_names_are_no_names_in_python(formula, plain):
    rng = np.random.default_rng(0)
    y, a = rng.normal(size=(2, 60))
    columns = {"y": y, "a": a, "g": list("abcdef") * 10, "i": list("xxyyz") * 12, "z": np.exp(y)}
    if "z" not in plain:
        del columns["z"]
    table = pd.DataFrame(columns)
    odd = table.rename(columns={"y": "yield", "a": "a.b", "g": "class", "i": "in", "z": "yield_"})
    found = LinearMixedModelEM(formula=formula).fit(odd)
    expected = LinearMixedModelEM(formula=plain).fit(table)
    assert found.log_likelihood_ == expected.log_likelihood_
    np.testing.assert_array_equal(found.predict(odd), expected.predict(table))


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("np.log(yield) ~ 1", "not an expression of Python. Are keywords .yield, class. among"),
        ("x ~ C(yield)", "not an expression of Python. Are keywords .yield, class. among"),
        ("x ~ I(z^2)", r"Expressions are those of Python: np.log\(x\), \{x\*\*2\}"),
        ("x ~ scale2(z)", r"'scale2' is not defined\] Expressions are those of Python"),
    ],
)
def test_what_is_no_python(formula, message):
    table = pd.DataFrame({"yield": [1.0, 2.0, 3.0], "x": [1.0, 3.0, 2.0], "z": [0.5, 1.0, 2.0]})
    with pytest.raises(ValueError, match=message):
        LinearMixedModelEM(formula=formula).fit(table)
