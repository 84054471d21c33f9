"""Stepwise EM: closed forms, the weight of rows, memory, and what a stream keeps."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.distributions import Gaussian, Mixture, Poisson
from emlearn.engine import StepwisePlan
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
