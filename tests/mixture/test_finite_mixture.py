"""FiniteMixtureEM as an estimator: missing entries, weights, starts, predictions."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, csr_matrix
from scipy.special import logsumexp

from emlearn import FiniteMixtureEM
from emlearn.distributions import Family, Gaussian, Poisson


def test_gaussian_rows_with_missing_entries_are_those_of_the_imputer():
    """One Gaussian: the same maximum as MissingDataImputerEM."""
    from emlearn import MissingDataImputerEM

    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3)) + [1.0, -5.0, 100.0]
    X[rng.random(X.shape) < 0.2] = np.nan
    X[np.isnan(X).all(axis=1), 0] = 0.0
    mixture = FiniteMixtureEM(1, family=Gaussian(reg_covar=0.0), tol=1e-12).fit(X)
    imputer = MissingDataImputerEM(alpha=0, tol=1e-12).fit(X)
    assert mixture.log_likelihood_ == pytest.approx(imputer.log_likelihood_)
    assert_allclose(mixture.component_params_["mean"][0], imputer.mean_, rtol=1e-4)
    assert_allclose(mixture.component_params_["covariance"][0], imputer.covariance_, rtol=1e-3)


def test_weights_are_copies(items):
    X, _ = items
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    start = np.random.default_rng(1).dirichlet(np.ones(2), len(X))
    settings = {"family": "categorical", "tol": 1e-9}
    weighted = FiniteMixtureEM(2, init_params=start, **settings).fit(X, sample_weight=weight)
    copied = FiniteMixtureEM(2, init_params=np.repeat(start, weight, axis=0), **settings)
    copied.fit(np.repeat(X, weight, axis=0))
    assert weighted.log_likelihood_ == pytest.approx(copied.log_likelihood_)
    assert_allclose(weighted.weights_, copied.weights_, atol=1e-5)
    assert weighted.score(X, sample_weight=weight) == pytest.approx(
        copied.score(np.repeat(X, weight, axis=0))
    )


def test_priors_keep_out_zeros(items):
    X, _ = items
    mixture = FiniteMixtureEM(3, family="categorical", weights_alpha=1.0, random_state=0).fit(X)
    assert (mixture.component_params_["probability"] > 0.0).all()
    assert (mixture.weights_ > 1.0 / (len(X) + 3.0)).all()
    # The objective of MAP: log-likelihood plus log density of the Dirichlet priors.
    prior = 0.01 * np.log(mixture.component_params_["probability"]).sum()
    prior += np.log(mixture.weights_).sum()
    objective = mixture.log_likelihood_ + prior
    assert mixture.lower_bound_ * len(X) == pytest.approx(objective)
    assert mixture.log_likelihood_ == pytest.approx(mixture.score(X) * len(X))


def test_sparse_rows_are_dense_rows(counts):
    X, _ = counts
    start = np.random.default_rng(0).dirichlet(np.ones(3), len(X))
    fits = [
        FiniteMixtureEM(3, family="multinomial", init_params=start).fit(layout(X))
        for layout in (np.asarray, csr_array, csr_matrix)
    ]
    for fit in fits[1:]:
        assert_allclose(fit.component_params_["probability"],
                        fits[0].component_params_["probability"], rtol=1e-6)  # fmt: skip
        assert_allclose(fit.predict_proba(csr_array(X)), fits[0].predict_proba(X), atol=1e-6)
        assert fit.bic(csr_array(X)) == pytest.approx(fits[0].bic(X))
        assert fit.score(csr_array(X)) == pytest.approx(fits[0].score(X))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        FiniteMixtureEM(3, family="poisson").fit(csr_array(X))


def test_predictions_agree_with_each_other(counts):
    X, _ = counts
    mixture = FiniteMixtureEM(3, family="poisson", random_state=0).fit(X)
    proba = mixture.predict_proba(X)
    assert_allclose(proba.sum(axis=1), 1.0)
    assert_array_equal(proba.argmax(axis=1), mixture.predict(X))
    assert_array_equal(mixture.transform(X), proba)
    assert mixture.score(X) == pytest.approx(mixture.score_samples(X).mean())
    assert mixture.bic(X) == pytest.approx(-2 * len(X) * mixture.score(X) + np.log(len(X)) * 11)
    assert mixture.aic(X) == pytest.approx(-2 * len(X) * mixture.score(X) + 2 * 11)
    certainty = np.log(proba.max(axis=1)).sum()
    assert mixture.icl(X) == pytest.approx(mixture.bic(X) - 2.0 * certainty)
    drawn, labels = mixture.sample(20_000)
    assert_allclose(drawn.mean(axis=0), X.mean(axis=0), rtol=0.05)
    assert_allclose(np.bincount(labels) / 20_000, mixture.weights_, atol=0.02)
    with pytest.raises(ValueError, match="n_samples"):
        mixture.sample(0)
    again = pickle.loads(pickle.dumps(mixture))
    assert_array_equal(again.predict_proba(X), proba)


def test_errors_name_row_and_column_of_x(counts):
    X = counts[0].astype(float)
    X = np.repeat(X, 3, axis=0)
    mixture = FiniteMixtureEM(2, family="poisson", random_state=0).fit(X)
    X[700, 1] = 0.5
    for method in (mixture.fit, mixture.predict, mixture.score_samples, mixture.bic):
        with pytest.raises(ValueError, match=r"X has 0.5 in row 700, column 1"):
            method(X)
    X[700, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        mixture.fit(X)


def test_search_and_warm_start(counts):
    X, _ = counts
    settings = {"family": "poisson", "random_state": 0}
    fits = [
        FiniteMixtureEM(4, n_init=3, n_jobs=n_jobs, init_params="search", **settings).fit(X)
        for n_jobs in (1, 2)
    ]
    assert_array_equal(fits[0].weights_, fits[1].weights_)
    assert len(fits[0].restarts_) == 3
    assert fits[0].restarts_[0].n_short_runs > 1
    first = FiniteMixtureEM(4, max_iter=2, warm_start=True, init_params="rows", **settings)
    with pytest.warns(UserWarning, match="did not converge"):
        first.fit(X)
    before = first.lower_bound_
    first.set_params(max_iter=1000).fit(X)
    assert first.lower_bound_ > before
    with pytest.raises(ValueError, match="warm_start"):
        first.set_params(n_components=3).fit(X)
    with pytest.raises(ValueError, match="warm_start"):
        first.set_params(n_components=4, family="multinomial").fit(X)


def test_given_responsibilities(counts):
    X, side = counts
    hot = np.eye(3)[side]
    given = FiniteMixtureEM(3, family="poisson", init_params=hot).fit(X)
    called = FiniteMixtureEM(
        3, family="poisson", init_params=lambda rows, k, rng: np.eye(k)[rows.argmax(axis=1)]
    ).fit(X)
    assert called.log_likelihood_ == pytest.approx(given.log_likelihood_)
    with pytest.raises(ValueError, match="shape"):
        FiniteMixtureEM(3, family="poisson", init_params=hot[:, :2]).fit(X)


def test_a_family_of_ones_own_without_a_vector_form(counts):
    class Plain(Poisson):
        to_vector = Family.to_vector
        from_vector = Family.from_vector

    X, _ = counts
    plain = FiniteMixtureEM(3, family=Plain(), random_state=0).fit(X)
    usual = FiniteMixtureEM(3, family="poisson", random_state=0).fit(X)
    assert plain.log_likelihood_ == pytest.approx(usual.log_likelihood_, abs=1e-3)
    assert set(plain.history_["step"]) <= {"start", "em", "kept"}
    with pytest.raises(ValueError, match="vector form"):
        FiniteMixtureEM(3, family=Plain(), accelerate="squarem").fit(X)


def test_mixed_types():
    """By hand: the log-density is the sum over the columns."""
    from scipy.stats import multivariate_normal, poisson

    rng = np.random.default_rng(0)
    side = rng.integers(2, size=200)
    X = np.column_stack(
        [rng.poisson(np.where(side, 1, 6)), rng.normal(3.0 * side), rng.normal(size=200), side]
    )
    family = [("poisson", 0), (Gaussian("diag"), [1, 2]), ("categorical", slice(3, 4))]
    mixture = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    params = mixture.component_params_
    assert list(params) == ["rate", "mean", "covariance", "probability"]
    joint = np.stack(
        [
            np.log(mixture.weights_[k])
            + poisson.logpmf(X[:, 0], params["rate"][k, 0])
            + multivariate_normal.logpdf(
                X[:, 1:3], params["mean"][k], np.diag(params["covariance"][k])
            )
            + np.log(params["probability"][k, 0])[side]
            for k in range(2)
        ],
        axis=1,
    )
    assert_allclose(mixture.score_samples(X), logsumexp(joint, axis=1))
    assert mixture._n_parameters() == 1 + 2 * (1 + 4 + 1)


def test_compiled_kernels_change_nothing(items, monkeypatch):
    from emlearn.distributions import _categorical
    from emlearn.kernels import softmax as _softmax

    X, _ = items
    settings = {"family": "categorical", "random_state": 0, "init_params": "rows"}
    first = FiniteMixtureEM(2, **settings).fit(X)
    monkeypatch.setattr(_categorical, "compiled", None)
    monkeypatch.setattr(_softmax, "compiled", None)
    second = FiniteMixtureEM(2, **settings).fit(X)
    assert first.log_likelihood_ == pytest.approx(second.log_likelihood_, rel=1e-9)
    assert_allclose(first.weights_, second.weights_, atol=1e-4)
