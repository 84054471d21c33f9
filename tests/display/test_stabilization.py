"""Poles that stay, and the modes that are picked."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from emlearn import LinearGaussianStateSpaceEM
from emlearn.datasets import make_shear_frame
from emlearn.display import StabilizationDiagramDisplay
from emlearn.display._stabilization import _spectrum
from emlearn.statespace import ModalParameters

SHAPES = np.array([[1.0, 1.0], [1.0, -1.0], [0.5, 0.2]], complex)


def modes(frequencies, damping, shapes):
    return ModalParameters(
        np.array(frequencies, float),
        np.array(damping, float),
        np.array(shapes, complex).reshape(3, -1),
        np.zeros(len(frequencies), complex),
    )


@pytest.fixture(scope="module")
def frame():
    return make_shear_frame(2, 1500, random_state=0)


def test_limits_of_stable_poles():
    base = modes([1.0, 3.0], [0.02, 0.02], SHAPES)
    cases = {
        "same": (base, [True, True]),
        "frequency": (modes([1.011, 3.029], [0.02, 0.02], SHAPES), [False, True]),
        "damping": (modes([1.0, 3.0], [0.0211, 0.0191], SHAPES), [False, True]),
        "shape": (modes([1.0, 3.0], [0.02, 0.02], SHAPES[:, ::-1]), [False, False]),
        "scale": (modes([1.0, 3.0], [0.02, 0.02], 2j * SHAPES), [True, True]),
    }
    for name, (other, expected) in cases.items():
        found = StabilizationDiagramDisplay([4, 6], [base, other])
        assert_array_equal(found.pole_stable_, [False, False, *expected], err_msg=name)
        assert_array_equal(found.pole_n_states_, [4, 4, 6, 6])
    wide = StabilizationDiagramDisplay(
        [4, 6], [base, cases["frequency"][0]], frequency_tolerance=0.02
    )
    assert wide.pole_stable_[2:].all()


def test_poles_beyond_the_limits_are_left_out():
    every = modes([1.0, 2.0, 3.0], [0.02, 0.5, -0.01], np.ones((3, 3)))
    found = StabilizationDiagramDisplay([6, 8], [every, every])
    assert_allclose(found.pole_frequencies_, [1.0, 1.0])
    assert len(StabilizationDiagramDisplay([6, 8], [every] * 2, max_damping=0.6).frequencies_) == 2
    unseen = modes([1.0], [0.02], np.zeros((3, 1)))
    assert len(StabilizationDiagramDisplay([2, 4], [unseen, unseen]).pole_frequencies_) == 0


def test_clusters():
    rng = np.random.default_rng(0)
    found = []
    for k in range(6):
        noise = rng.normal(size=(3, 1)) + 1j * rng.normal(size=(3, 1))
        frequencies = np.array([1.0, 1.004, 4.0 + k]) * (1.0 + 1e-4 * rng.normal(size=3))
        found.append(modes(frequencies, [0.02, 0.03, 0.1], np.hstack((SHAPES, noise))))
    display = StabilizationDiagramDisplay(range(6, 17, 2), found)
    # Close modes are told apart by their shapes; what moves is not picked.
    assert_allclose(display.frequencies_, [1.0, 1.004], rtol=2e-4)
    assert_allclose(display.damping_ratios_, [0.02, 0.03])
    assert_array_equal(display.n_models_, [6, 6])
    assert_allclose(np.abs(display.mode_shapes_), np.abs(SHAPES))
    own = display.pole_mode_ == 0
    assert display.pole_stable_[own].all()
    assert own.sum() == 5
    assert_allclose(display.frequencies_[0], np.median(display.pole_frequencies_[own]))
    assert len(StabilizationDiagramDisplay(range(6, 17, 2), found, min_models=7).frequencies_) == 0


def test_no_poles_at_all():
    none = modes([], [], np.zeros((3, 0)))
    display = StabilizationDiagramDisplay([1, 2, 3], [none] * 3).plot()
    assert display.frequencies_.shape == (0,)
    assert display.mode_shapes_.shape == (3, 0)
    assert display.mode_lines_ == []
    assert display.ax_.get_xlabel() == "frequency"


def test_from_data(frame):
    X = frame.data.copy()
    X[200:400, 1] = np.nan
    display = StabilizationDiagramDisplay.from_data(X, [6, 2, 4, 8], fs=20.0, max_iter=20)
    assert display.n_states == [2, 4, 6, 8]
    assert_allclose(display.frequencies_, frame.frequencies, rtol=0.02)
    assert len(display.mode_lines_) == 2
    stable = display.pole_stable_
    assert_allclose(display.stable_points_.get_xdata(), display.pole_frequencies_[stable])
    assert_allclose(display.other_points_.get_ydata(), display.pole_n_states_[~stable])
    line = display.spectrum_ax_.lines[0]
    assert line.get_xdata()[-1] == pytest.approx(10.0, rel=0.01)
    peak = line.get_xdata()[line.get_ydata().argmax()]
    assert min(np.abs(peak - frame.frequencies)) < 0.2
    again = StabilizationDiagramDisplay.from_data(
        [X[:700], X[700:]], [2, 4], fs=20.0, spectrum=False, max_iter=5, min_models=1
    )
    assert again.spectrum_ax_ is None
    # Two sequences are not one.
    one = StabilizationDiagramDisplay.from_data(
        X, [2, 4], fs=20.0, spectrum=False, max_iter=5, min_models=1, ax=again.ax_
    )
    assert one.ax_ is again.ax_
    assert np.abs(one.pole_frequencies_ - again.pole_frequencies_).max() > 0.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_from_models_are_those_from_data(frame):
    options = {"init_params": {}, "max_iter": 10, "observation_noise": "diag"}
    models = [LinearGaussianStateSpaceEM(n, **options).fit(frame.data) for n in (6, 4)]
    one = StabilizationDiagramDisplay.from_models(models, fs=20.0, min_mac=0.9)
    two = StabilizationDiagramDisplay.from_data(
        frame.data, [4, 6], fs=20.0, estimator=LinearGaussianStateSpaceEM(**options), min_mac=0.9
    )
    assert_allclose(one.pole_frequencies_, two.pole_frequencies_)
    assert_array_equal(one.pole_stable_, two.pole_stable_)


def test_spectrum_is_that_of_white_noise_and_integrates_to_the_variance():
    X = np.random.default_rng(0).normal(size=(20_000, 2))
    frequencies, density = _spectrum(X, None, None, 4.0)
    assert frequencies[-1] == pytest.approx(2.0, rel=0.01)
    # Twice the area from 0 to fs / 2 is the variance, 1.
    assert (2.0 * density.sum() - density[0]) * frequencies[1] == pytest.approx(1.0)
    assert_allclose(density, 0.25, rtol=0.4)


def test_messages(frame):
    from_data = StabilizationDiagramDisplay.from_data
    with pytest.raises(ValueError, match="two or more different ones"):
        from_data(frame.data, [4])
    with pytest.raises(ValueError, match="two or more different ones"):
        from_data(frame.data, [4, 4])
    with pytest.raises(ValueError, match=r"ints >= 1; got 2\.5"):
        from_data(frame.data, [2, 2.5])
    with pytest.raises(ValueError, match="fs must be a positive number"):
        from_data(frame.data, [2, 4], fs=0.0)
    with pytest.raises(TypeError, match="got StandardScaler"):
        from_data(frame.data, [2, 4], estimator=StandardScaler())
    with pytest.raises(TypeError, match="got StandardScaler"):
        StabilizationDiagramDisplay.from_models([StandardScaler().fit([[0.0], [1.0]])])
    with pytest.raises(NotFittedError):
        StabilizationDiagramDisplay.from_models([LinearGaussianStateSpaceEM(2)])
    with pytest.raises(ValueError, match="min_mac must be a number in"):
        from_data(frame.data, [2, 4], max_iter=1, min_mac=2.0)
    with pytest.raises(ValueError, match="min_models must be an int"):
        StabilizationDiagramDisplay([2, 4], [modes([], [], [])] * 2, min_models=0)
    with pytest.raises(ValueError, match="3 numbers of states, but 2 modes"):
        StabilizationDiagramDisplay([2, 4, 6], [modes([], [], [])] * 2)
