"""The simulated frame is the structure and the random process it says."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov

from emlearn.datasets import make_shear_frame

PUBLISHED = [0.890, 2.598, 4.095, 5.261, 6.000]


def modes(transition, fs):
    values = np.log(np.linalg.eigvals(transition)) * fs
    values = values[values.imag > 0.0]
    values = values[np.argsort(np.abs(values))]
    return np.abs(values) / (2.0 * np.pi), -values.real / np.abs(values)


def test_modes_of_uniform_frames_are_known():
    frame = make_shear_frame(n_samples=10, random_state=0)
    assert_allclose(frame.frequencies, PUBLISHED, atol=5e-4)
    # A chain that is fixed at one end: 2 sqrt(k / m) sin((2 i - 1) pi / (4 n + 2)).
    odd = 2.0 * np.arange(1, 6) - 1.0
    expected = np.sqrt(10_000 / 25.91) / np.pi * np.sin(odd * np.pi / 22.0)
    assert_allclose(frame.frequencies, expected, rtol=1e-10)
    assert_allclose(frame.damping_ratios, 0.02, rtol=1e-9)
    floors = np.arange(1, 6)[:, None]
    shapes = np.sin(floors * odd * np.pi / 11.0)
    shapes /= np.linalg.norm(shapes, axis=0)
    assert_allclose(np.abs((shapes * frame.mode_shapes).sum(axis=0)), 1.0, rtol=1e-9)


@pytest.mark.parametrize("fs", [13.0, 20.0, 200.0])
def test_discrete_model_has_the_modes_and_the_stationary_law(fs):
    frame = make_shear_frame(3, 5, fs=fs, mass=[1.0, 2.0, 3.0], stiffness=[900.0, 500.0, 100.0])
    found = modes(frame.transition_matrix, fs)
    assert_allclose(found[0], frame.frequencies, rtol=1e-8)
    assert_allclose(found[1], 0.02, rtol=1e-6)
    # The covariance of the states is that of the continuous process, whatever the step.
    n = 3
    springs = np.array([900.0, 500.0, 100.0])
    K = np.diag([1400.0, 600.0, 100.0]) - np.diag(springs[1:], 1) - np.diag(springs[1:], -1)
    inverse = np.diag(1.0 / np.array([1.0, 2.0, 3.0]))
    values, vectors = np.linalg.eig(frame.transition_matrix)
    rates = (vectors * (fs * np.log(values)) @ np.linalg.inv(vectors)).real
    assert_allclose(rates[n:, :n], -inverse @ K, atol=1e-6 * K.max())
    assert_allclose(rates[:n, n:], np.eye(n), atol=1e-8)
    forces = np.vstack((np.zeros((n, n)), inverse))
    expected = solve_continuous_lyapunov(rates, -forces @ forces.T)
    A, Q = frame.transition_matrix, frame.transition_covariance
    assert_allclose(solve_discrete_lyapunov(A, Q), expected, rtol=1e-6, atol=1e-12)
    assert_allclose(A, expm(rates / fs), atol=1e-9)


@pytest.mark.parametrize("output", ["displacement", "velocity"])
def test_rows_have_the_covariances_of_the_model(output):
    frame = make_shear_frame(2, 100_000, output=output, noise=0.3, random_state=1)
    A, C = frame.transition_matrix, frame.observation_matrix
    states = solve_discrete_lyapunov(A, frame.transition_covariance)
    signal = C @ states @ C.T
    assert_allclose(np.diagonal(frame.observation_covariance), 0.09 * np.diagonal(signal))
    X = frame.data
    scale = np.sqrt(np.outer(*2 * [np.diagonal(signal)]))
    off = X.T @ X / len(X) - signal - frame.observation_covariance
    assert np.abs(off / scale).max() < 0.05
    lagged = X[3:].T @ X[:-3] / (len(X) - 3) - C @ np.linalg.matrix_power(A, 3) @ states @ C.T
    assert np.abs(lagged / scale).max() < 0.05


def test_damage_lowers_frequencies():
    sound = make_shear_frame(n_samples=5, random_state=0)
    damaged = make_shear_frame(n_samples=5, stiffness_loss=[0.2, 0, 0, 0, 0], random_state=0)
    assert (damaged.frequencies < sound.frequencies).all()
    weak = make_shear_frame(n_samples=5, stiffness=[8000.0, 1e4, 1e4, 1e4, 1e4], random_state=0)
    # The same but for damping, which the damage leaves as it was.
    assert_allclose(damaged.frequencies, weak.frequencies, rtol=1e-3)


def test_missing_entries_and_repetition():
    first = make_shear_frame(2, 2000, missing=0.3, random_state=3).data
    assert np.isnan(first).mean() == pytest.approx(0.3, abs=0.03)
    assert_array_equal(first, make_shear_frame(2, 2000, missing=0.3, random_state=3).data)
    whole = make_shear_frame(2, 2000, random_state=3).data
    assert_array_equal(whole[~np.isnan(first)], first[~np.isnan(first)])
    assert make_shear_frame(1, 1, noise=0.0).data.shape == (1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_storeys": 0}, "n_storeys"),
        ({"n_samples": 0}, "n_samples"),
        ({"fs": 0.0}, "fs"),
        ({"fs": np.nan}, "fs"),
        ({"fs": 11.0}, "fs=11 is too low"),
        ({"damping_ratio": 1.0}, "damping_ratio"),
        ({"noise": -1.0}, "noise"),
        ({"noise": np.inf}, "noise"),
        ({"missing": 1.0}, "missing"),
        ({"output": "force"}, "output must be one of"),
        ({"mass": [1.0, 2.0]}, "mass must be a number, or one for each of the 5 storeys"),
        ({"mass": "heavy"}, "mass must be"),
        ({"stiffness": -1.0}, "stiffness must be positive"),
        ({"stiffness_loss": 1.0}, "stiffness_loss must be less than 1"),
        ({"stiffness_loss": -0.1}, "stiffness_loss must be 0 or more"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        make_shear_frame(**{"n_samples": 5, **options})
