"""Bootstrap of each estimator: labels, sequences, levels, missing entries, priors."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM, MissingDataImputerEM
from emlearn.datasets import load_old_faithful
from emlearn.distributions import Categorical, Mixture, Poisson
from emlearn.inference import bootstrap
from emlearn.inference._alignment import align, best_order, responsibilities_of

FAITHFUL = load_old_faithful().data
LENGTHS = [34] * 8


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def with_holes(X, seed=0, fraction=0.15):
    holes = np.random.default_rng(seed).random(X.shape) < fraction
    return np.where(holes, np.nan, X)


def answers(n=120, seed=0):
    """Answers of two classes; a few answer 2, which some resamples lose."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < 0.4
    one, two = rng.choice(2, (n, 4), p=[0.8, 0.2]), rng.choice(2, (n, 4), p=[0.2, 0.8])
    X = np.where(first[:, None], one, two).astype(float)
    X[:2, 0] = 2.0
    return X


FITS = {
    "gaussian": (lambda: GaussianMixtureEM(3, random_state=0), FAITHFUL, {}),
    "tied": (
        lambda: GaussianMixtureEM(3, covariance_type="tied", random_state=0),
        FAITHFUL,
        {},
    ),
    "factor": (
        lambda: GaussianMixtureEM(3, covariance_type="factor", n_factors=1, random_state=0),
        FAITHFUL,
        {},
    ),
    "family": (lambda: FiniteMixtureEM(3, random_state=0), FAITHFUL, {}),
    "categories": (
        lambda: FiniteMixtureEM(2, family=Categorical(), random_state=0),
        answers(),
        {},
    ),
    "chain": (
        lambda: HiddenMarkovEM(2, startprob_alpha=1.0, random_state=0),
        FAITHFUL,
        {"lengths": LENGTHS},
    ),
    "imputer": (
        lambda: MissingDataImputerEM(2, random_state=0),
        with_holes(FAITHFUL),
        {},
    ),
}


def fitted(name):
    make, X, given_ = FITS[name]
    return make().fit(X, **given_), X, given_


@pytest.mark.parametrize("name", FITS)
def test_labels_of_a_permuted_refit_are_found(name):
    full, X, given_ = fitted(name)
    lengths = given_.get("lengths")
    reference = responsibilities_of(full, X, lengths)
    other, _, _ = fitted(name)
    n = reference.shape[1]
    other._permute_labels(np.roll(np.arange(n), 1))
    before, permuted = full._published_parameters(), other._published_parameters()
    assert any(not np.allclose(before[key], permuted[key]) for key in before)
    # A permuted model is the same model.
    np.testing.assert_allclose(other.score(X, **given_), full.score(X, **given_))
    align(other, full, reference, X, lengths)
    for key, value in other._published_parameters().items():
        np.testing.assert_array_equal(value, before[key])


@given(st.permutations(range(4)), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_best_order_undoes_permutations(order, seed):
    rng = np.random.default_rng(seed)
    labels = rng.dirichlet(np.full(4, 0.1), size=200)
    noisy = 0.9 * labels + 0.1 * rng.dirichlet(np.ones(4), size=200)
    found = best_order(labels, noisy[:, order])
    np.testing.assert_array_equal(np.array(order)[found], np.arange(4))
    kept = best_order(labels, noisy[:, order], known=4)
    np.testing.assert_array_equal(kept, np.arange(4))


def test_equal_components_keep_their_numbers():
    labels = np.full((10, 3), 1 / 3)
    np.testing.assert_array_equal(best_order(labels, labels), [0, 1, 2])


@pytest.mark.parametrize("kind", ["nonparametric", "parametric", "bayesian"])
@pytest.mark.parametrize("name", FITS)
def test_labels_stay_together(name, kind):
    full, X, given_ = fitted(name)
    result = bootstrap(full, X, kind=kind, n_resamples=15, random_state=0, **given_)
    assert result.n_failed == 0
    for key, value in full._published_parameters().items():
        assert result.replicates[key].shape == (15, *value.shape)
        np.testing.assert_array_equal(result.estimates[key], value)
    name_of_mean = {"gaussian": "means", "tied": "means", "imputer": "means"}.get(name, "mean")
    if name_of_mean in result.estimates:
        errors = result.standard_errors[name_of_mean]
        gap = np.abs(result.replicates[name_of_mean] - result.estimates[name_of_mean])
        assert (gap < 6.0 * errors + 1e-9).all()
        assert (errors < X[~np.isnan(X).any(axis=1)].std(axis=0)).all()


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEV"])
def test_refits_keep_the_structure(covariance_type):
    X = with_holes(FAITHFUL)
    full = GaussianMixtureEM(2, covariance_type=covariance_type, random_state=0).fit(X)
    result = bootstrap(full, X, n_resamples=5, random_state=0)
    covariances = result.replicates["covariances"]
    assert covariances.shape[1:] == full.covariances_.shape
    if covariance_type == "EEV":
        values = np.linalg.eigvalsh(covariances)
        np.testing.assert_allclose(values[:, 0], values[:, 1], rtol=1e-6)


def test_replicates_are_fits_to_the_resamples():
    full = GaussianMixtureEM(2, tol=1e-13, random_state=0).fit(FAITHFUL)
    result = bootstrap(full, FAITHFUL, n_resamples=3, random_state=0)
    refits = result._refits
    tasks = np.random.SeedSequence(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    for b, seed in enumerate(tasks.spawn(2)[1].spawn(3)):
        weight = refits.units.draw("nonparametric", np.random.default_rng(seed))
        assert weight.sum() == 272
        own = GaussianMixtureEM(
            2, tol=1e-13, means_init=full.means_, weights_init=full.weights_
        ).fit(FAITHFUL.repeat(weight.astype(int), axis=0))
        np.testing.assert_allclose(result.replicates["means"][b], own.means_, rtol=1e-5)


def test_lost_levels_keep_their_place():
    X = answers()
    family = Categorical(alpha=0.5)
    full = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    result = bootstrap(full, X, n_resamples=40, random_state=0)
    lost = np.isclose(result.replicates["probability"][:, :, 0, 2].max(axis=1), 0.0, atol=0.02)
    assert 1 <= lost.sum() < 20
    assert result.n_failed == 0
    # A lost level keeps its pseudo-rows.
    assert (result.replicates["probability"][:, :, 0, 2] > 1e-3).all()
    np.testing.assert_allclose(result.replicates["probability"].sum(axis=3), 1.0)


def test_levels_of_columns_of_different_families():
    X = np.column_stack((answers(), np.random.default_rng(0).poisson(3, 120)))
    family = [(Mixture(Categorical(), 2), slice(0, 4)), (Poisson(), [4])]
    full = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    result = bootstrap(full, X, n_resamples=20, random_state=0)
    assert result.n_failed == 0
    assert result.replicates["probability"].shape[1:] == (2, 2, 4, 3)


def test_named_columns():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(with_holes(FAITHFUL), columns=["length", "wait"])
    family = [("gaussian", ["wait"]), ("gaussian", ["length"])]
    full = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    for kind in ("nonparametric", "parametric"):
        result = bootstrap(full, X, kind=kind, n_resamples=4, random_state=0)
        assert result.n_failed == 0
        assert result.replicates["mean_0"].shape == (4, 2, 1)
    polars = pytest.importorskip("polars")
    X = polars.DataFrame(FAITHFUL, schema=["length", "wait"])
    full = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    assert bootstrap(full, X, kind="parametric", n_resamples=4, random_state=0).n_failed == 0


def test_rows_from_the_model_are_missing_where_those_of_the_data_are():
    X = np.random.default_rng(0).normal(size=(120, 2)) @ [[1.0, 0.6], [0.0, 0.8]]
    X[:90, 1] = np.nan
    full = GaussianMixtureEM(1, reg_covar=0.0).fit(X)
    result = bootstrap(full, X, kind="parametric", n_resamples=250, random_state=0)
    errors, S = result.standard_errors["means"][0], full.covariances_[0]
    assert errors[0] == pytest.approx(np.sqrt(S[0, 0] / 120), rel=0.18)
    # Anderson (1957): the mean of a column with a quarter of its entries, through the regression.
    rho2 = S[0, 1] ** 2 / S[0, 0] / S[1, 1]
    variance = S[1, 1] * ((1 - rho2) / 30 + rho2 / 120)
    assert errors[1] == pytest.approx(np.sqrt(variance), rel=0.18)
    assert errors[1] > 1.4 * np.sqrt(S[1, 1] / 120)


def test_known_classes_are_not_renumbered():
    rng = np.random.default_rng(0)
    X = np.concatenate((rng.normal(0, 1, (60, 1)), rng.normal(1, 1, (60, 1))))
    y = np.array(["a"] * 60 + ["b"] * 60, object)
    y[rng.random(120) < 0.5] = None
    full = FiniteMixtureEM(use_labels=True, random_state=0).fit(X, y)
    for kind in ("nonparametric", "parametric"):
        result = bootstrap(full, X, y, kind=kind, n_resamples=30, random_state=0)
        assert result.n_failed == 0
        assert (np.diff(result.replicates["mean"][:, :, 0], axis=1) > 0).mean() > 0.9


def test_lost_classes_are_failures():
    X = np.random.default_rng(0).normal(size=(20, 1))
    y = np.full(20, -1)
    y[0], y[1] = 0, 1
    full = FiniteMixtureEM(2, use_labels=True, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="no row of known class"):
        result = bootstrap(full, X, y, kind="parametric", n_resamples=20, random_state=0)
    assert 0 < result.n_failed < 20


def test_sequences():
    full = HiddenMarkovEM(2, random_state=0).fit(FAITHFUL)
    with pytest.raises(ValueError, match="there is only one"):
        bootstrap(full, FAITHFUL)
    result = bootstrap(full, FAITHFUL, kind="parametric", n_resamples=60, random_state=0)
    long = full.means_[:, 0].argmax()
    n_long = full.predict_proba(FAITHFUL)[:-1, long].sum()
    move = full.transmat_[long, long]
    # As for a share of this many eruptions, which are almost known to be long.
    expected = np.sqrt(move * (1 - move) / n_long)
    assert result.standard_errors["transmat"][long, long] == pytest.approx(expected, rel=0.25)
    with pytest.raises(ValueError, match="only one sequence"):
        result.confidence_interval(method="bca")


def test_sequences_are_resampled_as_a_whole():
    rng = np.random.default_rng(0)
    rate = rng.gamma(2.0, 1.0, 20)
    X = np.repeat(np.round(50 * rate), 5)[:, None]
    full = HiddenMarkovEM(1, family=Poisson(alpha=0.0)).fit(X, lengths=[5] * 20)
    result = bootstrap(full, X, lengths=[5] * 20, n_resamples=400, random_state=0)
    expected = X[::5].std() / np.sqrt(20)
    assert result.standard_errors["rate"][0, 0] == pytest.approx(expected, rel=0.15)
    assert result.acceleration["rate"].shape == (1, 1)


def test_prior_of_the_imputer_does_not_change():
    X = with_holes(FAITHFUL[:12])
    full = MissingDataImputerEM().fit(X)
    result = bootstrap(
        full, X, n_resamples=5, random_state=0, statistic=lambda imputer: imputer.alpha_
    )
    np.testing.assert_array_equal(result.replicates["statistic"], full.alpha_)


def test_factors_are_rotated_to_those_of_the_fit():
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(6, 2))
    X = rng.normal(size=(200, 2)) @ loadings.T + 0.5 * rng.normal(size=(200, 6))
    full = MissingDataImputerEM(n_factors=2, random_state=0).fit(with_holes(X))
    result = bootstrap(full, with_holes(X), n_resamples=10, random_state=0)
    common = full.loadings_ @ full.loadings_.T
    turned = full.loadings_ @ np.array([[0.6, -0.8], [0.8, 0.6]])
    other = MissingDataImputerEM(n_factors=2, random_state=0).fit(with_holes(X))
    other.loadings_ = turned
    other._rotate_to(full)
    np.testing.assert_allclose(other.loadings_, full.loadings_, atol=1e-10)
    np.testing.assert_allclose(other.loadings_ @ other.loadings_.T, common, atol=1e-10)
    assert (result.standard_errors["loadings"] < 0.3).all()


def test_table_with_categories_needs_a_statistic():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"size": rng.normal(size=60), "kind": rng.choice(["a", "b"], 60)})
    X.loc[::7, "size"] = np.nan
    full = MissingDataImputerEM(1, model="classes").fit(X)
    with pytest.raises(ValueError, match="Give a statistic"):
        bootstrap(full, X, n_resamples=3)

    def mean(imputer):
        return imputer.transform(X)["size"].mean()

    for kind in ("nonparametric", "parametric"):
        result = bootstrap(full, X, kind=kind, n_resamples=5, random_state=0, statistic=mean)
        assert result.replicates["statistic"].shape == (5,)
