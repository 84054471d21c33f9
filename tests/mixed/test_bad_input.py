"""Bad input is said by its name, and hard input has the documented result."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from emlearn import LinearMixedModelEM
from emlearn.mixed import Genotypes, Pedigree


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 5), "x": rng.normal(size=40)})
    y = 1.0 + 2.0 * X["x"].to_numpy() + np.repeat(rng.normal(size=8), 5) + rng.normal(size=40)
    return X, y


def put(array, place, value):
    array = np.array(array, float)
    array[place] = value
    return array


def refuse(match, X, y, weight=None, error=ValueError, **parameters):
    with pytest.raises(error, match=match) as found:
        LinearMixedModelEM(**{"groups": "g", **parameters}).fit(X, y, sample_weight=weight)
    assert "LinAlgError" not in repr(found.value)


# ---- parameters -------------------------------------------------------------------------------

IMPOSSIBLE = {
    "no such group": ({"groups": "h"}, r"X has no column 'h'\. The columns of X are: 'g', 'x'"),
    "number of a group": ({"groups": 7}, "groups: X has no column 7"),
    "group in a tuple": ({"groups": [("g", "h")]}, "no column 'h'"),
    "group twice": ({"groups": ["g", "g"]}, "Two terms have the name 'g'"),
    "unhashable group": ({"groups": [["g"]]}, "groups must have names or numbers"),
    "empty tuple": ({"groups": [()]}, "empty tuple"),
    "slope that is no list": ({"random_slopes": "x"}, "random_slopes must be a list"),
    "slope that is a group": ({"random_slopes": ["g"]}, "column 'g'.*also in groups"),
    "no such slope": ({"random_slopes": ["z"]}, "random_slopes: X has no column 'z'"),
    "slopes of no term": ({"random_slopes": {"k": ["x"]}}, "key 'k', which is no term"),
    "no effects": ({"random_intercept": False}, "'g' has no random effects"),
    "covariance": ({"covariance": "block"}, "covariance must be 'full', 'diag'"),
    "method": ({"method": "REML"}, "'method' parameter"),
    "weights": ({"weights": "frequency"}, "'weights' parameter"),
    "random effects": ({"random_effects": "all"}, "'random_effects' parameter"),
    "accelerate": ({"accelerate": "newton-raphson"}, "'accelerate' parameter"),
    "tolerance": ({"tol": -1.0}, "'tol' parameter"),
    "iterations": ({"max_iter": 1.5}, "'max_iter' parameter"),
    "no such fixed column": ({"fixed_columns": ["z"]}, "fixed_columns: X has no column 'z'"),
    "fixed group": ({"fixed_columns": ["g"]}, "fixed_columns has column 'g'"),
    "Z is no dict": ({"Z": ["x"]}, "Z must be a dict"),
    "no such column in Z": ({"Z": {"m": ["z"]}}, r"Z\['m'\]: X has no column 'z'"),
    "term of Z is a group": ({"Z": {"g": ["x"]}}, "Two terms have the name 'g'"),
    "reserved name": ({"groups": {"residual": "g"}}, "'residual'"),
    "held: no such term": ({"fixed": {"h": 1.0}}, "'h'"),
    "held: negative": ({"fixed": {"g": -1.0}}, "fixed"),
    "held: residual of 0": ({"fixed": {"residual": 0.0}}, "residual variance is not positive"),
    "held: negative residual": ({"fixed": {"residual": -2.0}}, "fixed"),
    "held: shape": ({"fixed": {"g": [[1.0, 0.0], [0.0, 1.0]]}}, "fixed"),
    "held: infinite": ({"fixed": {"residual": np.inf}}, "fixed"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_parameters(case, rows):
    parameters, match = IMPOSSIBLE[case]
    refuse(match, *rows, **parameters)


def test_held_covariances_that_no_matrix_has(rows):
    for held, match in (
        ([[1.0, 2.0], [2.0, 1.0]], "no covariance matrix has"),
        ([[1.0, 0.5], [0.4, 1.0]], "symmetric"),
        ([[1.0, np.inf], [np.inf, 1.0]], "infinite"),
    ):
        refuse(match, *rows, random_slopes=["x"], fixed={"g": held})
    refuse(
        "must be 0",
        *rows,
        random_slopes=["x"],
        covariance="diag",
        fixed={"g": [[1.0, 0.5], [0.5, 1.0]]},
    )


# ---- X, y and weights ---------------------------------------------------------------------------


def test_entries_of_X(rows):
    X, y = rows
    refuse("column 'x', row 3|column 'x'.*NaN", X.assign(x=put(X["x"], 3, np.nan)), y)
    refuse("'x'", X.assign(x=put(X["x"], 3, np.inf)), y)
    refuse("Column 'g' of X, row 2, has no value", X.assign(g=X["g"].where(X.index != 2)), y)
    refuse("OneHotEncoder", X.assign(x=["a", "b"] * 20), y)
    refuse("has 1.5", X.assign(g=put(np.arange(40) // 5, 7, 1.5)), y)


def test_shapes(rows):
    X, y = rows
    refuse("inconsistent numbers of samples", X, y[:-1])
    refuse("y should be a 1d array|1d", X, np.column_stack([y, y]))
    refuse("requires y to be passed", X, None)
    refuse("0 sample", X.iloc[:0], y[:0])
    refuse("sample_weight", X, y, np.ones(3))


def test_responses(rows):
    X, y = rows
    refuse("y has text: 'a' in row 1", X, [0.0, "a", *y[2:]])
    refuse("infinity.*row 4", X, put(y, 4, np.inf))
    refuse("all 40 are missing", X, np.full(40, np.nan))
    refuse("complex|Complex", X, y + 1j)
    refuse("Change its units", X, 1e200 * y)
    refuse("Change its units", X, 1e-200 * y)


def test_weights(rows):
    X, y = rows
    refuse("sample_weight", X, y, put(np.ones(40), 3, -1.0))
    refuse("sample_weight", X, y, put(np.ones(40), 3, np.nan))
    refuse("all rows have weight 0", X, y, np.zeros(40))
    refuse("whose weights add up to 0.04", X, y, np.full(40, 1e-3))


def test_too_few_rows(rows):
    X, y = rows
    refuse("n_samples = 2 rows.*2 fixed effects", X[:2], y[:2])
    only = put(np.full(40, np.nan), 5, 1.0)
    refuse("n_samples = 1 rows", X, only)


def test_groups_that_are_given(rows):
    X, y = rows
    model = LinearMixedModelEM()
    for groups, match in (
        (X["g"][:-1], "inconsistent numbers"),
        (np.column_stack([X["g"]] * 2), "one label for each row"),
        (X["g"].where(X.index != 2), "row 2, has no value"),
    ):
        with pytest.raises(ValueError, match=match):
            model.fit(X[["x"]], y, groups=groups)
    model.fit(X[["x"]], y)
    with pytest.raises(ValueError, match="there were none in fit"):
        model.predict(X[["x"]], groups=X["g"])


def test_predict(rows):
    X, y = rows
    model = LinearMixedModelEM("g").fit(X, y)
    with pytest.raises(ValueError, match="random_effects must be 'known' or 'none', got 'all'"):
        model.predict(X, random_effects="all")
    with pytest.raises(ValueError, match="'x'"):
        model.predict(X.assign(x=np.nan))
    with pytest.raises(ValueError, match="'g'"):
        model.predict(X.assign(g=None))


def test_inference_arguments(rows):
    X, y = rows
    model = LinearMixedModelEM("g").fit(X, y)
    with pytest.raises(ValueError, match="information must be 'observed'"):
        model.inference(X, y, information="sandwich")
    with pytest.raises(ValueError, match="degrees_of_freedom must be"):
        model.fixed_effects(X, y, degrees_of_freedom="kenward-roger")
    with pytest.raises(ValueError, match="no term with a kinship"):
        model.heritability(X, y)


# ---- kinships ---------------------------------------------------------------------------------

LEVELS = list("abcdefgh")
KINSHIPS = {
    "not square": (np.ones((8, 7)), ValueError, "square|shape"),
    "not symmetric": (
        pd.DataFrame(np.eye(8) + np.eye(8, k=1), LEVELS, LEVELS),
        ValueError,
        "symmetric",
    ),
    "not positive semi-definite": (
        pd.DataFrame(np.eye(8) - 2.0 * np.eye(8)[::-1], LEVELS, LEVELS),
        ValueError,
        "positive semi-definite",
    ),
    "missing entry": (
        pd.DataFrame(np.where(np.eye(8) > 0, np.nan, 0.0), LEVELS, LEVELS),
        ValueError,
        "has nan in row 'a', column 'a'",
    ),
    "unknown level": (
        pd.DataFrame(np.eye(7), LEVELS[:7], LEVELS[:7]),
        ValueError,
        "Level 'h'.*not in the kinship of 'g'",
    ),
    "index and columns differ": (
        pd.DataFrame(np.eye(8), LEVELS, list("ABCDEFGH")),
        ValueError,
        "columns|index",
    ),
    "text": ("identity", (ValueError, TypeError), "kinship"),
    "for an unknown term": ({"h": np.eye(8)}, ValueError, "kinship has the key 'h'"),
}


@pytest.mark.parametrize("case", KINSHIPS)
def test_kinships(case, rows):
    kinship, error, match = KINSHIPS[case]
    refuse(match, *rows, error=error, kinship=kinship)


def test_pedigree_with_a_loop():
    with pytest.raises(ValueError, match="ancestor"):
        Pedigree(["a", "b"], ["b", "a"], [None, None])


def test_animals_that_are_not_genotyped(rows):
    genotypes = Genotypes(
        pd.DataFrame(np.random.default_rng(0).integers(0, 3, (7, 20)), LEVELS[:7])
    )
    refuse("Level 'h'", *rows, kinship=genotypes)


# ---- hard data have results -----------------------------------------------------------------


def assert_finite(model):
    assert np.isfinite([model.log_likelihood_, model.aic_, model.bic_, model.intercept_]).all()
    assert np.isfinite(model.coef_).all()
    for value in model.variance_components_.values():
        assert np.isfinite(value).all()
        assert np.linalg.eigvalsh(np.atleast_2d(value)).min() >= -1e-9 * np.max(value)
    for own in model.random_effects_.values():
        for values in (own.effects, own.variances, own.conditional_variances):
            assert np.isfinite(values).all()


def fit(X, y, weight=None, **parameters):
    model = LinearMixedModelEM(**{"groups": "g", **parameters}).fit(X, y, sample_weight=weight)
    assert_finite(model)
    assert np.isfinite(model.predict(X, return_std=True)).all()
    return model


def unidentified(terms, X, y, **parameters):
    with pytest.warns(ConvergenceWarning, match=f"variances of {terms} are not identified"):
        return fit(X, y, **parameters)


@pytest.mark.parametrize("method", ["reml", "ml"])
class TestNotIdentified:
    """Variances of which others have the same likelihood."""

    def test_a_level_for_each_row(self, rows, method):
        X, y = rows
        model = unidentified("'g', 'residual'", X.assign(g=np.arange(40)), y, method=method)
        # Their sum is: the variance of least squares.
        residuals = y - model.predict(X.assign(g=-1))
        df = 38 if method == "reml" else 40
        total = model.variance_components_["g"] + model.variance_components_["residual"]
        assert_allclose(total, residuals @ residuals / df, rtol=1e-4)

    def test_two_terms_of_the_same_levels(self, rows, method):
        X, y = rows
        X = X.assign(h=X["g"].str.upper())
        model = unidentified("'g', 'h'", X, y, groups=["g", "h"], method=method)
        simple = fit(X.drop(columns="h"), y, method=method)
        assert_allclose(model.log_likelihood_, simple.log_likelihood_, rtol=1e-9)

    def test_slopes_of_an_empty_column(self, rows, method):
        X, y = rows
        empty = {"random_slopes": ["z"], "covariance": "diag", "fixed_columns": ["x"]}
        with pytest.raises(ValueError, match="column 'z' of the random effects of 'g' is constant"):
            fit(X.assign(z=0.0), y, **empty, method=method)

    @pytest.mark.parametrize("z", ["constant", "a column", "a sum"])
    def test_slopes_that_depend_on_others(self, rows, method, z):
        X, y = rows
        columns = {"constant": 1.0, "a column": X["x"], "a sum": 3.0 - 2.0 * X["x"]}
        X = X.assign(z=columns[z])
        with pytest.raises(ValueError, match="column 'z' of the random effects of 'g' is constant"):
            fit(X, y, random_slopes=["x", "z"], fixed_columns=["x"], method=method)


def test_what_is_held_identifies_the_rest(rows):
    X, y = rows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit(X.assign(g=np.arange(40)), y, fixed={"residual": 0.5})
    residuals = y - model.predict(X.assign(g=-1))
    assert_allclose(model.variance_components_["g"], residuals @ residuals / 38 - 0.5, rtol=1e-4)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("value", [0.0, -3.5, 1e10])
def test_constant_response(rows, value, method):
    """The level is the intercept, and variances are those of rounding errors."""
    X, _ = rows
    with pytest.warns(UserWarning, match="or y is constant"):
        model = fit(X, np.full(40, value), method=method, random_slopes=["x"])
    assert model.converged_
    assert_allclose(model.intercept_, value, rtol=1e-12)
    assert_allclose(model.coef_, 0.0, atol=1e-12 * abs(value))
    assert (model.variance_components_["g"] == 0.0).all()
    assert np.sqrt(model.variance_components_["residual"]) <= 1e-11 * max(abs(value), 1.0)
    assert_allclose(model.predict(X), value, rtol=1e-12, atol=0)


def test_response_that_is_a_column(rows):
    X, _ = rows
    with pytest.warns(UserWarning, match="explain y exactly"):
        model = fit(X, 3.0 * X["x"] + 1.0)
    assert_allclose([model.intercept_, *model.coef_], [1.0, 3.0], rtol=1e-12)


def test_constant_response_with_known_variances(rows):
    X, _ = rows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit(X, np.full(40, 2.0), fixed={"g": 1.0, "residual": 3.0})
    assert model.variance_components_ == {"g": 1.0, "residual": 3.0}
    assert_allclose(model.intercept_, 2.0)


def test_dependent_columns_are_named(rows):
    X, y = rows
    X = X.assign(twice=2.0 * X["x"], one=1.0)
    with pytest.warns(UserWarning, match=r"column\(s\) twice, one of X depend on others"):
        model = fit(X, y)
    assert_allclose(model.coef_[1:], 0.0)
    simple = fit(X[["g", "x"]], y)
    assert_allclose(model.log_likelihood_, simple.log_likelihood_, rtol=1e-12)
    assert model.fixed_effects_.remarks == ("", "", "not identified", "not identified")


def test_missing_responses_are_predicted(rows):
    X, y = rows
    absent = np.array([0, 7, 8, *range(35, 40)])
    model = fit(X, put(y, absent, np.nan))
    keep = np.setdiff1d(np.arange(40), absent)
    expected = fit(X.iloc[keep], y[keep])
    # A level without responses is not known.
    assert model.random_effects_["g"].levels.tolist() == LEVELS[:7]
    for left, right in zip(
        model.predict(X, return_std=True), expected.predict(X, return_std=True), strict=True
    ):
        assert_allclose(left, right, rtol=1e-12)


def test_levels_of_one_row(rows):
    """Only pairs tell the two variances apart."""
    X, y = rows
    model = fit(X.assign(g=[0, 0, 1, 1, *range(2, 38)]), y)
    assert model.converged_


def test_few_levels(rows):
    X, y = rows
    one = X.assign(g="a")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = fit(one, y)
    assert_allclose(model.predict(one), model.predict(one, random_effects="none"), atol=1e-8)
    assert fit(X.assign(g=np.arange(40) % 2), y).converged_


def test_nothing_but_groups(rows):
    X, y = rows
    model = fit(X[["g"]], y)
    assert model.coef_.shape == (0,)
    assert fit(X[["g"]], y, fit_intercept=False).intercept_ == 0.0


def test_nearly_as_many_columns_as_rows(rows):
    X, y = rows
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 35))).add_prefix("c")
    assert fit(wide.assign(g=X["g"]), y).converged_
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 45))).add_prefix("c")
    refuse("40 fixed effects", wide.assign(g=X["g"]), y)


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_levels_that_differ_much_more_than_their_rows(noise, method):
    """In a balanced design, the estimates are the classical ones of the analysis of variance."""
    rng = np.random.default_rng(4)
    g, n = np.repeat(np.arange(12), 6), 6
    y = rng.normal(size=12)[g] + noise * rng.normal(size=72)
    model = fit(pd.DataFrame({"g": g}), y, method=method)
    means = y.reshape(12, n).mean(axis=1)
    within = np.square(y.reshape(12, n) - means[:, None]).sum() / (12 * (n - 1))
    between = np.var(means, ddof=1 if method == "reml" else 0) - within / n
    assert model.converged_
    assert_allclose(model.variance_components_["residual"], within, rtol=1e-4)
    assert_allclose(model.variance_components_["g"], between, rtol=1e-4)
    assert_allclose(model.intercept_, y.mean(), rtol=1e-10)


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_levels_that_explain_y(noise):
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 6)
    y = rng.normal(size=12)[g] + noise * rng.normal(size=72)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = fit(pd.DataFrame({"g": g}), y)
    # Besides, the run may end where rounding errors lower the likelihood.
    assert any("random effects of 'g' explain y" in str(warning.message) for warning in said)
    assert_allclose(model.predict(pd.DataFrame({"g": g})), y, atol=1e-6)


@pytest.mark.parametrize("weights", ["copies", "precision"])
def test_weights_of_many_sizes(rows, weights):
    X, y = rows
    weight = 10.0 ** np.random.default_rng(0).uniform(-10, 10, 40)
    assert fit(X, y, weight, weights=weights).converged_


def test_two_rows_of_extreme_weight(rows):
    """Rows of nearly no weight do not matter."""
    X, y = rows
    weight = np.where(np.arange(40) < 35, 1.0, 1e-12)
    found = fit(X, y, weight)
    expected = fit(X[:35], y[:35])
    assert_allclose(found.coef_, expected.coef_, rtol=1e-8)


def test_more_columns_than_rows_have_random_effects(rows):
    X, y = rows
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 300))).add_prefix("m")
    model = fit(wide.assign(g=X["g"], x=X["x"]), y, Z={"markers": list(wide)})
    assert model.converged_
    assert model.random_effects_["markers"].effects.shape == (300, 1)


def test_an_outlier(rows):
    X, y = rows
    assert fit(X, put(y, 0, 1e9)).converged_


def test_heritability_of_zero_has_no_standard_error(rows):
    X, y = rows
    y = y - pd.Series(y).groupby(X["g"]).transform("mean").to_numpy()
    model = fit(X, y, kinship=pd.DataFrame(np.eye(8), LEVELS, LEVELS), fixed_columns=[])
    assert model.boundary_ == ("g",)
    assert model.heritability_ == 0.0
    found = model.heritability(X, y)
    assert found.remarks == ("at a bound",)
    assert np.isnan(found.standard_error).all()
    assert np.isnan(found.confidence_interval()).all()


def test_heritability_inside(rows):
    """By hand: the delta method."""
    X, y = rows
    model = fit(X, y, kinship=pd.DataFrame(np.eye(8), LEVELS, LEVELS))
    found, inference = model.heritability(X, y), model.inference(X, y)
    a, e = inference.estimate
    slope = np.array([e, -a]) / (a + e) ** 2
    expected = np.sqrt(slope @ inference.covariance @ slope)
    assert_allclose(found.estimate, model.heritability_, rtol=1e-12)
    assert_allclose(found.standard_error, expected, rtol=1e-6)


def test_errors_are_those_of_the_fit(rows):
    X, y = rows
    model = fit(X, y)
    for method in (model.inference, model.fixed_effects):
        with pytest.raises(ValueError, match=r"must be the rows, .* of the fit"):
            method(X, 2.0 * np.asarray(y))
        with pytest.raises(ValueError, match=r"must be the rows, .* of the fit"):
            method(X[:-1], y[:-1])


def test_levels_of_another_type(rows):
    X = pd.DataFrame({"x": np.arange(12.0) % 5, "g": np.arange(12) % 4})
    model = LinearMixedModelEM("g").fit(X, np.arange(12.0) % 7)
    with pytest.warns(UserWarning, match="Column 'g' of X has the level '0', which fit saw as 0"):
        model.predict(X.assign(g=X["g"].astype(str)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X.assign(g="new"))
        model.predict(X.assign(g=X["g"].astype(float)))


@pytest.mark.parametrize("size", [1e160, 1e-160])
def test_columns_whose_squares_are_beyond_floats(size):
    X = pd.DataFrame({"x": size * (np.arange(12.0) % 5), "g": np.arange(12) % 4})
    with pytest.raises(ValueError, match="Column 'x' of X has values of the size 4e"):
        LinearMixedModelEM("g").fit(X, np.arange(12.0) % 7)


def test_labels_of_rows_as_the_parameter(rows):
    X, y = rows
    with pytest.raises(ValueError, match=r"Got Series. Labels of rows are given to fit"):
        LinearMixedModelEM(pd.Series(["a"] * len(X))).fit(X, y)
