"""Newton steps of models that know their curvature."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.engine import (
    FixedParameters,
    LatentVariableModel,
    Newton,
    RemainingGain,
    Status,
    run_em,
)

N = 200


class Signals(LatentVariableModel):
    """Columns of signals with unknown variances in noise of variance 1: slow where these are 0.

    Parameters are standard deviations, in which 0 is an ordinary point; `scale` makes the
    information wrong.
    """

    def __init__(self, scale=1.0):
        self.scale = scale

    def prepare(self, X, sample_weight=None):
        return np.square(X).sum(axis=0)

    def initialize(self, data, rng):
        return {"deviation": np.ones(len(data))}

    def total_weight(self, data):
        return N

    def e_step(self, block, params):
        total = 1.0 + params["deviation"] ** 2
        value = -0.5 * (N * np.log(2.0 * np.pi * total) + block / total).sum()
        return block, float(value)

    def m_step(self, statistics, params):
        shrunk = params["deviation"] ** 2 / (1.0 + params["deviation"] ** 2)
        return {"deviation": np.sqrt(shrunk**2 * statistics / N + shrunk)}

    def to_vector(self, params):
        return params["deviation"]

    def from_vector(self, vector, like):
        return {"deviation": np.maximum(np.abs(vector), 1e-6)}

    def public(self, params):
        return {"variance": params["deviation"] ** 2}

    def from_public(self, public, like):
        return {"deviation": np.sqrt(public["variance"])}

    def curvature(self, statistics, params):
        deviation, total = params["deviation"], 1.0 + params["deviation"] ** 2
        slope = 0.5 * (statistics / total**2 - N / total)
        information = 2.0 * N * deviation**2 / total**2 + 2.0 * np.maximum(-slope, 0.0)
        return 2.0 * slope * deviation, self.scale * np.diag(information)


@pytest.fixture
def data():
    """The variance of the first column is that of the noise, or less."""
    X = np.random.default_rng(0).normal(size=(N, 3)) * [0.9, 1.4, 3.0]
    return Signals().prepare(X)


def run(model, data, accelerator, max_iter=200):
    start = model.initialize(data, None)
    convergence = RemainingGain(1e-13)
    return run_em(
        model, data, start, convergence=convergence, max_iter=max_iter, accelerator=accelerator
    )


def test_maximum_in_few_steps(data):
    result = run(Signals(), data, Newton())
    assert result.status is Status.CONVERGED
    assert result.n_e_steps <= 16
    expected = np.maximum(data / N - 1.0, 0.0)
    assert_allclose(result.params["deviation"] ** 2, expected, rtol=1e-9, atol=1e-9)
    assert run(Signals(), data, None).status is Status.MAX_ITER


def test_gain_that_cannot_be_seen_ends_the_run(data):
    result = run(Signals(), data[1:], Newton())
    assert result.history[-1].step == "kept"
    assert result.history[-1].e_steps == result.history[-2].e_steps


@pytest.mark.parametrize("scale", [0.01, 0.3, 5.0, 100.0, -1.0, np.nan])
def test_wrong_information(data, scale):
    """The objective never falls, whatever the information is."""
    result = run(Signals(scale), data, Newton(), max_iter=1000)
    objectives = result.history.as_arrays()["objective"]
    assert (np.diff(objectives) >= 0.0).all()
    assert result.status is not Status.STALLED
    if 0.0 < scale <= 5.0:
        assert result.status is Status.CONVERGED
        expected = np.maximum(data / N - 1.0, 0.0)
        assert_allclose(result.params["deviation"] ** 2, expected, atol=1e-4)


def test_gradients_correct_the_information(data):
    counts = [run(Signals(5.0), data, Newton(memory)).n_e_steps for memory in (0, 10)]
    assert counts[1] < 0.6 * counts[0]


class TestHeldEntries:
    """Newton steps of a model within `FixedParameters`."""

    def test_maximum_given_what_is_held(self, data):
        held = FixedParameters(Signals(), {"variance": np.array([np.nan, 0.5, np.nan])})
        result = run_em(
            held,
            data,
            held.impose(Signals().initialize(data, None), {}),
            convergence=RemainingGain(1e-13),
            max_iter=200,
            accelerator=Newton(),
        )
        assert result.n_e_steps <= 16
        expected = np.maximum(data / N - 1.0, 0.0)
        expected[1] = 0.5
        assert_allclose(result.params["deviation"] ** 2, expected, rtol=1e-9, atol=1e-9)

    def test_step_leaves_what_is_held(self, data):
        held = FixedParameters(Signals(), {"variance": np.array([np.nan, 0.5, np.nan])})
        params = held.impose(Signals().initialize(data, None), {})
        statistics, _ = held.e_step(data, params)
        gradient, information = held.curvature(statistics, params)
        own = Signals().curvature(statistics, params)
        assert_allclose(gradient[[0, 2]], own[0][[0, 2]])
        step = np.linalg.solve(information, gradient)
        assert_allclose(step[1], 0.0, atol=1e-12)
        assert_allclose(step[[0, 2]], (own[0] / np.diagonal(own[1]))[[0, 2]])

    def test_nothing_known(self, data):
        class Plain(Signals):
            def curvature(self, statistics, params):
                return None

        held = FixedParameters(Plain(), {"variance": np.array([np.nan, 0.5, np.nan])})
        assert held.has_curvature
        assert held.curvature(data, Signals().initialize(data, None)) is None
