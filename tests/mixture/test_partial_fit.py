"""Mixtures that learn batch by batch: every family, tables that grow, scikit-learn's contract."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.distributions import (
    Bernoulli,
    Categorical,
    DirichletMultinomial,
    Gamma,
    Gaussian,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Poisson,
    Product,
    VonMises,
    ZeroInflated,
)
from emlearn.engine import StepwisePlan

ONE_PASS = StepwisePlan(1.0, burn_in=500)
N = 3000


def streamed(estimator, X, size=300, **vectors):
    for start in range(0, X.shape[0], size):
        part = slice(start, start + size)
        estimator.partial_fit(X[part], **{name: own[part] for name, own in vectors.items()})
    return estimator


def _rows(kind):
    """Two clusters of rows, a tenth of the entries missing where that may be."""
    rng = np.random.default_rng(0)
    z = rng.integers(2, size=(N, 1))
    if kind == "counts":
        X = rng.poisson(2.0 + 8.0 * z, (N, 3)).astype(float)
    elif kind == "documents":
        return rng.multinomial(12, np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])[z[:, 0]]) * 1.0
    elif kind == "items":
        X = (rng.random((N, 6)) < 0.15 + 0.7 * z) * 1.0
    elif kind == "positive":
        X = rng.gamma(2.0 + 9.0 * z, 1.0, (N, 2))
    elif kind == "angles":
        X = rng.vonmises(2.0 * z, 4.0, (N, 3))
    else:
        X = rng.normal(size=(N, 4)) + 4.0 * z
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


FAMILIES = [
    (Poisson(), "counts"),
    (NegativeBinomial(), "counts"),
    (ZeroInflated(), "counts"),
    (ZeroInflated(NegativeBinomial()), "counts"),
    (Multinomial(), "documents"),
    (DirichletMultinomial(), "documents"),
    (Bernoulli(), "items"),
    (Categorical(), "items"),
    (Gamma(), "positive"),
    (VonMises(), "angles"),
    (Gaussian("full"), "numbers"),
    (Gaussian("tied", alpha=1.0), "numbers"),
    (Gaussian("diag"), "numbers"),
    (Gaussian("spherical"), "numbers"),
    (Gaussian("EEV"), "numbers"),
    (Gaussian("factor", n_factors=1), "numbers"),
    (Product([(Gaussian("diag"), [0, 1]), (Gaussian("full"), [2, 3])]), "numbers"),
]


@pytest.mark.parametrize(("family", "kind"), FAMILIES, ids=repr)
def test_one_pass_is_close_to_the_exact_fit(family, kind):
    X = _rows(kind)
    exact = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    found = streamed(FiniteMixtureEM(2, family=family, random_state=0), X)
    # A parameter costs about half a nat, so this is a fraction of what all of them cost.
    assert exact.score(X) - found.score(X) < 2e-3
    assert found.n_iter_ == 8
    assert np.isfinite(found.lower_bound_)
    for method in (found.predict, found.predict_proba, found.score_samples):
        assert np.isfinite(method(X[:40])).all()
    assert found.sample(3)[0].shape == (3, X.shape[1])
    assert np.isfinite(found.bic(X))


@pytest.mark.parametrize(("family", "kind"), FAMILIES, ids=repr)
def test_one_component_without_missing_entries_is_the_exact_fit(family, kind):
    """With exponent 1, and nothing latent, statistics are those of all rows."""
    X = _rows(kind)
    X = X[~np.isnan(X).any(axis=1)]
    settings = {"family": family, "random_state": 0}
    exact = FiniteMixtureEM(1, tol=1e-12, max_iter=2000, **settings).fit(X)
    found = streamed(FiniteMixtureEM(1, stepwise=ONE_PASS, **settings), X)
    # What is learned from the first rows alone: the ridge, the average rows of priors; and for
    # zero inflation, documents and factors an M-step is only a few steps.
    assert exact.score(X) - found.score(X) < 1e-5


@pytest.mark.parametrize(
    "family",
    [
        NegativeBinomial(alpha=0.0),
        ZeroInflated(NegativeBinomial(alpha=0.0)),
        Mixture(NegativeBinomial(alpha=0.0), n_parts=1),
        Product([(NegativeBinomial(alpha=0.0), [0]), (Poisson(alpha=0.0), [1])]),
    ],
    ids=repr,
)
def test_counts_that_the_first_rows_do_not_have(family):
    """Tables of counts grow, so statistics stay exact: the maximum is that of all rows."""
    rng = np.random.default_rng(1)
    X = np.r_[
        rng.negative_binomial(3, 0.5, (500, 2)), rng.negative_binomial(3, 0.05, (2500, 2))
    ].astype(float)
    exact = FiniteMixtureEM(1, family=family, tol=1e-12, max_iter=2000).fit(X)
    found = streamed(FiniteMixtureEM(1, family=family, stepwise=ONE_PASS), X, 500)
    for name, value in exact.component_params_.items():
        # With extra zeros, an M-step is five cycles of three steps.
        np.testing.assert_allclose(found.component_params_[name], value, rtol=1e-3)


def test_documents_that_the_first_rows_do_not_have():
    """New counts of words and new lengths; some rows lack a count."""
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.full(8, 0.5), N)
    lengths = np.r_[rng.integers(3, 9, 600), rng.integers(20, 60, N - 600)]
    X = np.array([rng.multinomial(n, own) for n, own in zip(lengths, p, strict=True)]) * 1.0
    family = DirichletMultinomial(alpha=0.0)
    exact = FiniteMixtureEM(1, family=family, tol=1e-12, max_iter=2000).fit(X)
    for rows in (X, csr_array(X)):
        found = streamed(FiniteMixtureEM(1, family=family, stepwise=ONE_PASS), rows)
        np.testing.assert_allclose(
            found.component_params_["concentration"],
            exact.component_params_["concentration"],
            rtol=1e-5,
        )
    X[rng.random(N) < 0.1, 3] = np.nan
    exact = FiniteMixtureEM(1, family=family, tol=1e-12, max_iter=2000).fit(X)
    found = streamed(FiniteMixtureEM(1, family=family, stepwise=ONE_PASS), X)
    assert exact.score(X) - found.score(X) < 1e-4


def test_counts_without_room_in_the_table(monkeypatch):
    """They are taken by a bound, whose statistics move with the dispersion."""
    rng = np.random.default_rng(1)
    X = rng.negative_binomial(3, 0.1, (9000, 1)).astype(float)
    exact = FiniteMixtureEM(1, family=NegativeBinomial()).fit(X)
    monkeypatch.setattr("emlearn.distributions._negative_binomial._MOST_PAIRS", 0)
    plan = StepwisePlan(0.8, burn_in=500)
    found = streamed(FiniteMixtureEM(1, family=NegativeBinomial(), stepwise=plan), X, 300)
    assert X.max() > found._stream.learned.table.level.max()
    assert exact.score(X) - found.score(X) < 1e-4
    np.testing.assert_allclose(
        found.component_params_["dispersion"], exact.component_params_["dispersion"], rtol=0.03
    )


def test_levels_that_the_first_rows_do_not_have():
    """Missing entries, or an error that names row and column, as the family says."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(_rows("items"), columns=list("abcdef"))
    more = frame[:50].copy()
    more.loc[7, "c"] = 5.0
    strict = FiniteMixtureEM(2, family=Categorical(unseen="error"), random_state=0)
    strict.partial_fit(frame)
    with pytest.raises(ValueError, match="X has 5 in row 7, column 'c'"):
        strict.partial_fit(more)
    loose = FiniteMixtureEM(2, family=Categorical(), random_state=0).partial_fit(frame)
    as_missing = pickle.loads(pickle.dumps(loose))
    loose.partial_fit(more)
    more.loc[7, "c"] = np.nan
    as_missing.partial_fit(more)
    for name, value in as_missing.component_params_.items():
        np.testing.assert_array_equal(loose.component_params_[name], value)


def test_invalid_entries_after_the_burn_in_are_named():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(_rows("counts"), columns=["x", "y", "z"])
    families = Poisson(), NegativeBinomial(), Product([(Poisson(), ["x", "y", "z"])])
    for family in families:
        found = FiniteMixtureEM(2, family=family, random_state=0).partial_fit(frame)
        bad = frame.copy()
        bad.loc[2100, "y"] = -1.0
        with pytest.raises(ValueError, match="X has -1 in row 2100, column 'y'"):
            found.partial_fit(bad)
        assert found.partial_fit(frame[:10]).n_iter_ == 1


def test_some_classes_are_known():
    """Classes of a part of the rows of each batch; -1 is unknown, strings are classes too."""
    X = _rows("counts")
    rng = np.random.default_rng(0)
    y = np.where(np.nansum(X, axis=1) > 15.0, "many", "few").astype(object)
    y[rng.random(N) < 0.7] = None
    settings = {"family": Poisson(), "use_labels": True, "random_state": 0}
    exact = FiniteMixtureEM(**settings).fit(X, y)
    found = streamed(FiniteMixtureEM(**settings), X, y=y)
    assert found.classes_.tolist() == ["few", "many"]
    np.testing.assert_allclose(
        found.component_params_["rate"], exact.component_params_["rate"], rtol=0.01
    )
    # Later batches may have no class at all.
    assert found.partial_fit(X[:100]).n_iter_ == 9
    assert set(found.predict(X)) == {"few", "many"}


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_column_that_is_constant_at_first(covariance_type):
    rng = np.random.default_rng(5)
    first = np.c_[rng.normal(size=600), np.full(600, 5.0)]
    more = rng.normal(5.0 * np.arange(2.0), size=(6000, 2))
    found = GaussianMixtureEM(1, covariance_type=covariance_type, stepwise=ONE_PASS)
    streamed(found.partial_fit(first), more, 500)
    exact = GaussianMixtureEM(1, covariance_type=covariance_type).fit(np.r_[first, more])
    np.testing.assert_allclose(found.means_, exact.means_, atol=1e-12)
    np.testing.assert_allclose(found.covariances_, exact.covariances_, atol=1e-5)


def test_rows_far_from_the_origin():
    """Moments are about the means, so an offset loses nothing."""
    X = _rows("numbers")
    X = X[~np.isnan(X).any(axis=1)]
    settings = {"random_state": 0, "stepwise": ONE_PASS}
    near = streamed(GaussianMixtureEM(2, **settings), X)
    far = streamed(GaussianMixtureEM(2, **settings), X + 1e6)
    np.testing.assert_allclose(far.means_ - 1e6, near.means_, atol=1e-7)
    np.testing.assert_allclose(far.covariances_, near.covariances_, atol=1e-7)


def test_a_drift_is_followed():
    rng = np.random.default_rng(0)
    found = GaussianMixtureEM(2, random_state=0, stepwise=StepwisePlan(memory=1000.0))
    still = GaussianMixtureEM(2, random_state=0)
    for t in range(60):
        z = rng.integers(2, size=(300, 1))
        batch = 0.5 * rng.normal(size=(300, 2)) + z * [6.0, 0.0] + [0.0, 0.1 * t]
        if t == 59:
            assert found.score(batch) > still.score(batch) + 0.5
        found.partial_fit(batch)
        still.partial_fit(batch)
    assert np.abs(found.means_[:, 1] - 5.9).max() < 0.5


def test_float32_and_single_rows():
    X = _rows("numbers").astype(np.float32)
    found = streamed(GaussianMixtureEM(2, random_state=0), X)
    assert found.means_.dtype == np.float64
    for row in X[:20]:
        found.partial_fit(row[None])
    found.partial_fit(np.full((2, 4), np.nan))
    assert np.isfinite(found.score(X))


def test_public_methods_after_each_call():
    X = _rows("numbers")
    found = GaussianMixtureEM(2, random_state=0)
    for start in range(0, 1500, 150):
        assert found.partial_fit(X[start : start + 150]) is found
        assert found.predict(X).shape == (N,)
        assert np.isfinite([found.score(X), found.aic(X), found.lower_bound_]).all()
        assert not found.converged_
        assert found.n_features_in_ == 4
        found = pickle.loads(pickle.dumps(found))
    assert found.n_iter_ > 0
    assert not hasattr(found, "log_likelihood_")
    # One pass does not end at the maximum, and standard errors say so.
    with pytest.warns(ConvergenceWarning, match="standard errors from the maximum"):
        errors = found.inference(X).standard_errors
    assert all(np.isfinite(own).all() for own in errors.values())
    assert not hasattr(clone(found), "means_")
    assert clone(found).stepwise is None


def test_with_scikit_learn(request):
    sklearn = pytest.importorskip("sklearn")
    X = _rows("numbers")
    found = GaussianMixtureEM(2, random_state=0)
    scaler = StandardScaler().fit(X)
    for start in range(0, N, 500):
        found.partial_fit(scaler.transform(X[start : start + 500]))
    pipeline = Pipeline([("scale", scaler), ("mixture", found)])
    assert pipeline.predict(X).shape == (N,)
    with sklearn.config_context(enable_metadata_routing=True):
        for estimator in (GaussianMixtureEM(), FiniteMixtureEM()):
            asked = estimator.set_partial_fit_request(sample_weight=True)
            requests = asked.get_metadata_routing().partial_fit.requests
            assert requests["sample_weight"] is True


def test_a_later_fit_and_a_warm_start():
    X = _rows("numbers")
    found = streamed(GaussianMixtureEM(2, random_state=0), X)
    once = GaussianMixtureEM(2, random_state=0).fit(X)
    np.testing.assert_array_equal(found.fit(X).means_, once.means_)
    # With warm_start, a fit goes on from what the stream has learned.
    warm = streamed(GaussianMixtureEM(2, random_state=0, warm_start=True), X).fit(X)
    assert warm.converged_
    assert warm.log_likelihood_ == pytest.approx(once.log_likelihood_, abs=0.1)
    # After a fit, the stream goes on with the weight of its rows.
    more = clone(found).set_params(stepwise=StepwisePlan(1.0)).fit(X).partial_fit(X)
    assert more._stream.weight == 2.0 * N
    assert more.n_iter_ == 3
