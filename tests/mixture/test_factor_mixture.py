"""Mixtures of factor analyzers."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from emlearn import FactorAnalysisEM, FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM
from emlearn.distributions import Gaussian


def factor_mixture(n_components=1, n_factors=1, **options):
    options = {"random_state": 0, **options}
    return GaussianMixtureEM(n_components, covariance_type="factor", n_factors=n_factors, **options)


@pytest.fixture(scope="module")
def wine():
    return StandardScaler().fit_transform(load_wine().data)


def drawn(seed, n=300, d=6, k=1, K=2, gap=3.0):
    """Rows of a mixture of factor analyzers."""
    rng = np.random.default_rng(seed)
    parts = []
    for c in range(K):
        z = rng.normal(size=(n, k)) @ rng.normal(size=(k, d))
        parts.append(gap * c + z + rng.uniform(0.5, 1.0, d) * rng.normal(size=(n, d)))
    return np.concatenate(parts)


def log_likelihood(X, weights, means, covariances):
    parts = [
        np.log(w) + multivariate_normal(m, c).logpdf(X)
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    return float(logsumexp(parts, axis=0).sum())


# ---- against others --------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2])
def test_one_component_is_factor_analysis(wine, k):
    fit = factor_mixture(1, k, reg_covar=0, tol=1e-12).fit(wine)
    other = FactorAnalysis(k, tol=1e-10, max_iter=5000).fit(wine)
    assert_allclose(fit.score(wine), other.score(wine), atol=1e-6)
    assert_allclose(fit.covariances_[0], other.get_covariance(), atol=1e-3)


def test_maximum_of_the_likelihood_is_that_of_a_general_optimizer():
    X, d, k, K = drawn(3, n=60, d=4), 4, 1, 2
    fit = factor_mixture(K, k, reg_covar=0, tol=1e-12).fit(X)

    def unpack(vector):
        a, rest = vector[0], vector[1:]
        means, L, psi = np.split(rest, [K * d, K * d + K * d * k])
        weights = np.array([1.0, np.exp(a)]) / (1.0 + np.exp(a))
        L, psi = L.reshape(K, d, k), np.exp(psi.reshape(K, d))
        return weights, means.reshape(K, d), L @ L.transpose(0, 2, 1) + psi[:, :, None] * np.eye(d)

    start = np.concatenate([
        [np.log(fit.weights_[1] / fit.weights_[0])],
        fit.means_.ravel(),
        fit.loadings_.ravel(),
        np.log(fit.noise_variances_).ravel(),
    ])  # fmt: skip
    noise = 0.1 * np.random.default_rng(0).normal(size=start.size)
    found = minimize(lambda v: -log_likelihood(X, *unpack(v)), start + noise, tol=1e-9)
    assert_allclose(fit.log_likelihood_, -found.fun, atol=1e-4)
    assert_allclose(fit.covariances_, unpack(found.x)[2], atol=5e-3)


def test_value_of_pgmm(wine):
    # pgmm 1.2.8 in R: pgmmEM(x, rG=3, rq=1, modelSubset="UUU", tol=1e-6)$bic, from k-means.
    fit = factor_mixture(3, 1, reg_covar=0, init_params="kmeans", tol=1e-10).fit(wine)
    assert_allclose(-fit.bic(wine), -5356.562, atol=0.02)
    # Among its starts, the default finds one that is at least as good.
    assert factor_mixture(3, 1).fit(wine).bic(wine) < 5356.6


def test_many_factors_are_full_covariances():
    X = drawn(0, d=4)
    full = GaussianMixtureEM(2, random_state=0, reg_covar=0, tol=1e-10).fit(X)
    many = factor_mixture(2, 3, reg_covar=0, tol=1e-10).fit(X)
    assert_allclose(many.log_likelihood_, full.log_likelihood_, atol=1e-3)
    assert many._n_parameters() == full._n_parameters()
    assert factor_mixture(2, 2).fit(X)._n_parameters() <= full._n_parameters()


def test_bic_finds_the_number_of_factors():
    X = drawn(1, n=500, d=10, k=2, gap=6.0)
    bic = {k: factor_mixture(2, k).fit(X).bic(X) for k in (1, 2, 3, 4)}
    assert min(bic, key=bic.get) == 2
    others = [GaussianMixtureEM(2, covariance_type=name).fit(X).bic(X) for name in ("full", "diag")]
    assert bic[2] < min(others)


# ---- the fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("accelerate", [None, "auto", "squarem"])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_objective_never_falls_and_belongs_to_what_is_published(wine, accelerate, missing):
    X = np.where(np.random.default_rng(0).random(wine.shape) < missing, np.nan, wine)
    fit = factor_mixture(3, 2, accelerate=accelerate, tol=1e-8).fit(X)
    objective = fit.history_["objective"]
    assert (np.diff(objective) >= -1e-9 * np.abs(objective[1:])).all()
    assert_allclose(fit.score(X) * len(X), fit.log_likelihood_, rtol=1e-10)


def test_acceleration_finds_the_same(wine):
    fits = [factor_mixture(2, 2, accelerate=a, tol=1e-11).fit(wine) for a in (None, "auto")]
    assert_allclose(fits[1].log_likelihood_, fits[0].log_likelihood_, atol=1e-4)
    assert fits[1].n_iter_ <= fits[0].n_iter_


def test_what_is_published(wine):
    fit = factor_mixture(2, 3).fit(wine)
    L, psi = fit.loadings_, fit.noise_variances_
    assert L.shape == (2, 13, 3)
    assert psi.shape == (2, 13)
    assert (psi > 0.0).all()
    expected = L @ L.transpose(0, 2, 1) + psi[:, :, None] * np.eye(13)
    assert_allclose(fit.covariances_, expected, rtol=1e-12, atol=1e-14)
    assert_allclose(fit.precisions_ @ fit.covariances_, np.tile(np.eye(13), (2, 1, 1)), atol=1e-8)
    assert not L.flags.writeable
    assert not psi.flags.writeable
    assert_allclose(
        log_likelihood(wine, fit.weights_, fit.means_, fit.covariances_), fit.log_likelihood_
    )
    with pytest.raises(AttributeError, match='only with covariance_type="factor"'):
        _ = GaussianMixtureEM(2, random_state=0).fit(wine).loadings_


def test_weights_are_copies():
    X = drawn(0, n=60)
    weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    options = {"init_params": "kmeans", "tol": 1e-10}
    means = X[[0, -1]]
    one = factor_mixture(2, 1, means_init=means, **options).fit(X, sample_weight=weight)
    rows = X.repeat(weight.astype(int), axis=0)
    other = factor_mixture(2, 1, means_init=means, **options).fit(rows)
    assert_allclose(one.covariances_, other.covariances_, rtol=1e-4, atol=1e-5)


def test_units_do_not_matter(wine):
    scale = np.exp2(np.arange(-6.0, 7.0))
    one, other = factor_mixture(2, 2).fit(wine), factor_mixture(2, 2).fit(wine * scale + 3.0)
    assert_allclose(
        other.log_likelihood_ + len(wine) * np.log(scale).sum(), one.log_likelihood_, atol=0.05
    )


def test_same_bits_for_any_number_of_threads():
    X = drawn(0, n=5000)
    fits = [factor_mixture(2, 1, n_jobs=n).fit(X) for n in (1, 2)]
    assert_array_equal(fits[0].loadings_, fits[1].loadings_)


def test_a_second_fit_forgets_the_first(wine):
    twice = factor_mixture(2, 1).fit(drawn(0)).fit(wine)
    assert_array_equal(twice.loadings_, factor_mixture(2, 1).fit(wine).loadings_)


def test_warm_start_continues(wine):
    fit = factor_mixture(2, 2, warm_start=True, max_iter=3)
    with pytest.warns(UserWarning, match="not converge"):
        first = fit.fit(wine).lower_bound_
    fit.set_params(max_iter=500).fit(wine)
    assert fit.lower_bound_ >= first
    with pytest.raises(ValueError, match=r"different .* n_factors"):
        fit.set_params(n_factors=3).fit(wine)
    with pytest.raises(ValueError, match=r"different .* n_factors"):
        fit.set_params(covariance_type="full", n_factors=None).fit(wine)


def test_more_columns_than_rows_of_a_component():
    X = drawn(5, n=20, d=30, k=1, gap=6.0)
    fit = factor_mixture(2, 1).fit(X)
    labels = fit.predict(X)
    assert len(set(labels[:20])) == 1
    assert labels[0] != labels[-1]


def test_constant_and_duplicated_columns():
    X = drawn(0, n=80)
    X = np.column_stack([X, X[:, 0], np.ones(len(X))])
    fit = factor_mixture(2, 2).fit(X)
    assert np.isfinite(fit.covariances_).all()
    with pytest.raises(ValueError, match=r"singular|collapse|failed"):
        factor_mixture(2, 2, reg_covar=0).fit(X)


# ---- parameters that are given ---------------------------------------------------------


def test_parameters_can_be_given(wine):
    fit = factor_mixture(2, 2).fit(wine)
    made = GaussianMixtureEM.from_parameters(
        fit.weights_, fit.means_, fit.covariances_, covariance_type="factor", n_factors=2
    )
    assert_allclose(made.score_samples(wine), fit.score_samples(wine), rtol=1e-9)
    gap = made.loadings_ @ made.loadings_.transpose(0, 2, 1) - (
        fit.loadings_ @ fit.loadings_.transpose(0, 2, 1)
    )
    assert np.abs(gap).max() < 1e-3
    fit.precisions_ = 2.0 * fit.precisions_
    assert_allclose(fit.covariances_, made.covariances_ / 2.0, rtol=1e-6, atol=1e-9)
    assert_allclose(fit.noise_variances_, made.noise_variances_ / 2.0, rtol=1e-3)
    with pytest.raises(ValueError, match="covariance of component 0 is not that of loadings"):
        fit.covariances_ = GaussianMixtureEM(2, random_state=0).fit(wine).covariances_
    assert_allclose(copy.deepcopy(fit).loadings_, fit.loadings_)
    assert not pickle.loads(pickle.dumps(fit)).loadings_.flags.writeable


def test_starting_precisions(wine):
    fit = factor_mixture(2, 1).fit(wine)
    again = factor_mixture(
        2, 1, weights_init=fit.weights_, means_init=fit.means_, precisions_init=fit.precisions_
    ).fit(wine)
    assert again.n_iter_ <= 3
    assert_allclose(again.log_likelihood_, fit.log_likelihood_, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_factors": None}, "needs the number of factors"),
        ({"n_factors": 13}, "n_factors=13 must be less than the number of columns.*13"),
        ({"n_factors": 2, "covariance_type": "full"}, "n_factors=2 says nothing"),
        ({"n_factors": 0}, "n_factors"),
        ({"n_factors": 1.5}, "n_factors"),
    ],
)
def test_bad_numbers_of_factors(wine, options, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureEM(2, **{"covariance_type": "factor", **options}).fit(wine)


# ---- the family ------------------------------------------------------------------------


def test_family_in_other_models(wine):
    family = Gaussian("factor", n_factors=2)
    mixture = FiniteMixtureEM(2, family=family, random_state=0).fit(wine)
    public = mixture.component_params_
    assert list(public) == ["mean", "covariance", "loadings", "noise_variance"]
    assert_allclose(mixture.score(wine) * len(wine), mixture.log_likelihood_)
    made = FiniteMixtureEM.from_parameters(
        mixture.weights_,
        {name: public[name] for name in ("mean", "loadings", "noise_variance")},
        family=family,
    )
    assert_allclose(made.score_samples(wine), mixture.score_samples(wine), rtol=1e-10)
    mixture.covariances_ = 4.0 * np.asarray(mixture.covariances_)
    assert_allclose(mixture._emissions().params.mean.shape, (2, 13))
    mixture.component_params_ = {**public, "covariance": 2.0 * public["covariance"]}
    with pytest.raises(ValueError, match="is not that of loadings"):
        mixture.score(wine)
    mixture.component_params_ = {**public, "noise_variance": -public["noise_variance"]}
    with pytest.raises(ValueError, match="noise_variance must be positive"):
        mixture.score(wine)
    chain = HiddenMarkovEM(2, family=family, random_state=0).fit(wine)
    assert_allclose(chain.score(wine) * len(wine), chain.log_likelihood_, rtol=1e-9)
    rows, _ = chain.sample(5)
    assert rows.shape == (5, 13)


def test_family_with_a_prior(wine):
    family = Gaussian("factor", n_factors=2, alpha=5.0, reg_covar=0)
    fit = FiniteMixtureEM(3, family=family, random_state=0, tol=1e-8).fit(wine[::3])
    objective = fit.history_["objective"]
    assert (np.diff(objective) >= -1e-9 * np.abs(objective[1:])).all()
    assert fit.lower_bound_ * len(wine[::3]) < fit.log_likelihood_


def test_grid_search_over_the_number_of_factors(wine):
    search = GridSearchCV(factor_mixture(2), {"n_factors": [1, 2]}, cv=3).fit(wine)
    assert search.best_params_["n_factors"] in (1, 2)


def test_rows_are_drawn_from_the_covariances():
    fit = factor_mixture(1, 1).fit(drawn(0, K=1))
    rows, _ = fit.sample(100_000)
    assert_allclose(np.cov(rows, rowvar=False), fit.covariances_[0], atol=0.06)


def test_standard_errors_of_saturated_factors_are_those_of_full_covariances():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 1)) @ [[1.0, 0.8, 1.2]] + rng.normal(size=(400, 3))

    factor = factor_mixture(1, 1, reg_covar=0, tol=1e-12).fit(X)
    full = GaussianMixtureEM(1, reg_covar=0, tol=1e-12).fit(X)
    found = factor.inference(X).standard_errors["covariances"]
    expected = full.inference(X).standard_errors["covariances"]
    assert_allclose(found, expected, rtol=1e-5)


def test_loadings_depend_on_the_covariances_only():
    """They are those of the factor analysis of one component, in any order of rows and units."""
    X = load_wine().data
    X = X / X.std(axis=0)
    fit = GaussianMixtureEM(covariance_type="factor", n_factors=2, reg_covar=0.0, tol=1e-10)
    loadings = fit.fit(X).loadings_[0]
    assert_allclose(loadings, FactorAnalysisEM(2).fit(X).components_.T, atol=1e-4)
    mixture = GaussianMixtureEM(3, covariance_type="factor", n_factors=2, tol=1e-10)
    options = {"weights_init": [0.3, 0.4, 0.3], "means_init": X[[0, 80, 160]]}
    first = mixture.set_params(**options).fit(X)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 2, 2)))[0]
    known = {
        "mean": first.means_,
        "loadings": first.loadings_ @ turn,
        "noise_variance": first.noise_variances_,
    }
    family = Gaussian("factor", n_factors=2)
    spec = family.column_spec(X)
    params = family.from_public(known, spec)
    found = family.to_public(params, spec)["loadings"]
    assert_allclose(found, first.loadings_, atol=1e-8)
    information = np.einsum("kja,kj,kjb->kab", found, 1.0 / first.noise_variances_, found)
    assert_allclose(information[:, 0, 1], 0.0, atol=1e-6 * information[:, 0, 0].max())
    assert (information[:, 0, 0] >= information[:, 1, 1]).all()
    deviation = np.sqrt(np.diagonal(first.covariances_, axis1=1, axis2=2))
    assert ((found / deviation[:, :, None]).sum(axis=1) > 0.0).all()
