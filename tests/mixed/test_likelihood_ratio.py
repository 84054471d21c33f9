"""Likelihood-ratio tests against R, and their reference distributions against formulas."""

import math

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression

from emlearn import LinearMixedModelEM
from emlearn.mixed import likelihood_ratio_test, random_effect_tests

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def table(reference):
    """Function that returns X and y of a data set by its name and response."""
    sets = reference("mixed_data")

    def load(name, response):
        frame = pandas.DataFrame(sets[name]["columns"])
        return frame.drop(columns=response), frame[response]

    return load


@pytest.fixture(scope="module")
def sleep(table):
    return table("sleepstudy", "Reaction")


def fit(X, y, *args, **kwargs):
    return LinearMixedModelEM(*args, **kwargs).fit(X, y)


def subject(rows, **kwargs):
    return fit(*rows, "Subject", fixed_columns=["Days"], **kwargs)


SLOPES = {"random_slopes": ["Days"]}
# By the name of the reference: data, response, and parameters of the two models.
PAIRS = {
    "sleepstudy_Days + (Days | Subject)": (
        ("sleepstudy", "Reaction"),
        {"groups": "Subject"},
        {"groups": "Subject", **SLOPES},
    ),
    "sleepstudy_Days + (Days || Subject)": (
        ("sleepstudy", "Reaction"),
        {"groups": "Subject"},
        {"groups": "Subject", **SLOPES, "covariance": "diag"},
    ),
    "sleepstudy_Days + (1 | Subject)": (
        ("sleepstudy", "Reaction"),
        {"fixed_columns": ["Days"]},
        {"groups": "Subject"},
    ),
    "Dyestuff_1 + (1 | Batch)": (("Dyestuff", "Yield"), {"fixed_columns": []}, {"groups": "Batch"}),
    "Dyestuff2_1 + (1 | Batch)": (
        ("Dyestuff2", "Yield"),
        {"fixed_columns": []},
        {"groups": "Batch"},
    ),
    "Rail_1 + (1 | Rail)": (("Rail", "travel"), {"fixed_columns": []}, {"groups": "Rail"}),
    "Penicillin_1 + (1 | plate) + (1 | sample)": (
        ("Penicillin", "diameter"),
        {"groups": "sample", "fixed_columns": []},
        {"groups": ["plate", "sample"]},
    ),
    "Pastes_1 + (1 | batch/cask)": (
        ("Pastes", "strength"),
        {"groups": ("batch", "cask")},
        {"groups": ["batch", ("batch", "cask")]},
    ),
}


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", PAIRS)
def test_as_in_r(reference, table, name, method):
    rows, reduced, full = PAIRS[name]
    entries = {entry["name"]: entry for entry in reference("mixed_models")["entries"]}
    expected = entries[f"ratio_{name}_{method.upper()}"]["values"]
    models = [fit(*table(*rows), **own, method=method) for own in (reduced, full)]
    test = likelihood_ratio_test(*models)
    assert test.statistic == pytest.approx(expected["statistic"], rel=1e-6, abs=1e-12)
    assert test.pvalue == pytest.approx(expected["p_mixture"], rel=1e-5)
    assert test.df == (expected["df"] - 1, expected["df"])
    assert test.weights == (0.5, 0.5)
    assert not test.conservative


def test_no_variance_has_the_p_value_one(table):
    X, y = table("Dyestuff2", "Yield")
    test = likelihood_ratio_test(fit(X, y, fixed_columns=[]), fit(X, y, "Batch"))
    assert (test.statistic, test.pvalue) == (0.0, 1.0)
    assert test.distribution == "1/2 chi2(0) + 1/2 chi2(1)"


# Tails of chi-square distributions, by their formulas.
TAILS = {
    0: lambda x: 0.0,
    1: lambda x: math.erfc(math.sqrt(x / 2)),
    2: lambda x: math.exp(-x / 2),
    3: lambda x: math.erfc(math.sqrt(x / 2)) + math.sqrt(2 * x / math.pi) * math.exp(-x / 2),
    4: lambda x: math.exp(-x / 2) * (1 + x / 2),
}
DIAG = {**SLOPES, "covariance": "diag"}
NO_DAYS = {"groups": "Subject", "fixed_columns": []}
CASES = {
    "a covariance": ({"groups": "Subject", **DIAG}, {"groups": "Subject", **SLOPES}, (1,)),
    "a fixed effect": (NO_DAYS, {"groups": "Subject"}, (1,)),
    "a fixed effect and a variance": (
        {"fixed_columns": []},
        {"groups": "Subject"},
        (1, 2),
    ),
    "a fixed effect and a random slope": (NO_DAYS, {"groups": "Subject", **SLOPES}, (2, 3)),
    "the intercept": (
        {"groups": "Subject", "fit_intercept": False},
        {"groups": "Subject"},
        (1,),
    ),
    "two independent variances": ({"fixed_columns": ["Days"]}, {"groups": "Subject", **DIAG}, (2,)),
    "two variances and a fixed effect": (
        {"fixed_columns": []},
        {"groups": "Subject", **SLOPES},
        (4,),
    ),
    "a variance held at 0": (
        {"groups": "Subject", **SLOPES, "fixed": {"Subject": [[np.nan, 0.0], [0.0, 0.0]]}},
        {"groups": "Subject", **SLOPES},
        (1, 2),
    ),
    "a variance held at a value": (
        {"groups": "Subject", "fixed": {"Subject": 1000.0}},
        {"groups": "Subject"},
        (1,),
    ),
    "the residual variance": (
        {"groups": "Subject", "fixed": {"residual": 900.0}},
        {"groups": "Subject"},
        (1,),
    ),
    "a variance besides one that both hold": (
        {"groups": "Subject", "fixed": {"residual": 900.0}},
        {"groups": "Subject", **DIAG, "fixed": {"residual": 900.0}},
        (0, 1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_reference_distribution(sleep, name):
    *models, df = CASES[name]
    reduced, full = (fit(*sleep, **own, method="ml") for own in models)
    test = likelihood_ratio_test(reduced, full)
    assert test.df == df
    statistic = 2.0 * (full.log_likelihood_ - reduced.log_likelihood_)
    assert test.statistic == pytest.approx(max(statistic, 0.0), rel=1e-9)
    expected = np.mean([TAILS[k](test.statistic) for k in df])
    assert test.pvalue == pytest.approx(expected, rel=1e-9)
    assert test.conservative == ("two" in name)
    assert ("conservative" in str(test)) == test.conservative


def test_fixed_effects_as_a_regression_has_it(sleep):
    """Without random effects, the likelihood is that of least squares."""
    X, y = sleep
    days = X[["Days"]].to_numpy()
    left = y - LinearRegression().fit(days, y).predict(days)
    expected = len(y) * np.log(np.var(y) / np.var(left))
    test = likelihood_ratio_test(
        fit(X, y, fixed_columns=[], method="ml"), fit(X, y, fixed_columns=["Days"], method="ml")
    )
    assert test.statistic == pytest.approx(expected, rel=1e-10)
    assert test.pvalue == pytest.approx(TAILS[1](expected), rel=1e-9)


def test_columns_that_depend_on_others_do_not_count(sleep):
    X, y = sleep
    more = X.assign(hours=24.0 * X.Days, square=X.Days**2)
    with pytest.warns(UserWarning, match="depend on others"):
        full = fit(more, y, "Subject", method="ml")
    assert likelihood_ratio_test(fit(X, y, "Subject", method="ml"), full).df == (1,)


def test_weights_and_the_order_of_rows_are_compared(sleep):
    X, y = sleep
    weight = 1.0 + (X.Days > 4)
    full = LinearMixedModelEM("Subject", **SLOPES).fit(X, y, weight)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = LinearMixedModelEM("Subject").fit(X.iloc[order], y.iloc[order], weight.iloc[order])
    direct = LinearMixedModelEM("Subject").fit(X, y, weight)
    expected = likelihood_ratio_test(direct, full)
    assert likelihood_ratio_test(shuffled, full).statistic == pytest.approx(
        expected.statistic, rel=1e-6
    )
    with pytest.raises(ValueError, match="180 observations and full to 270"):
        likelihood_ratio_test(fit(X, y, "Subject"), full)
    precise = LinearMixedModelEM("Subject", weights="precision").fit(X, y, weight)
    with pytest.raises(ValueError, match="different sample_weight"):
        likelihood_ratio_test(fit(X, y, "Subject", weights="precision"), precise)


def test_weights_are_copies_of_rows(sleep):
    X, y = sleep
    weight = 1.0 + (X.Days > 4)
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    repeated = LinearMixedModelEM("Subject").fit(X.iloc[rows], y.iloc[rows])
    weighted = LinearMixedModelEM("Subject", **SLOPES).fit(X, y, weight)
    expected = LinearMixedModelEM("Subject").fit(X, y, weight)
    assert likelihood_ratio_test(repeated, weighted).statistic == pytest.approx(
        likelihood_ratio_test(expected, weighted).statistic, rel=1e-6
    )


def test_models_that_cannot_be_compared(sleep):
    X, y = sleep
    full, reduced = subject(sleep, **SLOPES), subject(sleep)
    ml = {"method": "ml"}
    with pytest.raises(ValueError, match="variance of 'Days' in 'Subject' is free in reduced, but"):
        likelihood_ratio_test(full, reduced)
    with pytest.raises(ValueError, match="the same parameters"):
        likelihood_ratio_test(full, full)
    with pytest.raises(ValueError, match="fit both with the same"):
        likelihood_ratio_test(reduced, subject(sleep, **SLOPES, **ml))
    with pytest.raises(ValueError, match=r"different fixed effects \(Days\).*method=\"ml\""):
        likelihood_ratio_test(fit(X, y, **NO_DAYS), full)
    with pytest.raises(ValueError, match="values of their columns"):
        likelihood_ratio_test(fit(X.assign(Days=X.Days / 7), y, "Subject"), full)
    with pytest.raises(ValueError, match="lacks its fixed effects Days"):
        likelihood_ratio_test(fit(X, y, "Subject", **ml), fit(X, y, **NO_DAYS, **ml))
    with pytest.raises(ValueError, match="179 observations and full to 180"):
        likelihood_ratio_test(subject((X[1:], y[1:])), full)
    with pytest.raises(ValueError, match="different responses"):
        likelihood_ratio_test(subject((X, y + 1)), full)
    with pytest.raises(ValueError, match="covariance of 'Days' and 'intercept' in 'Subject'"):
        likelihood_ratio_test(full, subject(sleep, **DIAG))
    held = [{"residual": value} for value in (800.0, 900.0)]
    with pytest.raises(ValueError, match=r"the residual variance is 800.0 in reduced, but 900.0"):
        likelihood_ratio_test(*(subject(sleep, fixed=own) for own in held))
    with pytest.raises(ValueError, match="the term 'Subject' has other levels"):
        likelihood_ratio_test(
            fit(X.assign(Subject=X.Subject.str[-1]), y, "Subject"), subject(sleep, **SLOPES)
        )


def test_what_is_no_model(sleep):
    with pytest.raises(TypeError, match="full must be a LinearMixedModelEM, got LinearRegression"):
        likelihood_ratio_test(subject(sleep), LinearRegression())
    with pytest.raises(NotFittedError):
        likelihood_ratio_test(LinearMixedModelEM(), subject(sleep))
    with pytest.raises(TypeError, match="model must be a LinearMixedModelEM"):
        random_effect_tests(LinearRegression(), *sleep)


def test_full_model_that_is_not_at_its_maximum(table):
    X, y = table("Dyestuff2", "Yield")
    early = fit(X, y, "Batch", max_iter=0)
    with pytest.warns(ConvergenceWarning, match="reduced has a log-likelihood"):
        test = likelihood_ratio_test(fit(X, y, fixed_columns=[]), early)
    assert (test.statistic, test.pvalue) == (0.0, 1.0)


# ---- each random effect -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_each_random_effect(table, method):
    X, y = table("Pastes", "strength")
    groups = {"batch": "batch", "cask": ("batch", "cask")}
    tests = random_effect_tests(fit(X, y, groups, method=method), X, y)
    assert list(tests) == ["batch", "cask"]
    for name, test in tests.items():
        others = {other: groups[other] for other in groups if other != name}
        smaller = fit(X, y, others, fixed_columns=[], method=method)
        expected = likelihood_ratio_test(smaller, fit(X, y, groups, method=method))
        assert test.statistic == pytest.approx(expected.statistic, rel=1e-6)
        assert test.df == expected.df == (0, 1)
    lines = tests.summary().splitlines()
    assert lines[0].split() == ["statistic", "p-value", "distribution"]
    assert [line.split()[0] for line in lines[1:]] == ["batch", "cask"]
    assert str(tests) == tests.summary()


def test_intercepts_stay_with_slopes(sleep):
    correlated = random_effect_tests(subject(sleep, **SLOPES), *sleep)
    assert {name: test.df for name, test in correlated.items()} == {"Subject[Days]": (1, 2)}
    independent = random_effect_tests(subject(sleep, **DIAG), *sleep)
    assert {name: test.df for name, test in independent.items()} == {
        "Subject[intercept]": (0, 1),
        "Subject[Days]": (0, 1),
    }
    slopes = subject(sleep, **SLOPES, random_intercept=False)
    expected = likelihood_ratio_test(slopes, subject(sleep, **DIAG))
    assert independent["Subject[intercept]"].statistic == pytest.approx(
        expected.statistic, rel=1e-6
    )


def test_what_is_held_stays_held(sleep):
    fixed = {"residual": 900.0, "Subject": [[1000.0, np.nan], [np.nan, np.nan]]}
    model = subject(sleep, **DIAG, fixed=fixed)
    tests = random_effect_tests(model, *sleep)
    assert list(tests) == ["Subject[Days]"]
    smaller = subject(sleep, fixed={"residual": 900.0, "Subject": 1000.0})
    expected = 2.0 * (model.log_likelihood_ - smaller.log_likelihood_)
    assert tests["Subject[Days]"].statistic == pytest.approx(expected, rel=1e-6)


def test_terms_of_columns_and_of_a_kinship():
    rng = np.random.default_rng(0)
    markers, animals = rng.normal(size=(60, 8)), rng.integers(0, 12, 60)
    root = rng.normal(size=(12, 12))
    y = markers @ rng.normal(size=8) + rng.normal(size=60)
    X = np.column_stack([markers, animals])
    options = {"kinship": {"animal": root @ root.T}, "Z": {"markers": list(range(8))}}
    model = fit(X, y, {"animal": 8}, **options)
    tests = random_effect_tests(model, X, y)
    assert [(name, test.df) for name, test in tests.items()] == [
        ("animal", (0, 1)),
        ("markers", (0, 1)),
    ]
    without = fit(X, y, Z=options["Z"], fixed_columns=[])
    assert tests["animal"].statistic == pytest.approx(
        likelihood_ratio_test(without, model).statistic, rel=1e-6, abs=1e-6
    )
    with pytest.raises(ValueError, match="the term 'animal' has other levels, columns or another"):
        likelihood_ratio_test(fit(X, y, {"animal": 8}, fixed_columns=[]), model)
