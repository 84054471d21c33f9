"""EM on models whose maximum, iterates and speed have been published."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from emlearn.engine import BlockMapper, GainBelow, RemainingGain, Status, run_em
from emlearn.engine.convergence import Check

EXACT = RemainingGain(1e-15)


def em_map(model, data, params):
    with BlockMapper(model, data) as expect:
        return model.m_step(expect(params)[0], params)


def minus_objective(model, data):
    like = model.initialize(data, np.random.default_rng(0))

    def function(vector):
        params = model.from_vector(np.atleast_1d(vector), like)
        with BlockMapper(model, data) as expect:
            return -(expect(params)[1] + model.log_prior(params))

    return function


class Never:
    """A test of convergence that is never met."""

    def check(self, objectives, total_weight):
        return Check(False, float("nan"), float("inf"))

    def rounding(self, objective, total_weight):
        return 1e-11


class Spy:
    """An accelerator that proposes nothing and sees every EM step."""

    def start(self):
        return self

    def propose(self, point, image):
        self.point, self.image = point, image

    def update(self, accepted):
        raise AssertionError("nothing was proposed")


def test_linkage_limit(linkage):
    model = linkage.Model()
    result = run_em(model, model.prepare(linkage.X), 0.5, convergence=EXACT, max_iter=100)
    assert result.status is Status.CONVERGED
    assert result.params == pytest.approx(linkage.published["theta"], abs=2e-8)


def test_linkage_iterates(linkage):
    model = linkage.Model()
    data = model.prepare(linkage.X)
    found = [
        run_em(model, data, 0.5, convergence=EXACT, max_iter=k).params
        for k in range(1, len(linkage.published["iterates_from_half"]) + 1)
    ]
    np.testing.assert_allclose(found, linkage.published["iterates_from_half"], atol=5e-9, rtol=0)


def test_rate_in_the_history_is_the_square_of_the_rate_of_the_parameters(linkage):
    model = linkage.Model()
    data = model.prepare(linkage.X)
    result = run_em(model, data, 0.5, convergence=EXACT, max_iter=5)
    assert np.sqrt(result.history[-1].rate) == pytest.approx(linkage.published["rate"], abs=5e-4)


def test_linkage_mode_with_a_prior(linkage):
    model = linkage.Model(a=3.0, b=5.0)
    data = model.prepare(linkage.X)
    result = run_em(model, data, 0.5, convergence=EXACT, max_iter=100)
    assert (np.diff([line.objective for line in result.history]) >= 0.0).all()
    direct = minimize_scalar(minus_objective(model, data), bracket=(-1.0, 1.0))
    assert result.objective == pytest.approx(-direct.fun, abs=1e-10)
    assert model.to_vector(result.params)[0] == pytest.approx(direct.x, abs=1e-5)
    assert result.params < linkage.published["theta"] - 0.005


def test_london_deaths_limit(london):
    # EM takes 1100 steps for a digit here, so it starts where it should end.
    params = london.Params(*(np.array(london.published[key]) for key in ("weights", "rates")))
    for _ in range(2000):
        params = em_map(london.model, london.data, params)
    np.testing.assert_allclose(params.weights, london.published["weights"], atol=5e-7)
    np.testing.assert_allclose(params.rates, london.published["rates"], atol=5e-7)
    with BlockMapper(london.model, london.data) as expect:
        log_likelihood = expect(params)[1]
    assert log_likelihood == pytest.approx(london.published["log_likelihood"], abs=1e-9)


@pytest.mark.parametrize("tol", [1e-6, 1e-7, 1e-9])
def test_remaining_gain_is_what_remains(london, tol):
    convergence = RemainingGain(tol)
    result = run_em(london.model, london.data, london.start, convergence=convergence, max_iter=5000)
    assert result.converged
    remaining = london.published["log_likelihood"] - result.objective
    assert remaining <= 1.2 * tol * london.days.sum()
    assert result.history[-1].remaining == pytest.approx(remaining, rel=0.2)


def test_gain_below_stops_while_much_remains(london):
    convergence = GainBelow(1e-7)
    result = run_em(london.model, london.data, london.start, convergence=convergence, max_iter=5000)
    assert result.converged
    remaining = london.published["log_likelihood"] - result.objective
    assert remaining > 50.0 * 1e-7 * london.days.sum()


@pytest.mark.parametrize("case", [0, 1])
def test_london_deaths_number_of_em_maps(london, case):
    published = london.published["plain_em_maps"][case]
    start = london.Params(*(np.array(published["start"][key]) for key in ("weights", "rates")))
    model, spy = london.model, Spy()

    def parameters(vector):
        weights, rates = model.from_vector(vector, start)
        return np.array([weights[0], *rates])

    def has_settled(n_iter, iteration):
        if n_iter == 0:
            return False
        step = parameters(spy.image) - parameters(spy.point)
        return np.linalg.norm(step) < published["tol_on_step_norm"]

    result = run_em(
        model,
        london.data,
        start,
        convergence=Never(),
        max_iter=3000,
        accelerator=spy,
        callback=has_settled,
    )
    assert result.status is Status.STOPPED
    assert result.n_iter == published["maps"]
    assert result.n_e_steps == published["maps"] + 1


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_london_deaths_mode_with_priors(london, alpha):
    model = london.Model(alpha=alpha, shape=40.0, rate=20.0)
    data = model.prepare(london.X, london.days)
    result = run_em(model, data, london.start, convergence=EXACT, max_iter=5000)
    assert result.converged
    assert min(line.gain for line in result.history[1:]) >= 0.0
    direct = minimize(
        minus_objective(model, data), model.to_vector(london.start), options={"gtol": 1e-6}
    )
    assert result.objective == pytest.approx(-direct.fun, abs=1e-8)
    np.testing.assert_allclose(model.to_vector(result.params), direct.x, atol=1e-3)


def test_weighted_days_are_repeated_days(london):
    repeated = london.model.prepare(np.repeat(london.X, london.days.astype(int)))
    runs = [
        run_em(london.model, data, london.start, convergence=RemainingGain(1e-4), max_iter=200)
        for data in (london.data, repeated)
    ]
    assert runs[0].n_iter == runs[1].n_iter
    assert runs[0].objective == pytest.approx(runs[1].objective, rel=1e-12)
    np.testing.assert_allclose(runs[0].params.rates, runs[1].params.rates, rtol=1e-10)
