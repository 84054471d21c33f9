"""Plots show the fitted parameters."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from scipy.stats import multivariate_normal
from sklearn.preprocessing import StandardScaler

import emlearn
from emlearn import GaussianMixtureEM
from emlearn.datasets import load_galaxies, load_old_faithful
from emlearn.display import ConvergenceDisplay, MixtureDisplay


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


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
    X = load_galaxies().data
    mixture = GaussianMixtureEM(3, random_state=0).fit(X)
    display = ConvergenceDisplay.from_estimator(mixture, name="galaxies")
    remaining = display.line_.get_ydata()
    assert len(remaining) >= 2
    assert (np.diff(remaining) <= 0.0).all()
    assert display.ax_.get_yscale() == "log"


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
