"""FiniteMixtureEM as an estimator: other libraries, missing entries, weights, predictions."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, csr_matrix
from scipy.special import logsumexp

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.distributions import Categorical, Family, Gaussian, Multinomial, Poisson


@pytest.fixture
def items():
    """Two classes of answers to six questions."""
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=400)
    return np.minimum(rng.poisson(np.where(side, 0.4, 2.0)[:, None] * np.ones(6)), 3), side


@pytest.fixture
def counts():
    rng = np.random.default_rng(1)
    side = rng.integers(3, size=300)
    return rng.poisson(np.array([[1, 8, 3], [8, 1, 3], [4, 4, 12]])[side]), side


def by_rate(mixture, name="rate"):
    return mixture.component_params_[name][:, 0].argsort()


# ---- other libraries -------------------------------------------------------------------


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
        "gaussian": (naive_bayes.GaussianNB(var_smoothing=0.0), Gaussian("diag", alpha=0.0)),
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
    general = FiniteMixtureEM(2, family=Gaussian(kind, alpha=0.0), **settings).fit(X)
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


# ---- missing entries, weights, copies --------------------------------------------------


def test_gaussian_rows_with_missing_entries_are_those_of_the_imputer():
    """One Gaussian: the same maximum as MissingDataImputerEM."""
    from emlearn import MissingDataImputerEM

    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3)) + [1.0, -5.0, 100.0]
    X[rng.random(X.shape) < 0.2] = np.nan
    X[np.isnan(X).all(axis=1), 0] = 0.0
    mixture = FiniteMixtureEM(1, family=Gaussian(alpha=0.0), tol=1e-12).fit(X)
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


# ---- classes of some rows --------------------------------------------------------------


def test_part_of_the_classes(counts):
    X, side = counts
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(X)) < 0.1, side + 5, -1)
    mixture = FiniteMixtureEM(family="poisson", use_labels=True).fit(X, y)
    assert_array_equal(mixture.classes_, [5, 6, 7])
    assert set(np.unique(mixture.predict(X))) <= {5, 6, 7}
    assert np.mean(mixture.predict(X) == side + 5) > 0.9
    rate = mixture.component_params_["rate"]
    assert_allclose(rate, [X[side == k].mean(axis=0) for k in range(3)], rtol=0.15)
    drawn, labels = mixture.sample(50)
    assert drawn.shape == (50, 3)
    assert set(labels) <= {5, 6, 7}
    # Without y the same estimator is unsupervised again.
    mixture.set_params(n_components=3).fit(X)
    assert not hasattr(mixture, "classes_")
    assert set(np.unique(mixture.predict(X))) <= {0, 1, 2}


def test_string_classes(counts):
    X, side = counts
    names = np.array(["a", "b", "c"], object)[side]
    y = np.where(np.arange(len(X)) % 5 == 0, names, -1)
    mixture = FiniteMixtureEM(family="poisson", use_labels=True).fit(X, y)
    assert np.mean(mixture.predict(X) == names) > 0.9
    mixture.fit(X, names.astype(str))
    assert np.mean(mixture.predict(X) == names) > 0.9
    with pytest.raises(ValueError, match="dtype object"):
        mixture.fit(X, y.astype(str))


def test_weight_of_the_unlabelled_mass(counts):
    """0 leaves out the rows of unknown class; w multiplies their weights."""
    X, side = counts
    y = np.where(np.arange(len(X)) % 4 == 0, side, -1)
    known = y >= 0
    settings = {"family": "poisson", "tol": 1e-10, "use_labels": True}
    left_out = FiniteMixtureEM(unlabelled_weight=0.0, **settings).fit(X, y)
    supervised = FiniteMixtureEM(**settings).fit(X[known], y[known])
    assert_allclose(left_out.component_params_["rate"], supervised.component_params_["rate"])
    light = FiniteMixtureEM(unlabelled_weight=0.3, **settings).fit(X, y)
    weighted = FiniteMixtureEM(**settings).fit(X, y, sample_weight=np.where(known, 1.0, 0.3))
    assert_allclose(light.component_params_["rate"], weighted.component_params_["rate"])
    assert light.log_likelihood_ == pytest.approx(weighted.log_likelihood_)


def test_components_that_are_none_of_the_classes(counts):
    X, side = counts
    y = np.where((np.arange(len(X)) % 4 == 0) & (side < 2), side, -1)
    mixture = FiniteMixtureEM(3, family="poisson", use_labels=True, random_state=0).fit(X, y)
    assert_array_equal(mixture.classes_, [0, 1])
    found = mixture.predict(X)
    assert np.mean(found[side == 2] == -1) > 0.9
    assert np.mean(found[side < 2] == side[side < 2]) > 0.9
    with pytest.raises(ValueError, match=r"2 classes.*n_components=1.*use_labels=False"):
        FiniteMixtureEM(1, family="poisson", use_labels=True).fit(X, y)
    ignored = FiniteMixtureEM(1, family="poisson").fit(X, y)
    assert not hasattr(ignored, "classes_")


def test_classes_that_make_no_sense(counts):
    X, _ = counts
    with pytest.raises(ValueError, match=r"y has 3 entries, but X has \d+ rows"):
        FiniteMixtureEM(family="poisson", use_labels=True).fit(X, np.zeros(3, int))
    with pytest.raises(ValueError, match=r"[Uu]nknown label type"):
        FiniteMixtureEM(family="poisson", use_labels=True).fit(X, np.linspace(0.0, 1.0, len(X)))
    nothing = FiniteMixtureEM(2, family="poisson", use_labels=True, random_state=0)
    nothing.fit(X, np.full(len(X), -1))
    assert not hasattr(nothing, "classes_")


# ---- what is asked of a fitted mixture -------------------------------------------------


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
    fits = [FiniteMixtureEM(4, n_init=3, n_jobs=n_jobs, **settings).fit(X) for n_jobs in (1, 2)]
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


# ---- data at the edge ------------------------------------------------------------------


def edges():
    rng = np.random.default_rng(0)
    for kind in ("counts", "real"):
        base = (
            rng.poisson(3.0, (30, 3)).astype(float)
            if kind == "counts"
            else (rng.normal(size=(30, 3)))
        )
        holes = np.where(rng.random(base.shape) < 0.9, np.nan, base)
        column = base.copy()
        column[:, 1] = np.nan
        constant = base.copy()
        constant[:, 1] = constant[0, 1]
        for rows in (
            holes,
            column,
            constant,
            np.full((5, 2), np.nan),
            base[:2],
            np.zeros((9, 2)),
            np.repeat(base[:1], 10, axis=0),
            base * 1e9,
            base.astype(np.float32),
        ):
            yield kind, rows


@pytest.mark.parametrize("n_components", [1, 2])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nothing_is_nan(n_components):
    families = {
        "counts": [Poisson(), Poisson(alpha=0.0), Multinomial(), Multinomial(alpha=0.0)],
        "real": [Gaussian(kind) for kind in ("full", "tied", "diag", "spherical")],
    }
    for kind, X in edges():
        for family in families[kind]:
            mixture = FiniteMixtureEM(
                n_components, family=family, init_params="rows", random_state=0, max_iter=100
            )
            empty = np.flatnonzero(np.isnan(np.asarray(X, float)).all(axis=0))
            if kind == "real" and empty.size:
                with pytest.raises(ValueError, match=f"Column {empty[0]} of X has no observed"):
                    mixture.fit(X)
                continue
            mixture.fit(X)
            found = [mixture.predict_proba(X), mixture.score_samples(X), mixture.bic(X)]
            found += list(mixture.component_params_.values())
            assert all(np.isfinite(values).all() for values in found), (family, X)


def test_singular_covariances_are_explained():
    X = np.ones((10, 2))
    with pytest.raises(ValueError, match=r"covariance of component 0 is singular.*stronger prior"):
        FiniteMixtureEM(2, family=Gaussian(alpha=0.0), random_state=0).fit(X)
    with pytest.raises(ValueError, match="Column 0 of X has no observed value"):
        FiniteMixtureEM(1, family=Gaussian(alpha=0.0)).fit(np.full((4, 2), np.nan))


def test_strings_are_refused_with_advice():
    for strings in (np.array([["a", "b"], ["c", "d"]]), np.array([["a", 1], ["c", 2]], object)):
        with pytest.raises(ValueError, match="OrdinalEncoder"):
            FiniteMixtureEM(2, family="categorical").fit(strings)
