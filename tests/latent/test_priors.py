"""What the default priors must not do: see "Priors" in docs/defaults.md."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.naive_bayes import GaussianNB

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM, MissingDataImputerEM
from emlearn.distributions import (
    Bernoulli,
    Categorical,
    Gaussian,
    Mixture,
    Multinomial,
    Poisson,
    Product,
)
from emlearn.distributions.gaussian.ridge import relative_ridge
from emlearn.distributions.gaussian.scaling import summarize_columns

ESTIMATORS = pytest.mark.parametrize("cls", [GaussianMixtureEM, FiniteMixtureEM, HiddenMarkovEM])
LABELS = pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])


@pytest.fixture
def two_groups():
    rng = np.random.default_rng(3)
    return rng.normal(3 * np.repeat([0, 1], 150), 1)[:, None]


def with_more(X, more):
    """A column, and others that say nothing, or nearly nothing, more."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(X.shape)
    added = {
        "constant": np.full_like(X, 7.0),
        "three constants": np.tile([7.0, 0.0, -1e6], (len(X), 1)),
        "copy": X,
        "linear": 2.0 * X + 1.0,
        "noise of 1e-9": X + 1e-9 * noise,
        "noise of 1e-6": X + 1e-6 * noise,
    }
    return np.column_stack([X, added[more]])


@pytest.mark.parametrize(
    "more",
    ["constant", "three constants", "copy", "linear", "noise of 1e-9", "noise of 1e-6"],
)
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@ESTIMATORS
def test_columns_without_news_change_nothing(cls, covariance_type, more, two_groups):
    settings = {"random_state": 0, "tol": 1e-10}
    if cls is GaussianMixtureEM:
        settings["covariance_type"] = covariance_type
    else:
        settings["family"] = Gaussian(covariance_type)
    wider = with_more(two_groups, more)
    alone = cls(2, **settings).fit(two_groups).predict_proba(two_groups)
    beside = cls(2, **settings).fit(wider).predict_proba(wider)
    if abs(alone - beside).max() > 0.5:
        beside = beside[:, ::-1]
    assert_allclose(beside, alone, atol=2e-5)


@pytest.mark.parametrize("more", ["constant", "three constants"])
def test_a_constant_column_changes_nothing_in_naive_bayes(more, two_groups):
    y = np.repeat([0, 1], 150)
    wider = with_more(two_groups, more)
    expected = GaussianNB(var_smoothing=0.0).fit(two_groups, y).predict_proba(two_groups)
    for family in ("gaussian", Gaussian("diag")):
        mixture = FiniteMixtureEM(family=family, use_labels=True).fit(wider, y)
        assert_allclose(mixture.predict_proba(wider), expected, atol=1e-5)


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_a_relation_does_not_empty_a_component_of_the_imputer(noise):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = rng.normal(3 * np.repeat([0, 1], 150), 1)
        X = np.column_stack([x, x + noise * rng.standard_normal(300)])
        X[rng.random(300) < 0.3, 0] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            imputer = MissingDataImputerEM(n_components=2, random_state=seed).fit(X)
        assert imputer.weights_.min() > 0.3


@pytest.mark.parametrize("far", [1.0, 20.0, 1e3, 1e4])
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@ESTIMATORS
def test_next_to_maximum_likelihood_however_far_the_components(cls, covariance_type, far):
    """All rows have a component of their own, so the maximum is known from each group."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=2000)
    deviation = np.sqrt([0.0188, 0.0249, 0.0319])[labels][:, None]
    centers = np.array([[0.0, 0.0], [4.0, 1.0], [2.0, 7.0]])
    X = far * centers[labels] + deviation * rng.standard_normal((2000, 2))
    settings = {"random_state": 0}
    if cls is GaussianMixtureEM:
        settings["covariance_type"] = covariance_type
    else:
        settings["family"] = Gaussian(covariance_type)
    model = cls(3, **settings).fit(X)
    covariances = [np.cov(X[labels == k].T, bias=True) for k in range(3)]
    if covariance_type == "diag":
        covariances = [np.diag(np.diagonal(c)) for c in covariances]
    if covariance_type == "spherical":
        covariances = [np.diagonal(c).mean() * np.eye(2) for c in covariances]
    best = sum(
        stats.multivariate_normal.logpdf(X[labels == k], X[labels == k].mean(axis=0), c).sum()
        for k, c in enumerate(covariances)
    )
    counts = np.bincount(labels)
    if cls is HiddenMarkovEM:
        moves = np.zeros((3, 3))
        np.add.at(moves, (labels[:-1], labels[1:]), 1.0)
        best += (moves * np.log(moves / moves.sum(axis=1, keepdims=True))).sum()
    else:
        best += counts @ np.log(counts / 2000)
    assert model.log_likelihood_ == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize("code", [-9999.0, 1e5])
def test_a_code_for_missing_values_does_not_widen_the_rest(code):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 1))
    X[::10] = code + 0.1 * rng.standard_normal((40, 1))
    for model in (GaussianMixtureEM(2, random_state=0), FiniteMixtureEM(2, random_state=0)):
        variances = model.fit(X).covariances_.ravel()
        assert_allclose(np.sort(variances), [X[::10].var(), X[abs(X) < 10].var()], rtol=1e-3)


# ---- the ridge --------------------------------------------------------------------------


def ridge_of(X, by_column=True):
    """In the units of the data."""
    summary = summarize_columns(X, by_column=by_column)
    return relative_ridge(X, summary, by_column) * summary.scaling.scale**2


def test_the_ridge_of_usual_columns_is_a_millionth_of_their_variance():
    rng = np.random.default_rng(0)
    for n in (10, 30, 100, 1000, 50000):
        X = np.column_stack(
            [
                rng.standard_normal(n),
                rng.uniform(size=n),
                rng.exponential(size=n),
                rng.poisson(3.0, n),
                rng.integers(2, size=n),
                rng.standard_normal(n) * (rng.random(n) < 0.4),
                rng.standard_normal(n) + 3.0 * rng.integers(2, size=n),
            ]
        ).astype(float)
        assert_allclose(ridge_of(X), 1e-6 * X.var(axis=0), rtol=1e-10)
    assert_allclose(ridge_of(X, by_column=False), 1e-6 * X.var(axis=0).mean(), rtol=1e-10)
    assert_allclose(ridge_of(np.full((5, 1), 3.0)), 1e-6)


def test_gaps_do_not_count_for_the_ridge():
    rng = np.random.default_rng(0)
    within = rng.uniform(size=(4000, 1))
    group = rng.integers(5, size=(4000, 1))
    near, far = ridge_of(within + group), ridge_of(within + 1e3 * group)
    assert far < 1.1 * 4.0 * near  # where gaps are closed, a uniform column gets four times
    assert_allclose(ridge_of(within + 1e4 * group), far, rtol=1e-6)
    # Less would be rounding beside the variance of the column.
    assert ridge_of(within + 1e12 * group) > 1e-15 * np.var(1e12 * group)


def test_weights_copies_and_the_order_of_rows_do_not_change_the_ridge():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2)) + 1e4 * rng.integers(3, size=(60, 2))
    copies = rng.permutation(np.repeat(X, rng.integers(1, 4, size=60), axis=0))
    assert (ridge_of(X) < 1e-7 * X.var(axis=0)).all()
    assert_allclose(ridge_of(copies), ridge_of(X), rtol=1e-12)
    X[::7, 0] = np.nan
    some = X[:, 0][~np.isnan(X[:, 0])]
    assert_allclose(ridge_of(X)[0], ridge_of(some[:, None])[0], rtol=1e-12)


# ---- the objective ----------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEV"])
@LABELS
def test_the_objective_never_decreases_and_the_likelihood_has_no_ridge(cls, covariance_type):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3)) + 3.0 * rng.integers(2, size=(120, 1))
    X[rng.random(X.shape) < 0.1] = np.nan
    for reg_covar in ("auto", 0.3):
        family = Gaussian(covariance_type, reg_covar=reg_covar)
        model = cls(2, family=family, random_state=0).fit(X)
        assert (np.diff(model.history_["objective"]) > -1e-8).all()
        assert model.log_likelihood_ == pytest.approx(model.score(X) * 120, rel=1e-10)
        assert model.lower_bound_ * 120 < model.log_likelihood_


@pytest.mark.parametrize(
    "family",
    [Mixture(Gaussian("diag"), 2), [("poisson", [0]), ("gaussian", [1, 2])]],
    ids=["parts", "columns"],
)
@LABELS
def test_the_likelihood_has_no_ridge_in_families_of_families(cls, family):
    rng = np.random.default_rng(0)
    X = rng.poisson(4.0, (200, 3)) + 9.0 * rng.integers(2, size=(200, 1))
    # Of counts, a part can hold a single value.
    X = X + (rng.random((200, 3)) if isinstance(family, Mixture) else 0.0)
    model = cls(2, family=family, random_state=0).fit(X)
    assert model.log_likelihood_ == pytest.approx(model.score(X) * 200, rel=1e-10)


# ---- weights ----------------------------------------------------------------------------


@ESTIMATORS
def test_the_scale_of_weights_does_not_matter_without_pseudo_rows(cls, two_groups):
    settings = {"random_state": 0, "tol": 1e-9}
    fits = []
    for scale in (1.0, 1.0 / 300, 1e-6):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            if cls is HiddenMarkovEM:
                fit = cls(2, **settings).fit(
                    two_groups, lengths=[10] * 30, sample_weight=np.full(30, scale)
                )
            else:
                fit = cls(2, **settings).fit(two_groups, sample_weight=np.full(300, scale))
        fits.append(np.sort(fit.means_.ravel()))
    assert_allclose(fits[1], fits[0], atol=1e-4)
    assert_allclose(fits[2], fits[0], atol=1e-4)


FAMILIES = {
    "bernoulli": Bernoulli(),
    "poisson": Poisson(),
    "categorical": Categorical(),
    "multinomial": Multinomial(),
    "gaussian": Gaussian(alpha=0.01),
    "mixture": Mixture(Poisson(alpha=0.0), 2),
    "parts": Mixture(Poisson(), 2, alpha=0.0),
    "product": Product(((Gaussian(), (0,)), (Bernoulli(), (1,)))),
}


@pytest.mark.parametrize("name", FAMILIES)
@LABELS
def test_light_weights_and_a_prior_are_warned_of(cls, name):
    rng = np.random.default_rng(0)
    X = (rng.random((60, 2)) < 0.3 + 0.4 * rng.integers(2, size=(60, 1))).astype(float)
    X[:2] = [[0.0, 1.0], [1.0, 0.0]]
    fit = cls(2, family=FAMILIES[name], random_state=0, tol=1e-4, max_iter=3).fit
    lengths = {"lengths": [3] * 20} if cls is HiddenMarkovEM else {}
    n = 20 if lengths else 60
    for value in (0.01, None, 0.6, 20.0):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(X, **lengths, sample_weight=None if value is None else np.full(n, value))
        found = [str(w.message) for w in caught if "numbers of copies" in str(w.message)]
        assert len(found) == (value == 0.01)
        if found:
            assert "weights of 60 rows sum to 0.6" in found[0]
            assert "or set alpha of the family" in found[0]


@pytest.mark.parametrize(
    ("cls", "prior"),
    [
        (FiniteMixtureEM, "weights_alpha"),
        (HiddenMarkovEM, "startprob_alpha"),
        (HiddenMarkovEM, "transmat_alpha"),
    ],
)
def test_light_weights_and_a_prior_of_the_labels_are_warned_of(cls, prior, two_groups):
    lengths = {"lengths": [10] * 30} if cls is HiddenMarkovEM else {}
    weight = np.full(30 if lengths else 300, 1.0 / 300)
    with pytest.warns(UserWarning, match=f"the prior counts as .*{prior}"):
        cls(2, random_state=0, **{prior: 0.5}).fit(two_groups, **lengths, sample_weight=weight)


def test_a_small_unlabelled_weight_is_no_light_weight():
    X = np.random.default_rng(0).poisson(3.0, (50, 2))
    y = np.r_[0, 1, np.full(48, -1)]
    mixture = FiniteMixtureEM(2, family="poisson", use_labels=True, unlabelled_weight=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        mixture.fit(X, y)
        mixture.fit(X, y, sample_weight=np.ones(50))


def test_a_strong_prior_is_warned_of_only_if_weights_are_light():
    X = np.random.default_rng(0).poisson(3.0, (50, 2))
    for weight, warned in ((0.4, 1), (0.6, 0), (1.0, 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            FiniteMixtureEM(family=Poisson(alpha=1.0)).fit(X, sample_weight=np.full(50, weight))
        assert sum("numbers of copies" in str(w.message) for w in caught) == warned
