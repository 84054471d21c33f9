"""How long states last: geometric durations, delta method, runs of the best path."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import HiddenMarkovEM
from emlearn.distributions import Poisson

TRANSMAT = np.array([[0.9, 0.1], [0.25, 0.75]])
MODEL = HiddenMarkovEM.from_parameters(
    [0.5, 0.5], TRANSMAT, {"rate": [[0.5], [50.0]]}, family="poisson"
)
STATES = np.array([0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
LENGTHS = [7, 1, 4]
X = np.where(STATES, 50.0, 0.0)[:, None]


def test_runs_and_expectations():
    found = MODEL.durations(X, lengths=LENGTHS, standard_errors=False)
    assert_allclose(found.expected, [10.0, 4.0])
    assert_allclose(found.stationary, [5 / 7, 2 / 7])
    assert_allclose(found.occupancy, [7 / 12, 5 / 12], atol=1e-6)
    runs = found.runs
    assert_array_equal(runs.state, [0, 1, 0, 1, 1, 0])
    assert_array_equal(runs.sequence, [0, 0, 0, 0, 1, 2])
    assert_array_equal(runs.start, [0, 2, 5, 6, 7, 8])
    assert_array_equal(runs.length, [2, 3, 1, 1, 1, 4])
    assert_array_equal(runs.cut, [True, False, False, True, True, True])
    assert_array_equal(found.n_runs, [3, 3])
    assert_allclose(found.mean_run, [7 / 3, 5 / 3])
    assert_array_equal(found.longest_run, [4, 3])
    assert found.standard_error is None


def test_standard_errors(reference):
    counts = np.array(reference("earthquakes")["counts"], float)[:, None]
    fit = HiddenMarkovEM(2, family=Poisson(alpha=0.0), tol=1e-12, random_state=0).fit(counts)
    found = fit.durations(counts)
    staying = np.diagonal(fit.transmat_)
    errors = np.diagonal(fit.inference(counts).standard_errors["transmat"])
    assert_allclose(found.expected, 1.0 / (1.0 - staying), rtol=1e-10)
    assert_allclose(found.standard_error, errors / (1.0 - staying) ** 2, rtol=1e-10)
    assert "state 0" in str(found)
    assert "standard_error" in str(found.summary())
    pytest.importorskip("pandas")
    frame = found.to_frame()
    assert_array_equal(frame["expected"], found.expected)
    assert frame.index.tolist() == [0, 1]


def test_a_state_that_is_never_left():
    left_right = HiddenMarkovEM.from_parameters(
        [1.0, 0.0], [[0.5, 0.5], [0.0, 1.0]], {"rate": [[0.5], [50.0]]}, family="poisson"
    )
    found = left_right.durations([[0.0], [50.0]], standard_errors=False)
    assert_array_equal(found.expected, [2.0, np.inf])
    assert_array_equal(found.stationary, [0.0, 1.0])
    apart = HiddenMarkovEM.from_parameters(
        [1.0, 0.0], np.eye(2), {"rate": [[0.5], [50.0]]}, family="poisson"
    )
    found = apart.durations([[0.0]], standard_errors=False)
    assert found.stationary is None
    assert_array_equal(found.mean_run, [1.0, 0.0])
    assert "inf" in str(found)
    fit = HiddenMarkovEM(
        2,
        family="poisson",
        startprob_init=[1, 0],
        transmat_init=[[0.5, 0.5], [0, 1]],
        random_state=0,
    ).fit(X[:5])
    error = fit.durations(X[:5]).standard_error
    assert np.isnan(error[1])
