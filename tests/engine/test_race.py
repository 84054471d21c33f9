"""A race of starts: who goes on, who is left behind, who is finished."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.distributions import Gaussian
from emlearn.engine import (
    DegenerateModelError,
    EMResult,
    Heat,
    History,
    Penalty,
    RacePlan,
    RemainingGain,
    Status,
    StopSignal,
    Threads,
    race,
    run_em,
)
from emlearn.engine.race import Entrant, _without_copies
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.candidates import MixedStarts

TIGHT = RemainingGain(1e-10)


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [4, 0], [0, 4], [4.5, 4.5]])
    return centers[rng.integers(4, size=400)] + rng.normal(size=(400, 2))


def model_of(X, K=4, covariance_type="full"):
    model = LabelModel(MixtureLaw(K), Gaussian(covariance_type, alpha=0.0), MixedStarts())
    return model, model.prepare(Observations(X))


def run_race(model, data, plan=None, seed=0, **settings):
    settings = {"convergence": TIGHT, "max_iter": 500, **settings}
    return race(model, data, plan or RacePlan(), np.random.default_rng(seed), **settings)


def test_the_best_is_finished_and_the_others_are_left_behind(X):
    model, data = model_of(X)
    found = run_race(model, data)
    assert found.best.converged
    assert len({restart.seed for restart in found.restarts}) == len(found.restarts) > 5
    own = found.restarts[found.best_index]
    assert (own.status, own.objective) == ("converged", found.best.objective)
    for restart in found.restarts:
        assert restart.status in ("converged", "outrun")
    # It is where plain EM ends from there.
    again = run_em(model, data, found.best.params, convergence=TIGHT, max_iter=500)
    assert again.objective == pytest.approx(found.best.objective, abs=1e-6)
    assert (np.diff([line.objective for line in found.best.history]) > -1e-9).all()


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60000, 2)) + 3.0 * rng.integers(3, size=60000)[:, None]
    model, data = model_of(X, 3)
    assert len(data.blocks) > 2
    ends = [run_race(model, data, max_iter=30, mapper=Threads(n)).best for n in (1, 2, 3)]
    for end in ends[1:]:
        assert end.objective == ends[0].objective
        assert_array_equal(model.to_vector(end.params), model.to_vector(ends[0].params))


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_n_jobs_changes_nothing(X, n_jobs):
    for estimator in (GaussianMixtureEM(4, random_state=0), FiniteMixtureEM(4, random_state=0)):
        one = estimator.fit(X).score_samples(X)
        other = estimator.set_params(n_jobs=n_jobs).fit(X).score_samples(X)
        assert_array_equal(one, other)


def test_more_effort_races_more_starts_of_which_none_is_a_copy(X):
    counts = []
    for n_init in (1, 4):
        restarts = GaussianMixtureEM(4, n_init=n_init, random_state=0).fit(X).restarts_
        counts.append(len(restarts))
        firsts = [restart.objective for restart in restarts]
        assert len(set(firsts)) > len(firsts) // 2
    assert counts[1] > counts[0]


def test_copies_are_dropped():
    def entrant(number, objective, starved=0, optimism=0.0):
        run = EMResult(None, objective, Status.MAX_ITER, "", History(), 1)
        return Entrant(number, run, Penalty(starved, optimism))

    field = [
        entrant(0, -100.0),
        entrant(1, -90.0, optimism=20.0),
        entrant(2, -100.0 * (1.0 + 1e-11)),
        entrant(3, -80.0, starved=1),
        entrant(4, -101.0),
    ]
    # Starved ones come last, whatever their objective; the others less their optimism.
    assert [e.number for e in _without_copies(field)] == [0, 4, 1, 3]


def test_a_run_that_is_resumed_is_one_long_run(X):
    model, data = model_of(X)
    start = model.initialize(data, np.random.default_rng(0))
    whole = run_em(model, data, start, convergence=TIGHT, max_iter=25)
    part = run_em(model, data, start, convergence=TIGHT, max_iter=7, measure_steps=False)
    rest = run_em(model, data, None, convergence=TIGHT, max_iter=25, resume=part)
    assert rest.objective == whole.objective
    assert rest.n_e_steps == whole.n_e_steps
    assert [line.objective for line in rest.history] == [line.objective for line in whole.history]
    assert_array_equal(model.to_vector(rest.params), model.to_vector(whole.params))


def test_starts_that_fail_are_left_out_and_if_all_fail_it_is_said_why(X):
    class Failing(LabelModel):
        def candidates(self, data, rng, n):
            yield from list(super().candidates(data, rng, n))[:keep]

        def m_step(self, statistics, params):
            raise DegenerateModelError("no M-step today")

    keep = 3
    base, _ = model_of(X)
    model = Failing(base.law, base.family, base.initializer)
    found = run_race(model, model.prepare(Observations(X)))
    assert found.best.status is Status.FAILED
    assert found.best.message == "no M-step today"
    with pytest.raises(ValueError, match=r"cannot be fitted: .*singular"):
        GaussianMixtureEM(2, reg_covar=0).fit(np.zeros((10, 2)))


def test_a_reserve_overtakes_a_winner_that_disappoints(X):
    """The first choice starves at its end; the reserve is finished and kept."""

    class Starving(LabelModel):
        def ranking_penalty(self, statistics, params):
            late = len(seen) > 0 and params.law.weights.min() < seen[0]
            return Penalty(int(late))

    seen = []
    base, data = model_of(X)
    model = Starving(base.law, base.family, base.initializer)
    plain = run_race(model, data)
    # Whatever ends with a smaller component than the winner's is now starved.
    seen.append(plain.best.params.law.weights.min() + 1e-3)
    found = run_race(model, data)
    assert found.best.status in (Status.CONVERGED, Status.MAX_ITER)
    assert np.isfinite(found.best.objective)


def test_all_starts_that_agree_are_finished_at_once():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 50.0]
    model, data = model_of(X, 2)
    found = run_race(model, data)
    assert found.best.converged
    assert len(found.restarts) < 10
    assert sum(r.n_e_steps for r in found.restarts) < 40


def test_heats_on_parts_of_large_data():
    rng = np.random.default_rng(0)
    K = 5
    centers = 4.0 * rng.normal(size=(K, 2))
    X = centers[rng.integers(K, size=30000)] + rng.normal(size=(30000, 2))
    plan = RacePlan(heats=(Heat(5, 500, 4, 6), Heat(20, 2000, 4, 3)), n_large=8)
    model, data = model_of(X, K)
    loose = {"convergence": RemainingGain(1e-6), "max_iter": 3000}
    found = run_race(model, data, plan, **loose)
    assert len(found.restarts) <= 3
    assert found.best.converged
    without = run_race(model, data, RacePlan(heats=()), **loose)
    assert found.best.objective == pytest.approx(without.best.objective, abs=0.1)


def test_moves_never_make_it_worse(X):
    model, data = model_of(X, 6)
    plain = run_race(model, data, RacePlan(n_candidates=2))
    moved = run_race(model, data, RacePlan(n_candidates=2, n_moves=6))
    ranks = [
        r.best.objective - model.ranking_penalty(*_ended(model, data, r.best.params)).optimism
        for r in (plain, moved)
    ]
    assert ranks[1] >= ranks[0] - 1e-6


def _ended(model, data, params):
    end = run_em(model, data, params, convergence=TIGHT, max_iter=0)
    return end.statistics, end.params


def test_a_stop_signal_ends_a_race(X):
    model, data = model_of(X)
    stop = StopSignal()
    stop.set()
    found = run_race(model, data, stop=stop)
    assert found.best.params is not None
    assert sum(restart.n_iter for restart in found.restarts) < 20


class Follower:
    def __init__(self, stop_at=None):
        self.told, self.stop_at = [], stop_at

    def begin(self):
        self.told.append("begin")

    def __call__(self, n_iter, iteration):
        self.told.append(n_iter)
        return n_iter == self.stop_at

    def end(self, result):
        self.told.append("end")


def test_an_observer_follows_the_last_run_and_can_stop_it(X):
    model, data = model_of(X, 6)
    follower = Follower()
    found = run_race(model, data, observer=follower)
    assert follower.told[0] == "begin"
    assert follower.told[-1] == "end"
    assert found.best.n_iter in follower.told
    stopper = Follower(stop_at=follower.told[1] + 1)
    assert run_race(model, data, observer=stopper).best.n_iter < found.best.n_iter


# ---- the guard against spurious optima ---------------------------------------------------


@pytest.mark.parametrize(
    ("covariance_type", "formula"),
    [
        ("full", lambda n, d: n * d * (d + 3) / (2 * (n - d - 2))),
        ("diag", lambda n, d: 2 * d * n / (n - 3)),
        ("spherical", lambda n, d: d * (d + 1) * n / (d * (n - 1) - 2)),
        ("tied", lambda n, d: 0.0 * n),
    ],
)
def test_optimism(covariance_type, formula):
    structure = Gaussian(covariance_type).structure
    n = np.array([40.0, 100.0, 1e6])
    np.testing.assert_allclose(structure.optimism(n, 5), formula(n, 5))
    if covariance_type != "tied":
        few = {"full": 7.0, "diag": 3.0, "spherical": 1.4}[covariance_type]
        assert structure.optimism(np.array([few]), 5) == np.inf


def test_optimism_of_full_covariances_is_what_a_fit_gains_over_new_rows():
    rng = np.random.default_rng(0)
    n, d, gaps = 30, 3, []
    for _ in range(3000):
        rows = rng.normal(size=(n, d))
        mean, covariance = rows.mean(axis=0), np.cov(rows.T, bias=True)
        precision = np.linalg.inv(covariance)
        # In expectation over new rows of N(0, I).
        fresh = np.trace(precision) + mean @ precision @ mean
        gaps.append(0.5 * n * (fresh - d))
    expected = Gaussian("full").structure.optimism(np.array([float(n)]), d)[0]
    assert np.mean(gaps) == pytest.approx(expected, rel=0.03)


def test_no_spurious_component_on_wine():
    from sklearn.datasets import load_wine
    from sklearn.metrics import adjusted_rand_score
    from sklearn.preprocessing import StandardScaler

    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    for seed in range(3):
        mixture = GaussianMixtureEM(3, random_state=seed).fit(X)
        assert 178 * mixture.weights_.min() > 30
        assert adjusted_rand_score(y, mixture.predict(X)) > 0.8


# ---- the defaults ------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("d", [5, 10, 40])
@pytest.mark.parametrize("name", ["gaussian", "finite"])
def test_clusters_far_apart_are_found_in_many_dimensions(name, d, covariance_type):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=d)
        labels = rng.integers(2, size=500)
        shift = 10.0 * direction / np.linalg.norm(direction)
        X = rng.normal(size=(500, d)) + labels[:, None] * shift
        if name == "gaussian":
            mixture = GaussianMixtureEM(2, covariance_type=covariance_type, random_state=seed)
        else:
            mixture = FiniteMixtureEM(2, family=Gaussian(covariance_type), random_state=seed)
        found = mixture.fit(X).predict(X)
        assert max((found == labels).mean(), (found != labels).mean()) == 1.0


def test_weights_are_copies(X):
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = GaussianMixtureEM(4, random_state=0).fit(X, sample_weight=weight)
    copies = GaussianMixtureEM(4, random_state=0).fit(np.repeat(X, weight, axis=0))
    assert weighted.log_likelihood_ == pytest.approx(copies.log_likelihood_, abs=1e-3)


def test_order_of_rows_and_shift_change_nothing(X):
    plain = GaussianMixtureEM(4, random_state=0).fit(X)
    order = np.random.default_rng(0).permutation(len(X))
    other = GaussianMixtureEM(4, random_state=0).fit(X[order])
    assert other.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-3)
    moved = GaussianMixtureEM(4, random_state=0).fit(4.0 * X + 1024.0)
    assert moved.log_likelihood_ == pytest.approx(
        plain.log_likelihood_ - X.size * np.log(4.0), abs=1e-3
    )


def test_starts_of_rows_with_holes_constants_and_few_values():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 8.0]
    X[rng.random(X.shape) < 0.2] = np.nan
    X = np.c_[X, np.full(200, 7.0)]
    labels = GaussianMixtureEM(2, random_state=0).fit(X).predict(X)
    side = np.arange(200) >= 100
    assert max((labels == side).mean(), (labels != side).mean()) > 0.95
    few = np.repeat([[0.0, 0.0], [1.0, 1.0], [5.0, 2.0]], 20, axis=0)
    assert GaussianMixtureEM(3, random_state=0).fit(few).predict(few).tolist() != [0] * 60
