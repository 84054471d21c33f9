"""Estimates of lme4 and lmerTest, and breeding values of a textbook."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emlearn.mixed import LinearMixedModelEM, Pedigree

FITS = {
    "sleepstudy": ("Reaction", {"groups": "Subject", "random_slopes": ["Days"]}),
    "sleepstudy_independent": (
        "Reaction",
        {"groups": "Subject", "random_slopes": ["Days"], "covariance": "diag"},
    ),
    "sleepstudy_intercepts": ("Reaction", {"groups": "Subject"}),
    "sleepstudy_slopes": (
        "Reaction",
        {"groups": "Subject", "random_slopes": ["Days"], "random_intercept": False},
    ),
    "sleepstudy_weights": (
        "Reaction",
        {"groups": "Subject", "random_slopes": ["Days"], "weights": "precision"},
    ),
    "Dyestuff": ("Yield", {"groups": "Batch"}),
    "Dyestuff2": ("Yield", {"groups": ["Batch"]}),
    "Penicillin": ("diameter", {"groups": ["plate", "sample"]}),
    "Pastes": ("strength", {"groups": [("cask", "batch"), "batch"]}),
    "cake": ("angle", {"groups": [("recipe", "replicate")], "fixed_columns": ["B", "C", "temp"]}),
    "ergoStool": ("effort", {"groups": "Subject"}),
    "Machines": (
        "score",
        {"groups": [("Machine", "Worker"), "Worker"], "fixed_columns": ["B", "C"]},
    ),
    "Machines_correlated": (
        "score",
        {
            "groups": "Worker",
            "random_slopes": ["A", "B", "C"],
            "random_intercept": False,
            "fixed_columns": ["B", "C"],
        },
    ),
    "Orthodont": ("distance", {"groups": "Subject", "random_slopes": ["age"]}),
    "Oats": ("yield", {"groups": [("Variety", "Block"), "Block"]}),
    "Rail": ("travel", {"groups": "Rail"}),
    "Pastes_singular": ("strength", {"groups": [("cask", "batch"), "batch", "cask"]}),
    "Oats_singular": (
        "yield",
        {"groups": [("Block", "Variety"), "Block"], "random_slopes": {"Block": ["nitro"]}},
    ),
}
# Terms that have a variance of 0, or a correlation of 1.
SINGULAR = {"Dyestuff2": "Batch", "Pastes_singular": "cask", "Oats_singular": "Block"}


@pytest.fixture(scope="module")
def values(reference):
    return {entry["name"]: entry["values"] for entry in reference("mixed_models")["entries"]}


@pytest.fixture(scope="module")
def table(reference):
    """X, with factors as columns of 0 and 1, and y."""
    rows = reference("mixed_data")

    def read(name):
        data = name.split("_")[0]
        X = pd.DataFrame(rows[data]["columns"])
        y = X.pop(FITS[name][0])
        if name == "cake":
            X["B"], X["C"] = (1.0 * (X["recipe"] == recipe) for recipe in "BC")
        elif name == "ergoStool":
            for kind in ("T2", "T3", "T4"):
                X[kind] = 1.0 * (X["Type"] == kind)
            X = X.drop(columns="Type")
        elif name.startswith("Machines"):
            for kind in "ABC":
                X[kind] = 1.0 * (X["Machine"] == kind)
        elif name == "Orthodont":
            X["Male"] = 1.0 * (X.pop("Sex") == "Male")
            X["age:Male"] = X["age"] * X["Male"]
        return X, y

    return read


@pytest.fixture(scope="module")
def fit(table):
    """Fits by name and method; each is made once."""
    made = {}

    def of(name, method):
        if (name, method) not in made:
            X, y = table(name)
            weight = 1.0 + X["Days"] / 3.0 if name == "sleepstudy_weights" else None
            model = LinearMixedModelEM(method=method.lower(), **FITS[name][1])
            made[name, method] = model.fit(X, y, sample_weight=weight), X, y, weight
        return made[name, method]

    return of


def column_of(name):
    """What lme4 calls a column."""
    return {"(Intercept)": "intercept"}.get(name, name.removeprefix("Machine"))


def term_of(model, name):
    """The term that lme4 calls `name`; the order of the columns may differ."""
    wanted = sorted(name.split(":"))
    (found,) = [term for term in model.random_effects_ if sorted(term.split(":")) == wanted]
    return found


def published_covariances(model, published):
    """Covariances of the terms, from names such as "Subject.(Intercept).Days"."""
    found = {
        term: np.zeros_like(model.variance_components_[term]) for term in model.random_effects_
    }
    for name, value in published.items():
        # Independent effects of one factor are terms of their own: "Subject.1".
        group, first, second = name.replace(".1.", ".").split(".")
        if group == "Residual":
            found["residual"] = value
            continue
        term = term_of(model, group)
        columns = model.random_effects_[term].columns
        i = columns.index(column_of(first))
        j = columns.index(column_of(second)) if second else i
        found[term][i, j] = found[term][j, i] = value
    return found


both = pytest.mark.parametrize("method", ["REML", "ML"])
every = pytest.mark.parametrize("name", FITS)


@both
@every
def test_likelihood_and_variances(name, method, fit, values):
    model, published = fit(name, method)[0], values[f"lmer_{name}_{method}"]
    assert model.converged_
    assert_allclose(model.log_likelihood_, published["logLik"], rtol=1e-10, atol=1e-8)
    assert_allclose(model.aic_, published["AIC"], rtol=1e-10)
    assert_allclose(model.bic_, published["BIC"], rtol=1e-10)
    for term, covariance in published_covariances(model, published["var"]).items():
        size = np.abs(covariance).max()
        assert_allclose(
            model.variance_components_[term], covariance, rtol=1e-5, atol=1e-5 * size, err_msg=term
        )
    assert published["singular"] == (name in SINGULAR)
    assert model.boundary_ == ((SINGULAR[name],) if name in SINGULAR else ())


@both
@every
def test_fixed_effects(name, method, fit, values):
    model, published = fit(name, method)[0], values[f"lmer_{name}_{method}"]
    assert_allclose(
        [model.intercept_, *model.coef_], published["fixef"], rtol=1e-6, err_msg=str(name)
    )
    assert_allclose(model.fixed_effects_.standard_error, published["fixef_se"], rtol=1e-6)
    size = np.outer(published["fixef_se"], published["fixef_se"])
    assert_allclose(
        model.fixed_effects_.covariance / size, published["vcov"] / size, rtol=2e-6, atol=1e-7
    )


@both
@pytest.mark.parametrize("name", [name for name in FITS if name not in SINGULAR])
def test_degrees_of_freedom_of_satterthwaite(name, method, fit, values):
    model, X, y, weight = fit(name, method)
    published = values[f"lmer_{name}_{method}"]
    found = model.fixed_effects(X, y, weight)
    assert_allclose(found.degrees_of_freedom, published["satterthwaite_df"], rtol=1e-5)
    tests = found.to_frame()
    assert_allclose(tests["t"], published["t"], rtol=1e-6)
    assert_allclose(tests["pvalue"], published["p"], rtol=1e-4)


@both
@pytest.mark.parametrize("name", [name for name in FITS if name not in SINGULAR])
def test_standard_errors_of_variances(name, method, fit, values):
    model, X, y, weight = fit(name, method)
    inference = model.inference(X, y, weight)
    published = values[f"lmer_{name}_{method}"]
    names = list(published["var"])
    errors = dict(zip(names, published["var_se"], strict=True))
    for term, covariance in published_covariances(model, errors).items():
        found = np.asarray(inference.standard_errors[term])
        shown = np.asarray(covariance) > 0.0
        assert_allclose(found[shown], np.asarray(covariance)[shown], rtol=1e-4, err_msg=term)


@both
@every
def test_random_effects(name, method, fit, values):
    model, published = fit(name, method)[0], values[f"lmer_{name}_{method}"]
    for group, effects in published["ranef"].items():
        found = model.random_effects_[term_of(model, group)]
        levels = [
            level if isinstance(level, tuple) else (level,) for level in found.levels.tolist()
        ]
        places = {tuple(sorted(level)): i for i, level in enumerate(levels)}
        rows = [places[tuple(sorted(level.split(":")))] for level in effects["levels"]]
        columns = [found.columns.index(column_of(column)) for column in effects["columns"]]
        size = np.abs(effects["effects"]).max()
        assert_allclose(
            found.effects[rows][:, columns], effects["effects"], rtol=1e-5, atol=1e-6 * size
        )
        if effects["variances"]:
            variances = found.conditional_variances[np.ix_(rows, columns, columns)]
            size = np.abs(effects["variances"]).max()
            assert_allclose(variances, effects["variances"], rtol=1e-5, atol=1e-6 * size)


@both
@every
def test_predictions(name, method, fit, values):
    model, X, _, _ = fit(name, method)
    published = values[f"lmer_{name}_{method}"]
    assert_allclose(model.predict(X), published["fitted"], rtol=1e-6)
    assert_allclose(model.predict(X, random_effects="none"), published["population"], rtol=1e-7)


@pytest.mark.parametrize("name", ["sleepstudy", "Pastes"])
def test_predictions_of_new_levels(name, fit, values):
    model = fit(name, "REML")[0]
    published = values[f"predict_{name}_REML"]
    new = pd.DataFrame({c: v for c, v in published.items() if c not in ("known", "none")})
    assert_allclose(model.predict(new), published["known"], rtol=1e-7)
    assert_allclose(model.predict(new, random_effects="none"), published["none"], rtol=1e-8)


# Calves: sires and dams of the animals 1 to 8, and the records of five of them.
SIRES = [None, None, None, 1, 3, 1, 4, 3]
DAMS = [None, None, None, None, 2, 2, 5, 6]
ANIMALS = [4, 5, 6, 7, 8]
MALE = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
GAIN = np.array([4.5, 2.9, 3.9, 3.5, 5.0])


class TestMrode:
    """Example 3.1 of R. A. Mrode, "Linear models for the prediction of animal breeding values".

    Weight gains of calves before weaning, with variances 20 and 40.
    """

    @pytest.fixture
    def model(self):
        pedigree = Pedigree(range(1, 9), SIRES, DAMS)
        X = pd.DataFrame({"animal": ANIMALS, "male": MALE})
        X["female"] = 1.0 - X["male"]
        return LinearMixedModelEM(
            "animal", kinship=pedigree, fit_intercept=False, fixed={"animal": 20, "residual": 40}
        ).fit(X, GAIN)

    def test_solutions(self, model):
        assert model.intercept_ == 0.0
        assert_allclose(model.coef_, [4.3585, 3.4044], atol=5e-5)
        effects = model.random_effects_["animal"]
        assert effects.levels.tolist() == list(range(1, 9))
        published = [0.0984, -0.0188, -0.0411, -0.0087, -0.1857, 0.1769, -0.2495, 0.1826]
        assert_allclose(effects.effects[:, 0], published, atol=5.1e-5)
        assert_allclose(model.heritability_, 1.0 / 3.0)

    def test_errors_from_the_dense_equations(self, model):
        """Henderson's equations with the inverse of the relationship matrix by its definition."""
        A = np.zeros((8, 8))
        for i in range(8):
            parents = [p - 1 for p in (SIRES[i], DAMS[i]) if p is not None]
            A[i, :i] = A[:i, i] = sum((A[p, :i] for p in parents), np.zeros(i)) / 2.0
            A[i, i] = 1.0 + (A[parents[0], parents[1]] / 2.0 if len(parents) == 2 else 0.0)
        X = np.column_stack([MALE, 1.0 - np.array(MALE)])
        Z = np.zeros((5, 8))
        Z[np.arange(5), np.array(ANIMALS) - 1] = 1.0
        equations = np.block([[X.T @ X, X.T @ Z], [Z.T @ X, Z.T @ Z + 2.0 * np.linalg.inv(A)]])
        inverse = 40.0 * np.linalg.inv(equations)
        solution = inverse @ np.concatenate([X, Z], axis=1).T @ GAIN / 40.0
        assert_allclose(model.coef_, solution[:2], rtol=1e-12)
        assert_allclose(model.random_effects_["animal"].effects[:, 0], solution[2:], rtol=1e-10)
        assert_allclose(model.fixed_effects_.covariance, inverse[:2, :2], rtol=1e-12)
        variances = model.random_effects_["animal"].variances[:, 0, 0]
        assert_allclose(variances, np.diagonal(inverse)[2:], rtol=1e-12)
        # A new record of each animal, male: errors of both, and the noise.
        rows = pd.DataFrame({"animal": range(1, 9), "male": 1.0, "female": 0.0})
        mean, std = model.predict(rows, return_std=True)
        select = np.zeros((8, 10))
        select[:, 0], select[np.arange(8), np.arange(2, 10)] = 1.0, 1.0
        assert_allclose(mean, select @ solution, rtol=1e-12)
        expected = np.einsum("ij,jk,ik->i", select, inverse, select) + 40.0
        assert_allclose(np.square(std), expected, rtol=1e-12)
