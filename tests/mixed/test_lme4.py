"""Fits beside lme4 and lmerTest, on the data sets of lme4 and nlme."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emlearn.mixed._linear_mixed_model import LinearMixedModelEM

FOLDER = Path(__file__).parents[1] / "reference"
ENTRIES = {
    entry["name"]: entry
    for entry in json.loads((FOLDER / "mixed_models.json").read_text())["entries"]
}
DATA = json.loads((FOLDER / "mixed_data.json").read_text())
#: Responses, and the parameters of the estimator for the formulas of the entries.
RESPONSES = {"sleepstudy": "Reaction", "Dyestuff": "Yield", "Dyestuff2": "Yield"}
RESPONSES |= {"Penicillin": "diameter", "Pastes": "strength", "cake": "angle"}
RESPONSES |= {"ergoStool": "effort", "Machines": "score", "Orthodont": "distance"}
RESPONSES |= {"Oats": "yield", "Rail": "travel"}
SUBJECTS = {"groups": ["Subject"]}
MACHINES = ["MachineA", "MachineB", "MachineC"]
MODELS = {
    "sleepstudy": {**SUBJECTS, "random_slopes": ["Days"]},
    "sleepstudy_independent": {**SUBJECTS, "random_slopes": ["Days"], "covariance": "diag"},
    "sleepstudy_intercepts": SUBJECTS,
    "sleepstudy_slopes": {**SUBJECTS, "random_slopes": ["Days"], "random_intercept": False},
    "sleepstudy_weights": {**SUBJECTS, "random_slopes": ["Days"], "weights": "precision"},
    "Dyestuff": {"groups": ["Batch"]},
    "Dyestuff2": {"groups": ["Batch"]},
    "Penicillin": {"groups": ["plate", "sample"]},
    "Pastes": {"groups": ["batch", ("batch", "cask")]},
    "cake": {"groups": [("recipe", "replicate")]},
    "ergoStool": SUBJECTS,
    "Machines": {"groups": ["Worker", ("Worker", "Machine")]},
    "Machines_correlated": {
        "groups": ["Worker"],
        "random_slopes": MACHINES,
        "random_intercept": False,
        "fixed_columns": MACHINES[1:],
    },
    "Orthodont": {**SUBJECTS, "random_slopes": ["age"]},
    "Oats": {"groups": ["Block", ("Block", "Variety")]},
    "Rail": {"groups": ["Rail"]},
    "Pastes_singular": {"groups": ["batch", ("batch", "cask"), "cask"]},
    "Oats_singular": {
        "groups": ["Block", ("Block", "Variety")],
        "random_slopes": {"Block": ["nitro"]},
    },
}
SINGULAR = {"Dyestuff2": "Batch", "Pastes_singular": "cask", "Oats_singular": "Block"}


def rows_of(name):
    """X, y and weights of a model, with dummy variables as in R."""
    of = name if name in DATA else name.partition("_")[0]
    frame = pd.DataFrame(DATA[of]["columns"])
    y = frame.pop(RESPONSES[of])
    factors = {"cake": ["recipe"], "ergoStool": ["Type"], "Machines": ["Machine"]}
    factors["Orthodont"] = ["Sex"]
    for factor in factors.get(of, []):
        first = name == "Machines_correlated"
        dummies = pd.get_dummies(frame[factor], dtype=float).add_prefix(factor)
        frame = frame.join(dummies if first else dummies.iloc[:, 1:])
    if of == "Orthodont":
        frame["age:SexMale"] = frame["age"] * frame["SexMale"]
    # What is left as text is a grouping factor; it has no fixed effect.
    used = [c for group in MODELS[name]["groups"] for c in np.atleast_1d(group)]
    frame = frame[[c for c in frame if c in used or pd.api.types.is_numeric_dtype(frame[c])]]
    weight = None
    if name == "sleepstudy_weights":
        weight = 1.0 + frame["Days"].to_numpy() / 3.0
    return frame, y, weight


def term_of(group):
    """Our name of a term: R writes the inner factor of a nested term first."""
    order = {"cask:batch": "batch:cask", "Machine:Worker": "Worker:Machine"}
    order["Variety:Block"] = "Block:Variety"
    group = re.sub(r"\.\d+$", "", group)
    return order.get(group, group)


def column_of(name):
    return {"(Intercept)": "intercept"}.get(name, name)


def variances_of(values):
    """Variances and covariances of R by term and pair of columns."""
    found = {}
    for key, value in values["var"].items():
        group, first, second = re.fullmatch(r"(.+)\.([^.]*)\.([^.]*)", key).groups()
        pair = (column_of(first), column_of(second or first))
        found[term_of(group), *pair] = value
    return found


def our_variances(model):
    found = {("Residual", "", ""): model.variance_components_["residual"]}
    for term, effects in model.random_effects_.items():
        for i, first in enumerate(effects.columns):
            for j, second in enumerate(effects.columns):
                found[term, first, second] = model.variance_components_[term][i, j]
    return found


@pytest.fixture(
    scope="module", params=[(m, r) for m in MODELS for r in ("REML", "ML")], ids="_".join
)
def fitted(request):
    name, method = request.param
    X, y, weight = rows_of(name)
    model = LinearMixedModelEM(**MODELS[name], method=method.lower())
    return name, model.fit(X, y, weight), ENTRIES[f"lmer_{name}_{method}"]["values"]


def order_of(model, values):
    """Places of our fixed effects among those of R."""
    names = ["(Intercept)", *model.fixed_names_]
    return [values["fixef_names"].index(name) for name in names]


def test_likelihood(fitted):
    _, model, values = fitted
    assert model.converged_
    assert_allclose(model.log_likelihood_, values["logLik"], rtol=0, atol=1e-8)
    assert_allclose([model.aic_, model.bic_], [values["AIC"], values["BIC"]], rtol=0, atol=1e-7)


def test_fixed_effects(fitted):
    _, model, values = fitted
    order = order_of(model, values)
    estimates = model.fixed_effects_
    assert_allclose(model.intercept_, values["fixef"][0], rtol=1e-6)
    assert_allclose(model.coef_, np.array(values["fixef"])[order[1:]], rtol=1e-5)
    expected = np.array(values["vcov"])[np.ix_(order, order)]
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert_allclose(estimates.covariance / scale, expected / scale, rtol=0, atol=2e-5)


def test_variances(fitted):
    _, model, values = fitted
    ours = our_variances(model)
    expected = variances_of(values)
    scale = {key[0]: max(v for k, v in expected.items() if k[0] == key[0]) for key in expected}
    for key, value in expected.items():
        assert ours[key] == pytest.approx(value, rel=1e-4, abs=1e-5 * scale[key[0]] + 1e-9), key


def test_boundary(fitted):
    name, model, values = fitted
    assert values["singular"] == (name in SINGULAR)
    assert model.boundary_ == ((SINGULAR[name],) if name in SINGULAR else ())


def test_random_effects(fitted):
    _, model, values = fitted
    for group, expected in values["ranef"].items():
        found = model.random_effects_[term_of(group)]
        nested = term_of(group) != group
        places = {
            ":".join(map(str, level)) if isinstance(level, tuple) else str(level): i
            for i, level in enumerate(found.levels.tolist())
        }
        levels = expected["levels"]
        if nested:
            levels = [":".join(reversed(level.split(":"))) for level in levels]
        rows = [places[level] for level in levels]
        columns = [found.columns.index(column_of(name)) for name in expected["columns"]]
        effects = np.array(expected["effects"])
        scale = np.abs(effects).max() + 1e-9
        ours = found.effects[np.ix_(rows, columns)]
        assert_allclose(ours / scale, effects / scale, rtol=0, atol=2e-5)
        variances = np.array(expected["variances"], float)
        if variances.size:
            ours = found.conditional_variances[np.ix_(rows, columns, columns)]
            scale = np.abs(variances).max() + 1e-9
            assert_allclose(ours / scale, variances / scale, rtol=0, atol=5e-5)


def test_predictions_of_rows(fitted):
    name, model, values = fitted
    X, y, _ = rows_of(name)
    scale = np.std(y)
    assert_allclose(model.predict(X) / scale, np.array(values["fitted"]) / scale, atol=2e-5)
    population = model.predict(X, random_effects="none")
    assert_allclose(population / scale, np.array(values["population"]) / scale, atol=2e-6)


def test_satterthwaite(fitted):
    name, model, values = fitted
    if name in SINGULAR:
        pytest.skip("lmerTest drops the singular directions")
    order = order_of(model, values)
    found = model.fixed_effects(*rows_of(name))
    # lmerTest takes derivatives by differences.
    expected = np.array(values["satterthwaite_df"])[order]
    assert_allclose(found.degrees_of_freedom, expected, rtol=1e-4)
    assert_allclose(found.to_frame()["pvalue"], np.array(values["p"])[order], rtol=2e-3)


def test_errors_of_variances(fitted):
    name, model, values = fitted
    if name in SINGULAR:
        pytest.skip("no standard errors at a boundary")
    found = model.inference(*rows_of(name))
    ours = dict(zip(found.names, found.standard_error, strict=True))
    for (term, *pair), expected in zip(variances_of(values), values["var_se"], strict=True):
        both = {f"{term}[{first}, {second}]" for first, second in (pair, pair[::-1])}
        (label,) = {"residual"} if term == "Residual" else both & set(ours)
        assert ours[label] == pytest.approx(expected, rel=1e-3), label


@pytest.mark.parametrize("name", ["sleepstudy", "Pastes"])
def test_predictions_of_new_rows(name):
    values = ENTRIES[f"predict_{name}_REML"]["values"]
    X, y, _ = rows_of(name)
    model = LinearMixedModelEM(**MODELS[name]).fit(X, y)
    new = pd.DataFrame({column: values[column] for column in X})
    assert_allclose(model.predict(new), values["known"], rtol=1e-6)
    assert_allclose(model.predict(new, random_effects="none"), values["none"], rtol=1e-6)
