"""Errors of ItemResponseEM name what is wrong and what to do."""

import warnings

import numpy as np
import pytest

from emlearn import ItemResponseEM
from emlearn.irt import ItemPrior

X = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ItemResponseEM(random_state=0).fit(X)


def changed(row, column, value):
    other = X.copy()
    other[row, column] = value
    return other


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        (changed(1, 2, 0.5), r"not integers: column 2, row 1, is 0\.5.*codes of ordered"),
        (changed(3, 0, -1), r"Negative values in data: column 0, row 3, is -1"),
        (changed(0, 1, 999), r"More than 50 categories: column 1, row 0, is 999"),
        (changed(0, 1, np.inf), r"infinity"),
        (changed(2, 1, 2), r"column 1 has the response 2, but model='2pl' takes 0 and 1.*'grm'"),
        (np.where([True, False, True], X, np.nan), r"column 1 has no response"),
        (X[:, :1], r"n_features = 1.*at least two items"),
        (X[:1], r"n_samples = 1"),
    ],
)
def test_responses(responses, message):
    with pytest.raises(ValueError, match=message):
        ItemResponseEM().fit(responses)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "4pl"}, "'model' parameter"),
        ({"n_quadrature": 4}, "'n_quadrature' parameter"),
        ({"prior": (0, 1)}, "'prior' parameter"),
        ({"loadings": [[1], [1]]}, r"one row for each of the 3 items.*shape \(2, 1\)"),
        ({"loadings": [[0.5], [1], [1]]}, "must be 1 where an item has a slope"),
        ({"loadings": [[1, 0], [0, 0], [0, 1]]}, "Row 1 of loadings has no 1"),
        ({"loadings": [[1, 1]] * 3}, "Columns 0 and 1 of loadings are equal"),
        ({"loadings": np.eye(3)[:, [0, 1, 2, 2]]}, "more than 3 dimensions"),
    ],
)
def test_hyperparameters(settings, message):
    with pytest.raises(ValueError, match=message):
        ItemResponseEM(**settings).fit(X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": [0, 1]}, r"one label for each row of X, shape \(6,\)"),
        ({"groups": [0, 1, 0, 1, np.nan, 0]}, "groups has NaN in row 4"),
        ({"groups": ["a", None, "a", "b", "a", "b"]}, "missing label in row 1"),
        ({"groups": [0] * 6, "covariates": np.ones((6, 1))}, "groups or covariates, not both"),
        ({"covariates": np.ones((5, 1))}, "covariates has 5 rows, but X has 6"),
        ({"covariates": np.ones((6, 1))}, "Column 0 of covariates is constant"),
        ({"covariates": np.arange(12).reshape(6, 2)}, "rank 1"),
        (
            {"groups": np.array(["a", 1, "a", "b", "a", "b"], object)},
            "in row 1 a label that is none",
        ),
        ({"covariates": [[np.nan]] * 6}, "covariates contains NaN in column 0 .*, row 0"),
        ({"covariates": [[0, 1]] * 5 + [[0, np.inf]]}, "contains inf in column 1 .*, row 5"),
        ({"covariates": [[0, None]] * 6}, "contains NaN in column 1 .*, row 0"),
        ({"covariates": [["1"]] * 5 + [["old"]]}, "Text in column 0 of covariates, row 5"),
        ({"sample_weight": [-1, 1, 1, 1, 1, 1]}, "Negative values"),
    ],
)
def test_arguments_of_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        ItemResponseEM().fit(X, **arguments)


def test_reference_group_must_exist():
    with pytest.raises(ValueError, match=r"reference_group='c' is not among the groups"):
        ItemResponseEM(reference_group="c").fit(X, groups=list("aabbab"))


def test_what_the_fit_had_is_needed_later(fitted):
    with pytest.raises(ValueError, match="without groups: leave groups= out"):
        fitted.transform(X, groups=[0] * 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grouped = ItemResponseEM(random_state=0).fit(X, groups=list("aabbab"))
    with pytest.raises(ValueError, match="with groups: pass groups="):
        grouped.transform(X)
    with pytest.raises(ValueError, match=r"Row 2 is of the group 'd'.*\['a', 'b'\]"):
        grouped.transform(X[:3], groups=["a", "b", "d"])
    with pytest.raises(ValueError, match=r"was not among the categories of the fit, \[0, 1\]"):
        fitted.transform([[0, 1, 2]])


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"slopes": (0.0, 0.0)}, r"slopes of ItemPrior must be \(mean, sd\)"),
        ({"guessing": (0.5, 2)}, "both at least 1"),
        ({"intercepts": (0.0,)}, "two finite numbers"),
        ({"slopes": "ab"}, "two finite numbers"),
    ],
)
def test_priors(prior, message):
    with pytest.raises(ValueError, match=message):
        ItemPrior(**prior)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 1.0, 1.0], [0.0, 1.0]), r"discrimination must .* \(2,\).* has shape \(3,\)"),
        (([1.0, 1.0], [[np.nan, 0.0], [0.0, 1.0]]), "item 0 has NaN before a number"),
        (([1.0, 1.0], [[0.0, np.inf], [0.0, 1.0]]), "difficulty must be finite"),
    ],
)
def test_known_items(arguments, message):
    with pytest.raises(ValueError, match=message):
        ItemResponseEM.from_parameters(*arguments, model="grm")


def test_covariates_far_from_those_of_the_fit():
    rng = np.random.default_rng(0)
    age = rng.normal(size=(300, 1))
    trait = rng.normal(size=(300, 1)) + age
    test = ItemResponseEM("1pl").fit((rng.logistic(size=(300, 5)) < trait) * 1, covariates=age)
    test.transform(np.ones((2, 5)), covariates=[[3.0], [-3.0]])
    with pytest.warns(UserWarning, match=r"row 1 are far .* reach to 10\.2.*; 2 rows are as far"):
        found = test.transform(np.ones((3, 5)), covariates=[[0.0], [100.0], [-100.0]])
    assert np.isfinite(found).all()
