"""Tables and hyperparameters that cannot be used, and what is said about them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from emlearn import FactorAnalysisEM


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 10}, "n_components=10 is more than n_features=9"),
        ({"n_components": 0}, "'n_components'"),
        ({"rotation": "equamax"}, "'rotation'"),
        ({"noise": "full"}, "'noise'"),
        ({"scores": "thurstone"}, "'scores'"),
        ({"min_uniqueness": 0.0}, "'min_uniqueness'"),
    ],
)
def test_hyperparameters(options, message, scores):
    with pytest.raises(ValueError, match=message):
        FactorAnalysisEM(**options).fit(scores)


def test_columns_and_rows(scores):
    for value, message in ((3.0, "is constant"), (np.nan, "has no observed entry")):
        X = scores.copy()
        X[:, 4] = value
        with pytest.raises(ValueError, match=f"Column 4 of X {message}"):
            FactorAnalysisEM().fit(X)
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcdefghi"))
    with pytest.raises(ValueError, match="Column 'e' of X has no observed entry"):
        FactorAnalysisEM().fit(table)
    with pytest.raises(ValueError, match="n_samples = 3 with observed entries"):
        FactorAnalysisEM(3).fit(scores[:3])
    weight = np.zeros(len(scores))
    weight[:2] = 1.0
    with pytest.raises(ValueError, match="n_samples = 2 with observed entries and positive"):
        FactorAnalysisEM(2).fit(scores, sample_weight=weight)
    with pytest.raises(ValueError, match="infinity"):
        FactorAnalysisEM().fit(np.where(scores == scores[0, 0], np.inf, scores))
    with pytest.raises(NotFittedError):
        FactorAnalysisEM().transform(scores)


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_variances_beyond_float64(unit, scores):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(scores, columns=list("abcdefghi"))
    table["c"] *= unit
    with pytest.raises(ValueError, match="Column 'c' of X must be in other units"):
        FactorAnalysisEM().fit(table)
    table["c"] /= unit**0.25
    fit = FactorAnalysisEM().fit(table)
    assert np.isfinite(fit.transform(table)).all()
    assert_allclose(fit.uniquenesses_, FactorAnalysisEM().fit(scores).uniquenesses_, rtol=1e-8)


@pytest.mark.parametrize("missing", [False, True])
def test_heywood_case_names_the_columns(missing):
    """With one factor, the communality of column 0 would be 0.8 * 0.8 / 0.4 = 1.6."""
    rng = np.random.default_rng(0)
    correlation = [[1.0, 0.8, 0.8], [0.8, 1.0, 0.4], [0.8, 0.4, 1.0]]
    X = rng.multivariate_normal(np.zeros(3), correlation, size=300)
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    with pytest.warns(
        ConvergenceWarning, match="Heywood case: the factors explain all of column 0"
    ):
        fit = FactorAnalysisEM(1, min_uniqueness=0.005).fit(X)
    assert fit.converged_
    assert_allclose(fit.uniquenesses_.min(), 0.005, rtol=5e-2)
    assert np.isfinite(fit.transform(X)).all()
    with pytest.warns(ConvergenceWarning):
        smaller = FactorAnalysisEM(1).fit(X)
    assert_allclose(smaller.uniquenesses_.min(), 1e-6, rtol=5e-2)
    assert smaller.log_likelihood_ > fit.log_likelihood_


def test_row_without_entries(scores):
    X = scores.copy()
    X[3] = np.nan
    fit = FactorAnalysisEM(2, rotation="oblimin").fit(X)
    mean, std = fit.transform(X, return_std=True)
    assert_allclose(mean[3], 0.0, atol=1e-12)
    assert_allclose(std[3], 1.0)
    assert fit.score_samples(X)[3] == 0.0
    without = FactorAnalysisEM(2, rotation="oblimin").fit(np.delete(X, 3, axis=0))
    assert_allclose(without.components_, fit.components_, atol=1e-6)
    fit.set_params(scores="bartlett")
    with pytest.raises(ValueError, match="entries of row 3 do not determine its 2 factors"):
        fit.transform(X)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("noise_variance_", np.zeros(9), "noise_variance_ must be positive, but column 0"),
        ("noise_variance_", np.ones(8), r"noise_variance_ must have shape \(9,\)"),
        ("components_", np.ones(9), "components_ must have the shape"),
        ("components_", np.full((2, 9), np.nan), "components_ has entries that are NaN"),
        ("factor_correlation_", 2 * np.eye(2), "symmetric with ones on its diagonal"),
        ("factor_correlation_", np.ones((2, 2)), "must be positive definite"),
        ("mean_", "text", "must be an array of numbers"),
    ],
)
def test_published_attributes_are_used_or_refused(name, value, message, scores):
    fit = FactorAnalysisEM(2).fit(scores)
    setattr(fit, name, value)
    with pytest.raises(ValueError, match=message):
        fit.transform(scores)
    fit = FactorAnalysisEM(2).fit(scores)
    before = fit.score(scores)
    fit.mean_ = fit.mean_ + 1.0
    assert fit.score(scores) < before


@pytest.mark.filterwarnings("ignore:Heywood case")
def test_other_methods(scores):
    fit = FactorAnalysisEM(2).fit(scores)
    with pytest.raises(ValueError, match="X has 9 columns, but there are 2 factors"):
        fit.inverse_transform(scores)
    with pytest.raises(ValueError, match="Row 1 of X has scores that are NaN"):
        fit.inverse_transform([[0.0, 1.0], [0.0, np.nan]])
    with pytest.raises(ValueError, match="scores='thurstone' must be one of regression, bartlett"):
        FactorAnalysisEM(2).fit(scores).set_params(scores="thurstone").transform(scores)
    with pytest.raises(ValueError, match="n_samples"):
        fit.sample(0)
    with pytest.raises(ValueError, match="there is nothing to test"):
        FactorAnalysisEM(1).fit(scores[:, :3]).chi_square_test(scores[:, :3])
    copied = np.column_stack([scores, scores.sum(axis=1)])
    with pytest.raises(ValueError, match="covariance of the rows is singular"):
        FactorAnalysisEM(1).fit(copied).chi_square_test(copied)


def test_chi_square_test_with_missing_entries(scores):
    """At the fit of complete rows both are the same; it grows where the model is wrong."""
    X = scores.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    good = FactorAnalysisEM(3).fit(X).chi_square_test(X)
    bad = FactorAnalysisEM(1).fit(X).chi_square_test(X)
    assert good.df == 12
    assert good.pvalue > 1e-3 > 1e-20 > bad.pvalue
