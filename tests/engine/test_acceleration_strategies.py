"""The accelerators: exact where theory says so, quick on the Poisson mixture, monotone."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emlearn.engine import (
    ACCELERATORS,
    Anderson,
    Automatic,
    DegenerateModelError,
    GainBelow,
    LatentVariableModel,
    QuasiNewton,
    RemainingGain,
    Squarem,
    Status,
    find_accelerator,
    run_em,
)

NAMES = sorted(ACCELERATORS)


@dataclass(frozen=True)
class Linear(LatentVariableModel):
    """A model whose EM map is x -> x* + diag(rates) (x - x*), with the right objective.

    Close to its limit every EM algorithm is one of these in suitable coordinates.
    """

    rates: tuple = (0.9, 0.99)

    def prepare(self, X, sample_weight=None):
        return np.asarray(X, float)

    def initialize(self, data, rng):
        return data + rng.standard_normal(len(data))

    def e_step(self, block, params):
        error = params - block
        value = -0.5 * error @ ((1.0 - np.array(self.rates)) * error)
        return block + self.rates * error, float(value)

    def m_step(self, statistics, params):
        return statistics

    def to_vector(self, params):
        return params

    def from_vector(self, vector, like):
        return vector


def solve(accelerator, rates, max_iter=400, norm=1e-8):
    model = Linear(rates)
    data = model.prepare(np.arange(len(rates)))
    return run_em(
        model,
        data,
        data + 1.0,
        convergence=GainBelow(0.0),
        max_iter=max_iter,
        accelerator=accelerator,
        callback=lambda _, iteration: iteration.step_norm < norm,
    )


def test_names():
    for name, accelerator in ACCELERATORS.items():
        assert find_accelerator(name) is accelerator
    assert find_accelerator(None) is None
    mine = Squarem()
    assert find_accelerator(mine) is mine
    with pytest.raises(ValueError, match=r"anderson.*got 'aitken'"):
        find_accelerator("aitken")


@pytest.mark.parametrize("n_rates", [1, 2, 3])
def test_quasi_newton_solves_linear_maps_of_its_order_at_once(n_rates):
    rates = (0.95, 0.8, 0.5)[:n_rates]
    result = solve(QuasiNewton(n_secants=n_rates), rates)
    # n_secants + 1 EM steps, from which the fixed point follows.
    assert result.n_e_steps <= n_rates + 3
    np.testing.assert_allclose(result.params, np.arange(n_rates), atol=1e-9)


def test_squarem_solves_a_linear_map_of_one_rate_at_once():
    result = solve(Squarem(first_limit=1e3), (0.99,))
    assert result.n_e_steps <= 4
    np.testing.assert_allclose(result.params, [0.0], atol=1e-9)


def test_squarem_lengthens_its_steps_as_they_prove_good():
    steps = [line.step for line in solve(Squarem(first_limit=1.0), (0.99, 0.3)).history]
    assert steps[1:3] == ["em", "em"]  # a step length of 1 is that of EM
    assert "accepted" in steps


def test_undamped_anderson_is_a_krylov_method():
    rates = (0.99, 0.9, 0.7, 0.3)
    undamped = Anderson(max_order=10, damping_delay=-500.0)
    result = solve(undamped, rates * 2)
    assert result.n_e_steps < 14
    np.testing.assert_allclose(result.params, np.arange(8), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_slow_linear_map(name):
    rates = (0.999, 0.99, 0.9, 0.5, 0.1)
    plain = solve(None, rates, max_iter=20_000, norm=1e-6)
    fast = solve(ACCELERATORS[name], rates, max_iter=20_000, norm=1e-6)
    assert plain.n_e_steps > 5000
    assert fast.n_e_steps < plain.n_e_steps / 10


def test_automatic_leaves_quick_em_alone():
    steps = {line.step for line in solve(Automatic(), (0.7, 0.2)).history}
    assert steps == {"start", "em"}


def test_automatic_wastes_no_more_than_a_sixth():
    """An accelerator whose proposals are always rejected costs 20 % at most."""

    class Misled(QuasiNewton):
        def start(self):
            run = super().start()
            run.extrapolate = lambda point, image: point - 100.0 * (image - point)
            return run

    rates = (0.99,)
    plain = solve(None, rates, max_iter=5000)
    misled = solve(Automatic(quasi_newton=Misled(), squarem=Misled()), rates, max_iter=5000)
    assert "rejected" in {line.step for line in misled.history}
    assert misled.n_iter == plain.n_iter
    assert misled.n_e_steps <= 1.2 * plain.n_e_steps


def in_published_coordinates(model_class):
    """The Poisson mixture with the vector (weight, rate, rate) of the publications."""

    class Raw(model_class):
        def to_vector(self, params):
            return np.array([params.weights[0], *params.rates])

        def from_vector(self, vector, like):
            if not (0.0 < vector[0] < 1.0 and (vector[1:] > 0.0).all()):
                raise DegenerateModelError("out of range")
            return type(like)(np.array([vector[0], 1.0 - vector[0]]), vector[1:])

    return Raw


def london_run(london, name, start, norm=1e-7):
    model = in_published_coordinates(london.Model)()
    result = run_em(
        model,
        london.data,
        london.Params(np.array(start["weights"]), np.array(start["rates"], float)),
        convergence=GainBelow(-1.0),
        max_iter=3000,
        accelerator=find_accelerator(name),
        callback=lambda _, iteration: iteration.step_norm < norm,
    )
    assert result.objective == pytest.approx(london.published["log_likelihood"], abs=1e-7)
    return result


def test_poisson_mixture_with_squarem_in_the_published_range(london):
    """Varadhan and Roland report 60 to 100 evaluations of the map; plain EM needs 2000."""
    counts = [
        london_run(london, "squarem", run["start"]).n_e_steps
        for run in london.published["plain_em_maps"]
    ]
    assert min(counts) <= 100
    assert np.mean(counts) <= 100


@pytest.mark.parametrize("name", ["auto", "quasi-newton"])
def test_poisson_mixture_needs_a_thirtieth_of_the_published_maps_of_em(london, name):
    for run in london.published["plain_em_maps"]:
        assert london_run(london, name, run["start"]).n_e_steps < run["maps"] / 30


@pytest.mark.parametrize("name", NAMES)
def test_poisson_mixture_reaches_the_published_parameters(london, name):
    result = run_em(
        london.model,
        london.data,
        london.start,
        convergence=RemainingGain(1e-12),
        max_iter=3000,
        accelerator=ACCELERATORS[name],
    )
    assert result.converged
    order = np.argsort(result.params.rates)
    np.testing.assert_allclose(result.params.rates[order], london.published["rates"], atol=2e-4)
    np.testing.assert_allclose(result.params.weights[order], london.published["weights"], atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
@given(
    counts=st.lists(st.integers(0, 30), min_size=2, max_size=30),
    n_components=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    same=st.booleans(),
)
def test_objective_never_decreases(name, london, counts, n_components, seed, same):
    """Whatever the data; also from a saddle, where all components are the same."""
    rng = np.random.default_rng(seed)
    model = london.Model(n_components, alpha=1.5, shape=1.5, rate=0.1, block_rows=10)
    data = model.prepare(np.array(counts), rng.gamma(1.0, 1.0, len(counts)) + 0.01)
    start = model.initialize(data, rng)
    if same:
        start = start._replace(rates=np.full(n_components, start.rates[0]))
    result = run_em(
        model,
        data,
        start,
        convergence=RemainingGain(0.0),
        max_iter=150,
        accelerator=ACCELERATORS[name],
    )
    objectives = np.array([line.objective for line in result.history])
    assert (np.diff(objectives) >= 0.0).all()
    assert result.objective == objectives[-1]
    assert result.status in {Status.CONVERGED, Status.MAX_ITER}


@pytest.mark.parametrize("name", [None, *NAMES])
def test_stopping_is_honest(london, name):
    """What the run says is still to be gained bounds what the published optimum has more."""
    for run in london.published["plain_em_maps"]:
        result = run_em(
            london.model,
            london.data,
            london.Params(*(np.array(run["start"][key], float) for key in ("weights", "rates"))),
            convergence=RemainingGain(1e-7),
            max_iter=5000,
            accelerator=find_accelerator(name),
        )
        assert result.converged
        assert london.published["log_likelihood"] - result.objective < 1e-3


def test_step_norm_is_that_of_the_em_step(london):
    result = run_em(
        london.model,
        london.data,
        london.start,
        convergence=RemainingGain(0.0),
        max_iter=30,
        accelerator=ACCELERATORS["squarem"],
    )
    norms = np.array([line.step_norm for line in result.history])
    assert np.isnan(norms[0])
    assert (norms[1:] > 0.0).all()
    point = london.model.to_vector(london.start)
    first = run_em(
        london.model, london.data, london.start, convergence=RemainingGain(0.0), max_iter=1
    )
    step = london.model.to_vector(first.params) - point
    assert norms[1] == pytest.approx(np.linalg.norm(step))


def test_step_norm_is_nan_without_a_vector_form():
    class Plain(LatentVariableModel):
        def prepare(self, X, sample_weight=None):
            return X

        def initialize(self, data, rng):
            return 1.0

        def e_step(self, block, params):
            return (block - params) / 2.0 + params, -abs(block - params)

        def m_step(self, statistics, params):
            return statistics

    result = run_em(Plain(), 3.0, 1.0, convergence=GainBelow(1e-3), max_iter=50)
    assert np.isnan([line.step_norm for line in result.history]).all()
    with pytest.raises(NotImplementedError, match="define to_vector"):
        run_em(Plain(), 3.0, 1.0, convergence=GainBelow(1e-3), max_iter=5, accelerator=Squarem())
