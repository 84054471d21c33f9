"""Standard errors of the imputer's parameters, and deviations of imputed values with them."""

import json
from pathlib import Path

import numpy as np
import pytest

from emlearn import GaussianMixtureEM, MissingDataImputerEM
from emlearn.datasets import load_old_faithful
from emlearn.engine import BlockMapper
from emlearn.inference import bootstrap

DATA = Path(__file__).parent / "data"
# Saturated normal models of lavaan 0.6.14 in R 4.2.2 with missing="fiml": standard errors from
# the observed information, of the means and of the covariances by (row, column).
LAVAAN = json.loads((DATA / "lavaan.json").read_text())


def table(name):
    return np.array(LAVAAN[name]["rows"], dtype=float)


def holes(X, seed=0, fraction=0.2):
    return np.where(np.random.default_rng(seed).random(X.shape) < fraction, np.nan, X)


def correlated(n=60, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 10.0 * np.arange(d)


@pytest.mark.parametrize("name", LAVAAN)
def test_standard_errors_of_lavaan(name):
    X = table(name)
    inference = MissingDataImputerEM(alpha=0, tol=1e-12).fit(X).inference(X)
    given = LAVAAN[name]
    np.testing.assert_allclose(inference.estimates["mean"], given["mean"], rtol=1e-5)
    np.testing.assert_allclose(inference.standard_errors["mean"], given["mean_se"], rtol=1e-5)
    errors = inference.standard_errors["covariance"]
    for i, j, expected in given["covariance_se"]:
        assert errors[i, j] == pytest.approx(expected, rel=1e-5)
        assert errors[j, i] == errors[i, j]


def test_complete_rows_have_closed_forms():
    X = correlated()
    n = len(X)
    inference = MissingDataImputerEM(alpha=0).fit(X).inference(X)
    S = np.cov(X, rowvar=False, bias=True)
    diagonal = np.diagonal(S)
    np.testing.assert_allclose(inference.standard_errors["mean"], np.sqrt(diagonal / n), rtol=1e-6)
    expected = np.sqrt((S**2 + np.outer(diagonal, diagonal)) / n)
    np.testing.assert_allclose(inference.standard_errors["covariance"], expected, rtol=1e-6)
    moments = inference.moments()
    r = S[0, 1] / np.sqrt(S[0, 0] * S[1, 1])
    at = moments.names.index("correlation[0, 1]")
    assert moments.estimate[at] == pytest.approx(r)
    assert moments.standard_error[at] == pytest.approx((1 - r**2) / np.sqrt(n), rel=1e-5)
    # The interval is Fisher's, up to the number of rows that he subtracts.
    low, high = moments.confidence_interval(0.95)[at]
    ends = np.tanh(np.arctanh(r) + np.array([-1.0, 1.0]) * 1.959963984540054 / np.sqrt(n))
    np.testing.assert_allclose([low, high], ends, rtol=1e-6)


def test_sandwich_of_complete_rows():
    X = np.random.default_rng(0).exponential(size=(80, 1))
    inference = MissingDataImputerEM(alpha=0).fit(X).inference(X, information="sandwich")
    centered = X - X.mean()
    fourth = (centered**4).mean() - X.var() ** 2
    found = inference.standard_errors["covariance"][0, 0]
    assert found == pytest.approx(np.sqrt(fourth / 80), rel=1e-5)


@pytest.mark.parametrize("alpha", [0, 2.5, "auto"])
def test_score_is_zero_and_information_is_that_of_the_objective(alpha):
    X = holes(correlated())
    imputer = MissingDataImputerEM(alpha=alpha, tol=1e-13).fit(X)
    problem = imputer._fitted_problem(X, None, None)
    model, data, params = problem[:3]
    public = model.public(params)
    np.testing.assert_allclose(public["mean"], imputer.mean_)
    np.testing.assert_allclose(public["covariance"], imputer.covariance_)
    triangle = np.triu_indices(3)

    def objective(vector):
        covariance = np.zeros((3, 3))
        covariance[triangle] = vector[3:]
        covariance = np.triu(covariance) + np.triu(covariance, 1).T
        own = model.from_public({"mean": vector[:3], "covariance": covariance}, params)
        values, weight = model.log_likelihoods(data, own)
        return weight @ values + model.log_prior(own)

    at = np.concatenate([public["mean"] + 0.1, public["covariance"][triangle] * 1.1])
    moved = model.from_public(
        {"mean": public["mean"] + 0.1, "covariance": 1.1 * public["covariance"]}, params
    )
    with BlockMapper(model, data) as e_step:
        score = model.score(e_step(moved)[0], moved)
    folded = 2.0 * score["covariance"] - np.diag(np.diagonal(score["covariance"]))
    steps = 1e-6 * np.eye(len(at))
    numerical = [(objective(at + h) - objective(at - h)) / 2e-6 for h in steps]
    found = np.concatenate([score["mean"], folded[triangle]])
    np.testing.assert_allclose(found, numerical, rtol=1e-4)


def test_weights_are_copies():
    X = holes(correlated())
    weight = 1.0 + np.arange(len(X)) % 3
    imputer = MissingDataImputerEM().fit(X, sample_weight=weight)
    copies = X.repeat(weight.astype(int), axis=0)
    for information in ("observed", "sandwich", "empirical"):
        one = imputer.inference(X, sample_weight=weight, information=information)
        other = imputer.inference(copies, information=information)
        np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-6)


def test_mixture_is_that_of_gaussian_mixture():
    X = holes(load_old_faithful().data, fraction=0.1)
    imputer = MissingDataImputerEM(2, alpha=0, tol=1e-11, random_state=0).fit(X)
    inference = imputer.inference(X)
    mixture = GaussianMixtureEM(2, reg_covar=0.0, tol=1e-11, random_state=0)
    rows = X[~np.isnan(X).all(axis=1)]
    expected = mixture.fit(rows).inference(rows)
    order = imputer.weights_.argsort(), mixture.weights_.argsort()
    for name in ("weights", "means", "covariances"):
        one = inference.standard_errors[name][order[0]]
        np.testing.assert_allclose(one, expected.standard_errors[name][order[1]], rtol=1e-3)
    moments = inference.moments()
    assert moments.names[:2] == ("mean[0]", "mean[1]")
    np.testing.assert_allclose(moments.estimate[:2], imputer.mean_)
    assert moments.estimate[3] == pytest.approx(imputer.covariance_[0, 1])
    # As of one Gaussian without a model of the rest, up to what the mixture knows more.
    plain = MissingDataImputerEM(alpha=0).fit(X).inference(X, information="sandwich").moments()
    np.testing.assert_allclose(moments.standard_error, plain.standard_error, rtol=0.1)


def test_names_and_constant_columns():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(holes(correlated()), columns=["a", "b", "c"])
    X.insert(1, "same", 5.0)
    imputer = MissingDataImputerEM().fit(X)
    inference = imputer.inference(X)
    assert inference.names[:3] == ("mean[a]", "mean[b]", "mean[c]")
    assert "correlation[a, c]" in inference.moments().names
    std = imputer.conditional_std(X, inference=inference)
    assert (std[:, 1] == 0.0).all()
    missing = X.isna().to_numpy()
    assert (std[missing] > imputer.conditional_std(X)[missing]).all()
    assert (std[~missing] == 0.0).all()


def by_hand(imputer, covariance, row):
    """Variance of the conditional mean of one row, from derivatives with pencil and paper."""
    mean, S = imputer.mean_, imputer.covariance_
    d = len(mean)
    m, o = np.flatnonzero(np.isnan(row)), np.flatnonzero(~np.isnan(row))
    B = S[np.ix_(m, o)] @ np.linalg.inv(S[np.ix_(o, o)])
    z = np.linalg.solve(S[np.ix_(o, o)], row[o] - mean[o])
    columns = []
    for j in range(d):
        columns.append((m == j).astype(float) - B @ (o == j))
    for i, j in zip(*np.triu_indices(d), strict=True):
        E = np.zeros((d, d))
        E[i, j] = E[j, i] = 1.0
        columns.append((E[np.ix_(m, o)] - B @ E[np.ix_(o, o)]) @ z)
    D = np.array(columns).T
    out = np.zeros(d)
    out[m] = np.diagonal(D @ covariance @ D.T)
    return out


def test_conditional_std_with_uncertain_parameters_is_the_delta_method():
    X = holes(correlated(), fraction=0.3)
    X = X[~np.isnan(X).all(axis=1)]
    imputer = MissingDataImputerEM().fit(X)
    inference = imputer.inference(X)
    plain = imputer.conditional_std(X)
    found = imputer.conditional_std(X, inference=inference)
    expected = np.array([by_hand(imputer, inference.covariance, row) for row in X])
    np.testing.assert_allclose(found**2 - plain**2, expected, rtol=1e-3, atol=1e-9)


def test_conditional_std_from_resamples():
    for n_components, data in ((1, correlated(n=200)), (2, load_old_faithful().data)):
        X = holes(data, fraction=0.3)
        imputer = MissingDataImputerEM(n_components, random_state=0).fit(X)
        inference = imputer.inference(X)
        resampled = bootstrap(imputer, X, kind="parametric", n_resamples=100, random_state=0)
        rows = X[:30]
        plain = imputer.conditional_std(rows)
        missing = np.isnan(rows)
        one = imputer.conditional_std(rows, inference=inference)
        other = imputer.conditional_std(rows, inference=resampled)
        if n_components == 1:
            spread = [np.sqrt(own**2 - plain**2)[missing] for own in (one, other)]
            np.testing.assert_allclose(spread[1], spread[0], rtol=0.35)
        assert (other >= plain).all()
        assert (one >= plain).all()


def test_regression_interval_is_exact_in_expectation():
    """With a complete predictor it is the prediction variance of regression, without n - 2."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    X = np.column_stack((x, 2.0 * x + rng.normal(size=50)))
    imputer = MissingDataImputerEM(alpha=0).fit(X)
    new = np.array([[1.5, np.nan]])
    found = imputer.conditional_std(new, inference=imputer.inference(X))[0, 1]
    residual = X[:, 1] - np.polyval(np.polyfit(x, X[:, 1], 1), x)
    leverage = 1.0 / 50 + (1.5 - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    assert found == pytest.approx(np.sqrt((residual**2).mean() * (1.0 + leverage)), rel=1e-5)


def test_errors():
    X = holes(correlated())
    imputer = MissingDataImputerEM().fit(X)
    other = MissingDataImputerEM().fit(holes(correlated(d=4)))
    foreign = other.inference(holes(correlated(d=4)))
    single = bootstrap(imputer, X, n_resamples=2, statistic=lambda m: m.mean_, random_state=0)
    for wrong in (foreign, single, 3):
        with pytest.raises(ValueError, match="inference must be the result"):
            imputer.conditional_std(X, inference=wrong)
    factors = MissingDataImputerEM(n_factors=1).fit(X)
    with pytest.raises(ValueError, match="not for a factor analysis"):
        factors.inference(X)
    with pytest.raises(ValueError, match="information must be one of"):
        imputer.inference(X, information="expected")
    flat = X.copy()
    flat[:, 1] = 3.0
    with pytest.raises(ValueError, match="column 1 is constant in X"):
        imputer.inference(flat)
    same = MissingDataImputerEM().fit(np.ones((5, 2)))
    with pytest.raises(ValueError, match="All columns are constant"):
        same.inference(np.ones((5, 2)))
    mixed = MissingDataImputerEM(model="classes").fit(X)
    with pytest.raises(ValueError, match="table with categories"):
        mixed.inference(X)
    with pytest.raises(ValueError, match="leave inference out"):
        mixed.conditional_std(X, inference=imputer.inference(X))


def test_published_parameters_are_the_model():
    X = holes(correlated())
    imputer = MissingDataImputerEM(alpha=0).fit(X)
    known = MissingDataImputerEM.from_parameters(imputer.means_, imputer.covariances_, alpha=0)
    one, other = imputer.inference(X), known.inference(X)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-6)
