"""Plots show the fitted parameters."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from scipy.stats import multivariate_normal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import emlearn
from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM, MissingDataImputerEM
from emlearn.datasets import load_galaxies, load_old_faithful
from emlearn.display import ConvergenceDisplay, MixtureDisplay


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_ellipses_are_contours_of_the_component_densities(covariance_type):
    X = load_old_faithful().data
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(mixture, X, levels=(0.9,))
    full = {
        "full": lambda k: mixture.covariances_[k],
        "tied": lambda k: mixture.covariances_,
        "diag": lambda k: np.diag(mixture.covariances_[k]),
        "spherical": lambda k: np.eye(2) * mixture.covariances_[k],
    }[covariance_type]
    for k, ellipse in enumerate(display.ellipses_):
        angles = np.linspace(0.0, 2.0 * np.pi, 7)
        circle = np.column_stack([np.cos(angles), np.sin(angles)])
        points = ellipse.get_patch_transform().transform(circle)
        component = multivariate_normal(mixture.means_[k], full(k))
        densities = component.pdf(points)
        np.testing.assert_allclose(densities, densities[0], rtol=1e-6)
        draws = component.rvs(20_000, random_state=0)
        share = np.mean(component.pdf(draws) > densities[0])
        assert abs(share - 0.9) < 0.01


def test_a_scaler_is_undone():
    X = load_old_faithful().data
    scaler = StandardScaler().fit(X)
    scaled = GaussianMixtureEM(2, random_state=0).fit(scaler.transform(X))
    plain = GaussianMixtureEM(2, random_state=0).fit(X)
    undone = MixtureDisplay.from_estimator(scaled, X, transformer=scaler)
    direct = MixtureDisplay.from_estimator(plain, X)
    order = np.argsort(undone.means[:, 0])
    expected = np.argsort(direct.means[:, 0])
    np.testing.assert_allclose(undone.means[order], direct.means[expected], rtol=1e-3)
    np.testing.assert_allclose(undone.covariances[order], direct.covariances[expected], rtol=1e-2)


def test_names_of_a_frame_label_the_axes():
    frame = load_old_faithful(as_frame=True).data
    mixture = GaussianMixtureEM(2, random_state=0).fit(frame)
    display = MixtureDisplay.from_estimator(mixture, frame, features=(1, 0))
    assert display.ax_.get_xlabel() == "waiting"
    assert display.ax_.get_ylabel() == "eruptions"


def test_convergence_falls_towards_the_limit():
    X = load_old_faithful().data
    mixture = GaussianMixtureEM(3, init_params="random", random_state=0).fit(X)
    display = ConvergenceDisplay.from_estimator(mixture, name="galaxies")
    remaining = display.line_.get_ydata()
    assert len(remaining) >= 2
    assert (np.diff(remaining) <= 0.0).all()
    assert display.ax_.get_yscale() == "log"


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianMixtureEM(3, random_state=0),
        FiniteMixtureEM(3, random_state=0),
        HiddenMarkovEM(3, random_state=0),
        MissingDataImputerEM(n_components=2, random_state=0),
        make_pipeline(StandardScaler(), GaussianMixtureEM(3, random_state=0)),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_convergence_of_every_estimator(estimator):
    X = load_old_faithful().data.copy()
    X[::9, 0] = np.nan
    estimator.fit(X)
    display = ConvergenceDisplay.from_estimator(estimator)
    model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    objective = model.history_["objective"]
    shown = objective < objective[-1]
    np.testing.assert_array_equal(display.line_.get_xdata(), model.history_["e_steps"][shown])
    np.testing.assert_allclose(display.line_.get_ydata(), (objective[-1] - objective)[shown])
    assert "(nats)" in display.ax_.get_ylabel()
    assert display.ax_.get_xlabel().startswith("E-steps")
    (text,) = display.ax_.get_legend().get_texts()
    assert text.get_text() == type(model).__name__


def test_curves_on_the_same_axes_are_told_apart():
    history = np.array([0.0, 1.0, 2.0]), np.array([1, 2, 3])
    figure, ax = pyplot.subplots()
    lines = [
        ConvergenceDisplay(*history, limit=3.0).plot(name=f"run {i}", ax=ax).line_
        for i in range(25)
    ]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 25
    assert len(ax.get_legend().get_texts()) == 25
    np.testing.assert_array_equal(lines[0].get_ydata(), [3.0, 2.0, 1.0])
    own = ConvergenceDisplay(*history).plot(ax=ax, color="black", marker="x")
    assert (own.line_.get_color(), own.line_.get_marker()) == ("black", "x")
    assert own.figure_ is figure
    assert pyplot.get_fignums() == [figure.number]


def test_a_fit_that_ends_where_it_starts_is_drawn_without_a_line():
    display = ConvergenceDisplay(np.array([-2.0]), np.array([1])).plot()
    assert len(display.line_.get_xdata()) == 0
    display.figure_.canvas.draw()


def test_a_start_of_no_density_is_left_out():
    display = ConvergenceDisplay(np.array([-np.inf, -4.0, -2.0, -1.0]), np.arange(1, 5)).plot()
    np.testing.assert_array_equal(display.line_.get_ydata(), [3.0, 1.0])


@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_there_may_be_no_convergence_to_draw():
    X = load_galaxies().data
    mixture = GaussianMixtureEM(3, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"limit=-1000000000\.0 leaves nothing"):
        ConvergenceDisplay.from_estimator(mixture, limit=-1e9)
    known = GaussianMixtureEM.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(TypeError, match=r"history_.*this GaussianMixtureEM has none"):
        ConvergenceDisplay.from_estimator(known)
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(GaussianMixtureEM())
    with pytest.raises(ValueError, match="no iterations"):
        ConvergenceDisplay.from_estimator(MissingDataImputerEM().fit(np.ones((5, 2))))
    with pytest.raises(TypeError, match=r"one Axes of matplotlib.*Figure"):
        ConvergenceDisplay.from_estimator(mixture, ax=pyplot.figure())


def test_axes_given_are_drawn_on():
    X = load_old_faithful().data
    figure, axes = pyplot.subplots(1, 2)
    mixture = GaussianMixtureEM(2, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(mixture, X, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].has_data()
    assert pyplot.get_fignums() == [figure.number]
    other = display.plot(levels=(0.9,))
    assert other is display
    assert len(display.ellipses_) == 2
    assert len(pyplot.get_fignums()) == 2


def test_a_component_without_variance():
    one = MixtureDisplay(
        np.zeros((3, 1)), np.zeros(3, int), np.zeros((1, 1)), np.zeros((1, 1, 1)), ("x",)
    )
    with pytest.raises(ValueError, match="'x' has no variance"):
        one.plot()
    flat = np.array([[[4.0, 0.0], [0.0, 0.0]]])
    two = MixtureDisplay(np.zeros((3, 2)), np.zeros(3, int), np.zeros((1, 2)), flat, ("x", "y"))
    (ellipse,) = two.plot(levels=0.5).ellipses_
    assert ellipse.height == 0.0
    assert ellipse.width > 0.0


def test_matplotlib_is_optional(monkeypatch):
    X = load_old_faithful().data
    mixture = GaussianMixtureEM(2, random_state=0).fit(X)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ImportError, match=r"scikit-em\[plot\]"):
        MixtureDisplay.from_estimator(mixture, X)
    with pytest.raises(ImportError, match=r"scikit-em\[plot\]"):
        ConvergenceDisplay.from_estimator(mixture)


def test_importing_the_package_does_not_import_matplotlib(tmp_path):
    code = "import sys, emlearn, emlearn.display; assert 'matplotlib' not in sys.modules"
    # Elsewhere, lest the checkout, which may not be built, is imported for the package.
    path = str(Path(emlearn.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
