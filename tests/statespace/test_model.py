"""The E-step and M-step against the joint Gaussian written out, and the contract of the engine."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.engine.blocks import BlockMapper, Threads
from emlearn.engine.errors import DegenerateModelError
from emlearn.statespace._covariances import KINDS
from emlearn.statespace._data import Observations
from emlearn.statespace._linear_gaussian import LinearGaussianModel
from emlearn.statespace._noise import DiagonalNoise, FullNoise
from emlearn.statespace._start_law import UnknownStart
from emlearn.testing import check_latent_variable_model

LENGTHS = (7, 4, 4, 1)


def make_model(transition="full", observation="full", start=None, n_states=2, n_features=3):
    noise = FullNoise() if observation == "full" else DiagonalNoise()
    start = start or UnknownStart()
    floor = np.full(n_features, 1e-6)
    return LinearGaussianModel(noise, start, n_states, KINDS[transition], KINDS[observation], floor)


def evaluate(model, data, params):
    with BlockMapper(model, data, Threads(1)) as e_step:
        return e_step(params)


def take(observations, chosen):
    first = np.cumsum(observations.lengths) - observations.lengths
    rows = np.concatenate([np.arange(first[s], first[s] + observations.lengths[s]) for s in chosen])
    return observations._replace(
        rows=observations.rows[rows],
        lengths=observations.lengths[list(chosen)],
        inputs=observations.inputs[rows],
    )


def observe(make, lengths=LENGTHS, n_inputs=0, missing=0.0, constant=False, seed=0):
    X, inputs = make(lengths, n_inputs=n_inputs, missing=missing, seed=seed)
    return Observations(X, np.array(lengths), inputs, constant)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("n_inputs", [0, 2])
@pytest.mark.parametrize("observation", ["full", "diag", "scalar"])
def test_moments_are_those_of_the_joint_gaussian(make, condition, observation, n_inputs, missing):
    observations = observe(make, n_inputs=n_inputs, missing=missing, constant=n_inputs > 0)
    model = make_model(observation=observation)
    weight = np.array([1.0, 2.0, 0.5, 1.0])
    data = model.prepare(observations, weight)
    params = model.initialize(data, np.random.default_rng(1))
    found, log_likelihood = evaluate(model, data, params)
    system = model.system(params)
    A, C = system.transition, system.observation
    R = system.observation_covariance
    R = np.diag(R) if R.ndim == 1 else R
    total = 0.0
    n, m = 2, 3
    ww, wz, zz = np.zeros((n, n)), np.zeros((n, n + n_inputs)), np.zeros((n + n_inputs,) * 2)
    first, squares = np.zeros(n), np.zeros((n, n))
    k = n + data.n_regressors
    ee, ez = np.zeros((m, m)), np.zeros((m, k))
    for s in range(4):
        part = take(observations, [s])
        extra = np.ones((len(part.rows), data.n_regressors - n_inputs))
        regressors = np.hstack((part.inputs, extra))
        means, V, density = condition(system, part.rows, part.inputs, regressors)
        total += weight[s] * density
        first += weight[s] * (means[0] - system.initial_mean)
        off = means[0] - system.initial_mean
        squares += weight[s] * (np.outer(off, off) + V[0, 0])
        for t in range(len(part.rows) - 1):
            u = part.inputs[t]
            z = np.concatenate((means[t], u))
            w = means[t + 1] - system.dynamics @ z
            noise = V[t + 1, t + 1] - A @ V[t, t + 1] - V[t + 1, t] @ A.T + A @ V[t, t] @ A.T
            ww += weight[s] * (np.outer(w, w) + noise)
            cross = np.outer(w, z)
            cross[:, :n] += V[t + 1, t] - A @ V[t, t]
            wz += weight[s] * cross
            both = np.outer(z, z)
            both[:n, :n] += V[t, t]
            zz += weight[s] * both
        for t, row in enumerate(part.rows):
            there = ~np.isnan(row)
            fill = R[:, there] @ np.linalg.inv(R[np.ix_(there, there)])
            z = np.concatenate((means[t], regressors[t]))
            e = fill @ (row - system.loadings @ z)[there]
            moved = -fill @ C[there]
            left = R - fill @ R[there]
            ee += weight[s] * (np.outer(e, e) + moved @ V[t, t] @ moved.T + left)
            cross = np.outer(e, z)
            cross[:, :n] += moved @ V[t, t]
            ez += weight[s] * cross
    assert_allclose(log_likelihood, total, rtol=1e-11)
    assert_allclose(found.dynamics.squares, ww, atol=1e-10)
    assert_allclose(found.dynamics.cross, wz, atol=1e-10)
    assert_allclose(found.dynamics.regressors, zz, atol=1e-10)
    assert_allclose(found.start.deviation, first, atol=1e-10)
    assert_allclose(found.start.squares, squares, atol=1e-10)
    if observation == "full":
        assert_allclose(found.observation.squares, ee, atol=1e-10)
        assert_allclose(found.observation.cross, ez, atol=1e-10)
    elif not missing:
        assert_allclose(found.observation.squares, np.diagonal(ee), atol=1e-10)
        assert_allclose(found.observation.cross, ez, atol=1e-10)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_unknown_first_states_are_the_limit_of_a_wide_prior(make, condition, flat, missing):
    observations = observe(make, (9,), n_inputs=1, missing=missing)
    model = make_model(start=UnknownStart((0, 1), flat))
    data = model.prepare(observations)
    params = model.initialize(data, np.random.default_rng(1))
    found = model.smooth(data.blocks[0], model.precompute(params), covariances=True)
    wide = 1e5
    system = model.system(params)._replace(initial_covariance=wide * np.eye(2))
    means, V, density = condition(
        system, observations.rows, observations.inputs, observations.inputs
    )
    assert_allclose(found.states.means[0], means, atol=1e-3)
    if flat:
        every = np.array([V[t, t] for t in range(9)])
        assert_allclose(found.covariances, every, atol=1e-3)
        limit = density + np.log(2.0 * np.pi) + np.log(wide)
        assert_allclose(found.log_likelihood[0], limit, atol=1e-3)
    else:
        at = system._replace(
            initial_mean=found.states.means[0, 0], initial_covariance=np.zeros((2, 2))
        )
        _, _, best = condition(at, observations.rows, observations.inputs, observations.inputs)
        assert_allclose(found.log_likelihood[0], best, atol=1e-9)
        for step in 1e-3 * np.vstack((np.eye(2), -np.eye(2))):
            other = at._replace(initial_mean=at.initial_mean + step)
            rows, inputs = observations.rows, observations.inputs
            assert condition(other, rows, inputs, inputs)[2] < best


CASES = [
    ("full", "full", UnknownStart((0, 1), False), (30,), 0),
    ("diag", "diag", UnknownStart(), (12, 9, 9, 5), 2),
    ("scalar", "scalar", UnknownStart(), (12, 9, 9, 5), 0),
    ("full", "full", UnknownStart(), (12, 9, 9, 5), 1),
]


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(("transition", "observation", "start", "lengths", "n_inputs"), CASES)
def test_score_is_the_gradient_and_em_climbs(
    make, transition, observation, start, lengths, n_inputs, missing
):
    observations = observe(make, lengths, n_inputs, missing, constant=n_inputs == 2)
    model = make_model(transition, observation, start)
    data = model.prepare(observations)
    params = model.initialize(data, np.random.default_rng(1))
    last = -np.inf
    for _ in range(6):
        statistics, objective = evaluate(model, data, params)
        assert objective > last
        last, before = objective, params
        params = model.m_step(statistics, params)
    around = model.space(before).coordinates(model.public(before))
    found = around.pull(model.score(statistics, before), np.zeros(around.n_free))
    numeric = []
    for step in 1e-5 * np.eye(around.n_free):
        high, low = (
            evaluate(model, data, model.from_public(around.move(side * step), before))[1]
            for side in (1, -1)
        )
        numeric.append((high - low) / 2e-5)
    assert_allclose(found, numeric, atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize(
    "fixed",
    [
        {"transition_matrix": np.array([[0.5, np.nan], [0.0, np.nan]])},
        {"observation_matrix": np.array([[1.0, 0.0], [np.nan, np.nan], [np.nan, 1.0]])},
        {
            "observation_matrix": np.array([[1.0, np.nan]] * 3),
            "observation_covariance": np.diag([1.0, np.nan, np.nan]) + 0.0,
        },
        {"transition_covariance": np.array([[1.0, np.nan], [np.nan, np.nan]])},
        {"initial_mean": np.array([0.0, np.nan])},
        {"initial_mean": np.zeros(2), "initial_covariance": np.eye(2)},
    ],
)
def test_held_entries_stay_and_em_climbs(make, fixed):
    observations = observe(make, (12, 9, 9, 5), missing=0.2)
    model = make_model()
    data = model.prepare(observations)
    params = model.impose(model.initialize(data, np.random.default_rng(1)), fixed)
    last = -np.inf
    for _ in range(8):
        statistics, objective = evaluate(model, data, params)
        assert objective > last
        last = objective
        params = model.constrained_m_step(statistics, params, fixed)
        for name, held in fixed.items():
            known = ~np.isnan(held)
            assert_allclose(model.public(params)[name][known], held[known], atol=1e-12)


@pytest.mark.parametrize(("transition", "observation"), [("full", "full"), ("diag", "diag")])
def test_contract(make, transition, observation):
    lengths = (30, 30, 25, 30, 28)
    observations = observe(make, lengths, missing=0.1)
    model = make_model(transition, observation, n_states=1)
    check_latent_variable_model(
        model, observations, take=take, sample_weight=np.ones(5), max_iter=20_000
    )


def test_sums_do_not_depend_on_the_mean_of_the_observations(make):
    """Moments are those of residuals: an offset of a million loses no digits."""
    observations = observe(make, (60,), constant=True)
    model = make_model()
    shifted = observations._replace(rows=observations.rows + 1e6)
    data, moved = model.prepare(observations), model.prepare(shifted)
    params = model.initialize(data, np.random.default_rng(1))
    other = params._replace(regression=params.regression + 1e6)
    for _ in range(5):
        one, first = evaluate(model, data, params)
        two, second = evaluate(model, moved, other)
        params, other = model.m_step(one, params), model.m_step(two, other)
    assert_allclose(second, first, rtol=1e-7)
    assert_allclose(other.observation_covariance, params.observation_covariance, rtol=1e-5)


def test_a_flat_prior_needs_observations(make):
    observations = observe(make, (1,))._replace(rows=np.array([[1.0, np.nan, np.nan]]))
    model = replace(make_model(), start=UnknownStart((0, 1)))
    data = model.prepare(observations)
    params = model.initialize(model.prepare(observe(make)), np.random.default_rng(1))
    with pytest.raises(DegenerateModelError, match="do not determine its first state"):
        model.e_step(data.blocks[0], model.precompute(params))
