"""Stepwise EM: closed forms, the weight of rows, memory, and what a stream keeps."""

import functools
import itertools
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.distributions import Bernoulli, Gaussian, Mixture, NegativeBinomial, Poisson
from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.engine import StepwisePlan, add_statistics
from emlearn.engine.stepwise import Stream
from emlearn.latent import LabelModel, MixtureLaw
from emlearn.latent.starts import STARTS

ONE_PASS = StepwisePlan(1.0, burn_in=50)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4000, 3)) + 4.0 * rng.integers(0, 3, (4000, 1))


def streamed(estimator, X, size=150, **vectors):
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        estimator.partial_fit(X[part], **{name: own[part] for name, own in vectors.items()})
    return estimator


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_one_component_has_the_moments_of_all_rows(rows, covariance_type):
    """Nothing is latent: with exponent 1 the statistics are those of all rows, exactly."""
    settings = {"covariance_type": covariance_type, "reg_covar": 0.0}
    found = streamed(GaussianMixtureEM(1, stepwise=ONE_PASS, **settings), rows)
    exact = GaussianMixtureEM(1, **settings).fit(rows)
    np.testing.assert_allclose(found.means_, exact.means_, rtol=1e-12)
    np.testing.assert_allclose(found.covariances_, exact.covariances_, rtol=1e-11)
    assert found.n_iter_ > 10
    assert not found.converged_


def test_counts_of_known_classes(rows):
    """Nothing is latent either: relative frequencies and means of the classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    X = rng.poisson(2.0 + 3.0 * y[:, None], (2000, 2))
    family = Poisson(alpha=0.0)
    found = FiniteMixtureEM(family=family, use_labels=True, stepwise=ONE_PASS)
    streamed(found, X, y=y)
    np.testing.assert_allclose(found.weights_, np.bincount(y) / 2000.0, rtol=1e-12)
    means = [X[y == k].mean(axis=0) for k in (0, 1)]
    np.testing.assert_allclose(found.component_params_["rate"], means, rtol=1e-12)
    with pytest.raises(ValueError, match="the class 7, which the first rows did not have"):
        found.partial_fit(X[:3], [0, 1, 7])


@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_close_to_the_exact_fit(rows, holes):
    X = rows.copy()
    X[np.random.default_rng(1).random(X.shape) < holes] = np.nan
    exact = GaussianMixtureEM(3, random_state=0).fit(X)
    found = streamed(GaussianMixtureEM(3, random_state=0), X)
    assert found.score(X) == pytest.approx(exact.score(X), abs=2e-3)
    many = GaussianMixtureEM(3, random_state=0)
    for _ in range(8):
        streamed(many, X)
    assert exact.score(X) - many.score(X) < 0.3 * (exact.score(X) - found.score(X)) + 1e-6


def test_after_a_fit(rows):
    first, more = rows[:2000], rows[2000:]
    exact = GaussianMixtureEM(1, reg_covar=0.0).fit(rows)
    found = GaussianMixtureEM(1, reg_covar=0.0, stepwise=StepwisePlan(1.0)).fit(first)
    found.partial_fit(more)
    np.testing.assert_allclose(found.means_, exact.means_, rtol=1e-12)
    np.testing.assert_allclose(found.covariances_, exact.covariances_, rtol=1e-11)
    # A fit starts anew.
    found.fit(more)
    assert found.log_likelihood_ == GaussianMixtureEM(1, reg_covar=0.0).fit(more).log_likelihood_


def test_weights_are_copies(rows):
    weight = np.random.default_rng(2).integers(0, 3, 1000).astype(float)
    plan = StepwisePlan(0.8, burn_in=100, batch_rows=10**6)
    settings = {"init_params": "kmeans", "random_state": 0, "stepwise": plan}
    weighted = GaussianMixtureEM(2, **settings)
    copied = GaussianMixtureEM(2, **settings)
    for start in range(0, 1000, 250):
        part = slice(start, start + 250)
        weighted.partial_fit(rows[part], sample_weight=weight[part])
        copied.partial_fit(np.repeat(rows[part], weight[part].astype(int), axis=0))
    np.testing.assert_allclose(weighted.means_, copied.means_, rtol=1e-7)


def test_large_calls_are_cut(rows):
    plan = StepwisePlan(0.7, batch_rows=100, burn_in=400)
    settings = {"random_state": 0, "stepwise": plan, "init_params": "kmeans"}
    large = GaussianMixtureEM(2, **settings).partial_fit(rows[:400]).partial_fit(rows[400:2000])
    small = GaussianMixtureEM(2, **settings).partial_fit(rows[:400])
    streamed(small, rows[400:2000], 100)
    assert large.n_iter_ == small.n_iter_ == 16
    np.testing.assert_array_equal(large.means_, small.means_)


def test_memory_follows_a_drift():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 1)) + np.linspace(0.0, 8.0, 8000)[:, None]
    forgetful = streamed(GaussianMixtureEM(1, stepwise=StepwisePlan(memory=400)), X)
    plain = streamed(GaussianMixtureEM(1, stepwise=StepwisePlan(1.0)), X)
    assert forgetful.means_[0, 0] == pytest.approx(8.0, abs=0.6)
    assert plain.means_[0, 0] == pytest.approx(4.0, abs=0.1)


def test_averages(rows):
    plain = streamed(GaussianMixtureEM(1, stepwise=StepwisePlan(0.6, batch_rows=50)), rows)
    plan = StepwisePlan(0.6, batch_rows=50, average=True)
    averaged = streamed(GaussianMixtureEM(1, stepwise=plan), rows)
    target = rows.mean(axis=0)
    assert np.abs(averaged.means_ - target).sum() < np.abs(plain.means_ - target).sum()


@pytest.mark.parametrize(
    "family",
    [Gaussian("full"), Gaussian("tied"), Gaussian("EEV"), Mixture(Gaussian("diag"))],
    ids=repr,
)
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_moved_statistics_are_those_at_the_other_means(family, holes):
    """The same responsibilities and completed rows, moments about other means."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X[rng.random(X.shape) < holes] = np.nan
    model = LabelModel(MixtureLaw(2), family, STARTS["rows"])
    from emlearn.latent import Observations

    data = model.prepare(Observations(X))
    params = model.initialize(data, rng)
    statistics, _ = model.e_step(data.blocks[0], model.precompute(params))
    moved = model.m_step(statistics, params)
    back = model.recentered(model.recentered(statistics, params, moved), moved, params)
    for found, own in zip(np.ravel(_flat(back)), np.ravel(_flat(statistics)), strict=True):
        assert found == pytest.approx(own, abs=1e-9)
    # About their own means, the first moments are 0, and another M-step changes nothing.
    at_means = model.recentered(statistics, params, moved)
    again = model.m_step(at_means, moved)
    np.testing.assert_allclose(
        _flat(model.public(again)), _flat(model.public(moved)), rtol=1e-8, atol=1e-10
    )


def _flat(tree):
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple):
        return np.concatenate([_flat(part) for part in tree])
    return np.ravel(tree)


def test_a_stream_can_be_pickled_and_cloned(rows):
    found = streamed(GaussianMixtureEM(2, random_state=0), rows[:2000])
    copied = pickle.loads(pickle.dumps(found))
    assert len(pickle.dumps(found)) < 40_000
    found.partial_fit(rows[2000:])
    copied.partial_fit(rows[2000:])
    np.testing.assert_array_equal(found.means_, copied.means_)
    assert not hasattr(clone(found), "means_")


def test_the_burn_in_is_fitted_exactly(rows):
    plan = StepwisePlan(burn_in=600)
    found = GaussianMixtureEM(2, random_state=0, stepwise=plan)
    found.partial_fit(rows[:200])
    np.testing.assert_array_equal(
        found.means_, GaussianMixtureEM(2, random_state=0).fit(rows[:200]).means_
    )
    found.partial_fit(rows[200:600])
    np.testing.assert_array_equal(
        found.means_, GaussianMixtureEM(2, random_state=0).fit(rows[:600]).means_
    )
    assert found.n_iter_ == 0
    assert isinstance(found._stream, Stream)
    assert found._waiting is None


def test_rows_of_weight_zero_and_single_rows(rows):
    found = streamed(GaussianMixtureEM(2, random_state=0), rows[:1000])
    before = found.means_.copy()
    with pytest.raises(ValueError, match="all rows have weight 0"):
        found.partial_fit(rows[:5], sample_weight=np.zeros(5))
    np.testing.assert_array_equal(found.means_, before)
    found.partial_fit(rows[:1])
    assert np.isfinite(found.means_).all()


def test_columns_are_those_of_the_first_call(rows):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=list("abc"))
    found = GaussianMixtureEM(2, random_state=0).partial_fit(frame[:900])
    assert found.feature_names_in_.tolist() == list("abc")
    with pytest.raises(ValueError, match="feature names"):
        found.partial_fit(frame[:9].rename(columns={"a": "z"}))
    found = GaussianMixtureEM(2, random_state=0).partial_fit(rows[:900])
    with pytest.raises(ValueError, match="X has 2 features"):
        found.partial_fit(rows[:9, :2])


def test_blocks_one_after_the_other(rows):
    found = GaussianMixtureEM(2, random_state=0).partial_fit(ArrayBlocks(rows, block_rows=150))
    np.testing.assert_array_equal(
        found.means_, streamed(GaussianMixtureEM(2, random_state=0), rows).means_
    )
    with pytest.raises(ValueError, match="block by block"):
        found.partial_fit(ArrayBlocks(rows), sample_weight=np.ones(len(rows)))


def test_held_parameters_stay(rows):
    fixed = {"weights": [0.25, 0.75]}
    found = streamed(GaussianMixtureEM(2, fixed=fixed, random_state=0), rows)
    assert found.weights_.tolist() == [0.25, 0.75]


def test_too_few_first_rows(rows):
    with pytest.raises(ValueError, match="n_samples >= n_components"):
        GaussianMixtureEM(5).partial_fit(rows[:3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exponent": 0.5}, "exponent=0.5"),
        ({"exponent": 1.1}, "exponent=1.1"),
        ({"batch_rows": 0}, "batch_rows=0"),
        ({"burn_in": 0}, "burn_in=0"),
        ({"memory": 0.5}, "memory=0.5"),
    ],
)
def test_invalid_plans(settings, message):
    with pytest.raises(ValueError, match=message):
        StepwisePlan(**settings)


def test_the_plan_is_checked(rows):
    with pytest.raises(ValueError, match="stepwise"):
        GaussianMixtureEM(2, stepwise="fast").partial_fit(rows)


@pytest.mark.parametrize("exponent", [0.6, 0.9, 1.0])
@pytest.mark.parametrize("memory", [None, 700.0, 5000.0])
def test_what_rows_count_does_not_depend_on_the_batches(exponent, memory):
    plan = StepwisePlan(exponent, memory=memory)
    edges = [300.0, 301.0, 950.0, 1100.0, 4000.0, 4001.5, 20000.0]
    kept = [1.0 - plan.fraction(a, b) for a, b in itertools.pairwise(edges)]
    assert np.prod(kept) == pytest.approx(1.0 - plan.fraction(edges[0], edges[-1]), rel=1e-10)


def test_fractions_of_batches():
    assert StepwisePlan(1.0).fraction(900.0, 1000.0) == pytest.approx(0.1, rel=1e-12)
    # Before the first `batch_rows`, all rows count the same.
    assert StepwisePlan(0.6).fraction(300.0, 400.0) == pytest.approx(0.25, rel=1e-12)
    # Batch t counts t to the power of minus the exponent.
    late = StepwisePlan(0.7, batch_rows=10).fraction(9990.0, 10000.0)
    assert late == pytest.approx(1000.0**-0.7, rel=0.01)
    # With a memory, e-fold in that many rows, in whatever batches.
    plan = StepwisePlan(memory=5000.0)
    assert plan.fraction(1e6, 1e6 + 5000.0) == pytest.approx(1.0 - np.exp(-1.0), rel=1e-9)
    assert StepwisePlan(memory=20.0).fraction(10.0, 20.0) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("size", [1, 10, 100])
def test_memory_in_calls_of_any_size(size):
    """What is left of the first rows after `memory` later ones."""
    plan = StepwisePlan(memory=200.0, burn_in=1000)
    noise = np.where(np.arange(1000) % 2, 1.0, -1.0)[:, None]
    found = GaussianMixtureEM(1, stepwise=plan).partial_fit(10.0 + noise)
    later = np.repeat([[1.0], [-1.0]], 100, axis=0) if size == 100 else noise[:200]
    streamed(found, later, size)
    assert found.means_[0, 0] == pytest.approx(10.0 * np.exp(-1.0), abs=0.7)


@pytest.mark.parametrize("family", [Poisson(), Gaussian("diag")], ids=repr)
def test_weight_beyond_a_batch_is_copies(rows, family):
    """Copies are cut into more batches; what they count is the same."""
    X = np.abs(rows[:1200]).round()
    plan = StepwisePlan(0.7, burn_in=200, batch_rows=100)
    weight = np.full(500, 3.0)
    settings = {"family": family, "random_state": 0, "stepwise": plan}
    weighted = FiniteMixtureEM(1, **settings).partial_fit(X[:200])
    copied = FiniteMixtureEM(1, **settings).partial_fit(X[:200])
    weighted.partial_fit(X[200:700], sample_weight=weight)
    copied.partial_fit(np.repeat(X[200:700], 3, axis=0))
    assert copied.n_iter_ == 3 * weighted.n_iter_
    name = family.public_names[0]
    gap = weighted.component_params_[name] - copied.component_params_[name]
    # One component, so that the statistics do not depend on the steps.
    assert np.abs(gap).max() < 0.05


def test_many_passes_end_at_the_maximum(rows):
    """Each pass is a step of EM with exponent near 1/2; the gap of the likelihood falls."""
    X = rows[:1000] * 0.5  # overlapping
    exact = GaussianMixtureEM(3, random_state=0, tol=1e-10, max_iter=5000).fit(X)
    found = GaussianMixtureEM(3, random_state=0, stepwise=StepwisePlan(0.6, batch_rows=100))
    gaps = []
    for _ in range(3):
        for _ in range(20):
            found.partial_fit(X)
        gaps.append(exact.score(X) - found.score(X))
    assert gaps[-1] < gaps[0]
    assert gaps[-1] < 1e-3


def test_averages_are_better_than_single_steps(rows):
    """Not worse than without, where steps are large."""
    X = rows * 0.6
    exact = GaussianMixtureEM(3, random_state=0).fit(X).score(X)
    gaps = {}
    for average in (False, True):
        plan = StepwisePlan(0.55, batch_rows=50, average=average)
        found = streamed(GaussianMixtureEM(3, random_state=0, stepwise=plan), X)
        gaps[average] = exact - found.score(X)
    assert gaps[True] < gaps[False]


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEV", "factor"])
def test_recentered_moments_are_those_of_the_rows(covariance_type):
    """With the same responsibilities, summed over rows about the other means."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 4))
    n_factors = 1 if covariance_type == "factor" else None
    family = Gaussian(covariance_type, n_factors=n_factors)
    spec = family.column_spec(X)
    encoded = family.encode(X, spec)
    responsibilities = rng.dirichlet([1.0, 1.0], 200).T.copy()
    params = family.start(encoded, rng.dirichlet([1.0, 1.0], 200).T.copy(), spec, rng)
    other = params._replace(mean=params.mean + rng.normal(size=params.mean.shape))
    there = family.sufficient_statistics(encoded, responsibilities, family.precompute(params, spec))
    here = family.sufficient_statistics(encoded, responsibilities, family.precompute(other, spec))
    np.testing.assert_allclose(
        _flat(family.recentered(there, params, other)), _flat(here), rtol=1e-9, atol=1e-9
    )


def test_recentered_moments_of_one_gaussian():
    """The same filled rows and conditional covariances, about another mean."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(150, 3))
    X[rng.random(X.shape) < 0.25] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    model = OneGaussian()
    data = model.prepare(X)
    params = model.initialize(data, rng)
    statistics = functools.reduce(
        add_statistics, (model.e_step(own, model.precompute(params))[0] for own in data.blocks)
    )
    shifted = params._replace(mean=params.mean + np.array([0.3, -0.2, 0.5]))
    moved = model.recentered(statistics, params, shifted)
    # The M-step is that of the same moments, so the parameters are the same.
    own, other = model.m_step(statistics, params), model.m_step(moved, shifted)
    np.testing.assert_allclose(other.mean, own.mean, atol=1e-12)
    np.testing.assert_allclose(other.covariance, own.covariance, atol=1e-12)


def test_rows_that_are_impossible_are_named(rows):
    found = streamed(GaussianMixtureEM(2, random_state=0), rows[:2000])
    before = found.means_.copy()
    bad = rows[:1500].copy()
    bad[1203, 1] = 1e200
    with pytest.raises(ValueError, match="Row 1203 of X is so far from"):
        found.partial_fit(bad)
    np.testing.assert_array_equal(found.means_, before)
    assert np.isfinite(found.partial_fit(rows[:100]).lower_bound_)
    # What no component has seen is learned, also without a prior.
    coins = FiniteMixtureEM(1, family=Bernoulli(alpha=0.0), stepwise=ONE_PASS)
    coins.partial_fit(np.zeros((600, 2))).partial_fit([[0.0, 0.0]] * 3 + [[1.0, 0.0]])
    assert coins.component_params_["probability"][0, 0] == pytest.approx(1.0 / 604.0)


def test_a_fit_that_fails_ends_the_stream(rows):
    found = streamed(GaussianMixtureEM(2, random_state=0), rows[:1000])
    with pytest.raises(ValueError, match="n_samples >= n_components"):
        found.set_params(n_components=9).fit(rows[:3, :2])
    found.set_params(n_components=2).partial_fit(rows[:1000, :2])
    assert found.means_.shape == (2, 2)


def test_a_component_dies():
    """Its weight falls to 0; nothing overflows, and the others go on."""
    rng = np.random.default_rng(0)
    plan = StepwisePlan(memory=30.0)
    for estimator in (
        GaussianMixtureEM(2, random_state=0, stepwise=plan),
        FiniteMixtureEM(2, family=Poisson(alpha=0.0), random_state=0, stepwise=plan),
        FiniteMixtureEM(2, family=NegativeBinomial(), random_state=0, stepwise=plan),
    ):
        first = rng.poisson(np.repeat([3.0, 60.0], 300)[:, None], (600, 2)).astype(float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            estimator.partial_fit(first)
        more = rng.poisson(3.0, (12_000, 2)).astype(float)
        streamed(estimator, more, 60)
        assert estimator.weights_.min() < 1e-30
        assert estimator.weights_.max() == 1.0
        assert np.isfinite(estimator.score(first))
        assert estimator.predict(more[:50]).std() == 0.0
