"""Imputation with mixtures of factor analyzers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris, load_wine

from emlearn import GaussianMixtureEM
from emlearn.impute import MissingDataImputerEM, multiple_imputation


@pytest.fixture(scope="module")
def table():
    X = load_wine().data
    return np.where(np.random.default_rng(0).random(X.shape) < 0.15, np.nan, X)


@pytest.fixture(scope="module")
def fitted(table):
    return MissingDataImputerEM(n_components=3, n_factors=2, random_state=0).fit(table)


def test_what_is_published(fitted, table):
    L, psi = fitted.loadings_, fitted.noise_variances_
    assert L.shape == (3, 13, 2)
    assert psi.shape == (3, 13)
    expected = L @ L.transpose(0, 2, 1) + psi[:, :, None] * np.eye(13)
    assert_allclose(fitted.covariances_, expected, rtol=1e-12)
    assert_allclose(fitted.score(table) * len(table), fitted.log_likelihood_, rtol=1e-10)
    objective = fitted.history_["objective"]
    assert (np.diff(objective) >= -1e-9 * np.abs(objective[1:])).all()
    with pytest.raises(AttributeError, match="follows from loadings_"):
        fitted.covariances_ = expected


def test_fill_is_the_mean_given_what_is_observed(fitted, table):
    row = table[np.isnan(table).any(axis=1)][0]
    o, m = ~np.isnan(row), np.isnan(row)
    joint, means = [], []
    for w, mu, S in zip(fitted.weights_, fitted.means_, fitted.covariances_, strict=True):
        gain = np.linalg.solve(S[np.ix_(o, o)], S[np.ix_(o, m)])
        means.append(mu[m] + (row[o] - mu[o]) @ gain)
        joint.append(np.log(w) + multivariate_normal(mu[o], S[np.ix_(o, o)]).logpdf(row[o]))
    r = np.exp(np.array(joint) - logsumexp(joint))
    assert_allclose(fitted.transform(row[None])[0, m], r @ np.array(means), rtol=1e-7)
    assert fitted.conditional_std(row[None])[0, m].min() > 0.0


def test_without_a_prior_it_is_the_gaussian_mixture(table):
    imputer = MissingDataImputerEM(
        n_components=2, n_factors=1, alpha=0, random_state=0, tol=1e-9
    ).fit(table)
    mixture = GaussianMixtureEM(
        2, covariance_type="factor", n_factors=1, reg_covar=0, random_state=0, tol=1e-9
    ).fit(table)
    assert_allclose(imputer.log_likelihood_, mixture.log_likelihood_, atol=0.02)


def test_factors_help_where_a_full_matrix_has_too_many_parameters():
    rng = np.random.default_rng(2)
    n, d, loadings = 100, 15, rng.normal(size=(2, 1, 15))
    noise = 0.3 * rng.normal(size=(2, n, d))
    parts = [rng.normal(size=(n, 1)) @ loadings[c] + noise[c] + 4.0 * c for c in range(2)]
    train, test = (
        np.concatenate([own[rows] for own in parts]) for rows in (slice(40), slice(40, n))
    )
    train = np.where(rng.random(train.shape) < 0.2, np.nan, train)
    scores = [
        MissingDataImputerEM(n_components=2, n_factors=n_factors, alpha=1e-3, random_state=0)
        .fit(train)
        .score(test)
        for n_factors in (1, None)
    ]
    assert scores[0] > scores[1] + 1.0


@pytest.mark.filterwarnings("ignore")
def test_known_parameters_draws_and_bounds(fitted, table):
    known = MissingDataImputerEM.from_parameters(
        fitted.means_,
        weights=fitted.weights_,
        loadings=fitted.loadings_,
        noise_variances=fitted.noise_variances_,
        bounds=(0.2, None),
        sample_posterior=True,
        random_state=0,
    )
    assert (known.n_components, known.n_factors) == (3, 2)
    assert_allclose(known.score_samples(table), fitted.score_samples(table), rtol=1e-9)
    drawn = known.transform(table)
    assert drawn[np.isnan(table)].min() >= 0.2
    noise = fitted.noise_variances_.copy()
    noise[1, 4] = -1.0
    with pytest.raises(ValueError, match="column 4 in component 1 is -1"):
        MissingDataImputerEM.from_parameters(
            fitted.means_, loadings=fitted.loadings_, noise_variances=noise
        )
    with pytest.raises(ValueError, match="are required; got"):
        MissingDataImputerEM.from_parameters(
            fitted.means_, loadings=fitted.loadings_[:2], noise_variances=fitted.noise_variances_
        )


@pytest.mark.filterwarnings("ignore")
def test_multiple_imputation(table):
    imputer = MissingDataImputerEM(n_components=2, n_factors=1, random_state=0, max_iter=30)
    tables = list(multiple_imputation(imputer, table[:80], n_imputations=2, random_state=0))
    assert all(np.isfinite(own).all() for own in tables)
    assert (tables[0] != tables[1]).any()


def test_warm_start_and_constant_columns(table):
    X = table.copy()
    X[:, 3] = np.where(np.isnan(X[:, 3]), np.nan, 5.0)
    imputer = MissingDataImputerEM(n_components=2, n_factors=1, random_state=0, warm_start=True)
    first = imputer.fit(X).n_iter_
    assert_allclose(imputer.transform(X)[:, 3], 5.0, rtol=1e-14)
    assert (imputer.noise_variances_[:, 3] == 0.0).all()
    assert imputer.fit(X).n_iter_ < first
    imputer.set_params(n_factors=2).fit(X)
    assert imputer.loadings_.shape == (2, 13, 2)
    imputer.set_params(n_components=1).fit(X)
    assert imputer.loadings_.shape == (13, 2)


@pytest.mark.parametrize("n_components", [1, 2])
def test_factors_are_in_order_and_have_signs(n_components):
    X = load_iris().data.copy()
    X[::7, 1] = np.nan
    fit = MissingDataImputerEM(n_components=n_components, n_factors=2, random_state=0).fit(X)
    loadings = fit.loadings_.reshape(n_components, 4, 2)
    noise = fit.noise_variances_.reshape(n_components, 4)
    information = np.einsum("kja,kj,kjb->kab", loadings, 1.0 / noise, loadings)
    assert_allclose(information[:, 0, 1] / information[:, 0, 0], 0.0, atol=1e-8)
    assert (information[:, 0, 0] >= information[:, 1, 1]).all()
    deviation = np.sqrt(np.square(loadings).sum(axis=2) + noise)
    assert ((loadings / deviation[:, :, None]).sum(axis=1) > 0.0).all()
    wide = MissingDataImputerEM(n_factors=6).fit(X)
    assert_allclose(
        wide.loadings_ @ wide.loadings_.T + np.diag(wide.noise_variances_), wide.covariance_
    )
