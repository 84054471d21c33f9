"""FiniteMixtureEM against other libraries and published values."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.distributions import Categorical, Gaussian, Multinomial


def test_step_mix_finds_the_same_latent_classes(items):
    stepmix = pytest.importorskip("stepmix")
    X, _ = items
    theirs = stepmix.StepMix(
        2, measurement="categorical", n_init=1, max_iter=5000, abs_tol=1e-16, rel_tol=0.0,
        random_state=0, verbose=0, progress_bar=0,
    ).fit(X)  # fmt: skip
    ours = FiniteMixtureEM(2, family=Categorical(alpha=0.0), tol=1e-13, random_state=0).fit(X)
    assert ours.score(X) == pytest.approx(theirs.score(X), abs=1e-8)
    order = [0, 1] if ours.weights_[0] < ours.weights_[1] else [1, 0]
    their_order = np.argsort(theirs.weights_)
    assert_allclose(ours.weights_[order], theirs.weights_[their_order], atol=1e-4)
    assert_allclose(
        ours.predict_proba(X)[:, order], theirs.predict_proba(X)[:, their_order], atol=1e-3
    )
    assert ours.bic(X) == pytest.approx(theirs.bic(X), abs=1e-4)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), abs=1e-4)


def test_step_mix_with_missing_items(items):
    stepmix = pytest.importorskip("stepmix")
    X = items[0].astype(float)
    X[np.random.default_rng(3).random(X.shape) < 0.2] = np.nan
    theirs = stepmix.StepMix(
        2, measurement="categorical_nan", n_init=1, max_iter=5000, abs_tol=1e-16, rel_tol=0.0,
        random_state=0, verbose=0, progress_bar=0,
    ).fit(X)  # fmt: skip
    ours = FiniteMixtureEM(2, family=Categorical(alpha=0.0), tol=1e-13, random_state=0).fit(X)
    assert ours.score(X) == pytest.approx(theirs.score(X), abs=1e-8)


@pytest.mark.parametrize("family", ["multinomial", "bernoulli", "categorical", "gaussian"])
def test_all_classes_known_is_naive_bayes(counts, family):
    from sklearn import naive_bayes

    from emlearn.distributions import Bernoulli

    X, side = counts
    y = np.array(["red", "green", "blue"], object)[side]
    theirs, ours = {
        "multinomial": (naive_bayes.MultinomialNB(alpha=1.0), Multinomial(alpha=1.0)),
        "bernoulli": (naive_bayes.BernoulliNB(alpha=0.7), Bernoulli(alpha=0.7)),
        "categorical": (
            naive_bayes.CategoricalNB(alpha=0.7),
            # There, levels are all codes up to the largest. Here, they are those seen or declared.
            Categorical(alpha=0.7, n_levels=X.max(axis=0).astype(int) + 1),
        ),
        "gaussian": (naive_bayes.GaussianNB(var_smoothing=0.0), Gaussian("diag", reg_covar=0.0)),
    }[family]
    X = (X > 3).astype(int) if family == "bernoulli" else X
    theirs.fit(X, y)
    mixture = FiniteMixtureEM(family=ours, use_labels=True).fit(X, y)
    assert mixture.n_components_ == 3
    assert_array_equal(mixture.classes_, theirs.classes_)
    assert_allclose(mixture.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
    assert_array_equal(mixture.predict(X), theirs.predict(X))
    # The log-likelihood includes rows and classes.
    joint = np.log(mixture.predict_proba(X)) + mixture.score_samples(X)[:, None]
    own = joint[np.arange(len(X)), np.searchsorted(theirs.classes_, y)]
    assert mixture.log_likelihood_ == pytest.approx(own.sum())
    if family == "gaussian":
        weight = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
        theirs.fit(X, y, sample_weight=weight)
        mixture.fit(X, y, sample_weight=weight)
        assert_allclose(mixture.predict_proba(X), theirs.predict_proba(X), atol=1e-10)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_gaussian_family_is_the_gaussian_mixture(kind):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(90, 2)) * 0.5 + [4.0, 3.0]])
    start = np.eye(2)[(X[:, 0] > 2.0).astype(int)]
    settings = {"init_params": start, "tol": 1e-10}
    special = GaussianMixtureEM(2, covariance_type=kind, reg_covar=0, **settings).fit(X)
    general = FiniteMixtureEM(2, family=Gaussian(kind, reg_covar=0.0), **settings).fit(X)
    assert general.log_likelihood_ == pytest.approx(special.log_likelihood_)
    assert_allclose(general.weights_, special.weights_, rtol=1e-4)
    assert_allclose(general.component_params_["mean"], special.means_, rtol=1e-3, atol=1e-4)
    covariances = np.array([special.covariances_] * 2) if kind == "tied" else special.covariances_
    assert_allclose(general.component_params_["covariance"], covariances, rtol=1e-3, atol=1e-4)
    assert general.bic(X) == pytest.approx(special.bic(X))
    assert general.icl(X) == pytest.approx(special.icl(X), rel=1e-4)


def test_rao_linkage(reference):
    """Dempster, Laird and Rubin's example is not a mixture, but its data fit a multinomial."""
    counts = np.array([reference("discrete")["linkage"]["counts"]] * 2)
    mixture = FiniteMixtureEM(1, family=Multinomial(alpha=0.0)).fit(counts)
    assert_allclose(mixture.component_params_["probability"], counts[:1] / counts[0].sum())
