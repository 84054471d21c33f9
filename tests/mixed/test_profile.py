"""Profile-likelihood intervals against lme4, and against maximization of dense likelihoods."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import chi2
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression

from emlearn import LinearMixedModelEM
from emlearn.datasets import load_dyestuff, load_pastes, load_penicillin, load_sleepstudy
from emlearn.mixed import profile_intervals

pytest.importorskip("pandas")
direct = runpy.run_path(str(Path(__file__).with_name("direct.py")))["direct"]

FRAMES = {"return_X_y": True, "as_frame": True}
BATCH = {"groups": "Batch"}
SLOPES = {"groups": "Subject", "random_slopes": ["Days"]}
# lme4: confint(profile(model)) of version 1.1-31, whose profile is that of maximum likelihood.
LME4 = {
    "Dyestuff": (
        load_dyestuff(**FRAMES),
        BATCH,
        {"Batch[intercept]": (12.19853521, 84.06304671), "residual": (38.22998488, 67.65769624)},
    ),
    "no variance": (
        load_dyestuff(simulated=True, **FRAMES),
        BATCH,
        {"Batch[intercept]": (0.0, 2.084043489), "residual": (2.892831020, 4.815832552)},
    ),
    "correlated": (
        load_sleepstudy(**FRAMES),
        SLOPES,
        {
            "Subject[intercept]": (14.3814811165, 37.716018740),
            "Subject[Days]": (3.8011647624, 8.753366659),
            "Subject[intercept, Days]": (-0.4815004432, 0.684986139),
            "residual": (22.8982662150, 28.857997323),
        },
    ),
    "independent": (
        load_sleepstudy(**FRAMES),
        {**SLOPES, "covariance": "diag"},
        {
            "Subject[intercept]": (15.258646166, 37.78646394),
            "Subject[Days]": (3.964074373, 8.76916043),
            "residual": (22.880554680, 28.78759756),
        },
    ),
    "crossed": (
        load_penicillin(**FRAMES),
        {"groups": ["plate", "sample"]},
        {
            "plate[intercept]": (0.6335659660, 1.1821039851),
            "sample[intercept]": (1.0957893965, 3.5562917781),
            "residual": (0.4858454001, 0.6294534786),
        },
    ),
    "nested": (
        load_pastes(**FRAMES),
        {"groups": ["batch", ("batch", "cask")]},
        {
            "batch[intercept]": (0.0, 2.946591263),
            "batch:cask[intercept]": (2.1579337383, 4.053588799),
            "residual": (0.6520233563, 1.085448090),
        },
    ),
}


@pytest.mark.parametrize("name", LME4)
def test_as_in_lme4(name):
    """Up to the interpolation of its profiles."""
    (X, y), options, expected = LME4[name]
    model = LinearMixedModelEM(**options, method="ml").fit(X, y)
    found = profile_intervals(model, X, y)
    assert found.names == tuple(expected)
    np.testing.assert_allclose(found.interval, list(expected.values()), rtol=3e-4)


@pytest.mark.parametrize("restricted", [True, False], ids=["reml", "ml"])
def test_one_way_from_the_definition(restricted):
    X, y = load_dyestuff(**FRAMES)
    model = LinearMixedModelEM(**BATCH, method="reml" if restricted else "ml").fit(X, y)
    found = profile_intervals(model, X, y, confidence=0.8)
    index = np.unique(X.Batch.to_numpy(), return_inverse=True)[1]
    term = SimpleNamespace(
        basis=np.ones((30, 1)), grouped=True, levels=np.arange(6), index=index, kinship=None
    )

    def likelihood(variance, residual):
        covariances = [np.array([[variance]])]
        return direct(
            np.ones((30, 1)), [term], y, covariances, residual, restricted=restricted
        ).log_likelihood

    def maximum(function):
        found = minimize_scalar(
            lambda x: -function(np.exp(x)), bounds=(2.0, 12.0), method="bounded"
        )
        return -found.fun

    limit = model.log_likelihood_ - 0.5 * chi2.ppf(0.8, 1)
    for end in found.interval[0] ** 2:
        assert maximum(lambda residual, end=end: likelihood(end, residual)) == pytest.approx(
            limit, abs=1e-6
        )
    for end in found.interval[1] ** 2:
        assert maximum(lambda variance, end=end: likelihood(variance, end)) == pytest.approx(
            limit, abs=1e-6
        )


@pytest.mark.parametrize("restricted", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("at", [0, 1, 2], ids=["intercept", "slope", "correlation"])
@pytest.mark.parametrize("end", [0, 1], ids=["low", "high"])
def test_slopes_from_the_definition(at, end, restricted):
    """The likelihood at an end, maximized over the others: all subjects have the same days."""
    X, y = load_sleepstudy(**FRAMES)
    model = LinearMixedModelEM(**SLOPES, method="reml" if restricted else "ml").fit(X, y)
    found = profile_intervals(model, X, y)
    assert found.names[2] == "Subject[intercept, Days]"
    design = np.column_stack([np.ones(10), np.arange(10.0)])
    rows = y.to_numpy().reshape(18, 10)

    def minus_likelihood(free):
        first, second, correlation, residual = np.insert(free, at, found.interval[at, end])
        between = first * second * correlation
        covariance = np.array([[first**2, between], [between, second**2]])
        V = design @ covariance @ design.T + residual**2 * np.eye(10)
        inverse = np.linalg.inv(V)
        information = 18 * design.T @ inverse @ design
        left = rows - design @ np.linalg.solve(information, design.T @ inverse @ rows.sum(axis=0))
        n = 178 if restricted else 180
        value = n * np.log(2 * np.pi) + 18 * np.linalg.slogdet(V)[1]
        value += np.einsum("gi,ij,gj->", left, inverse, left)
        value += np.linalg.slogdet(information)[1] if restricted else 0.0
        return 0.5 * value

    start = np.delete(found.estimate, at)
    best = minimize(minus_likelihood, start, method="Nelder-Mead", options={"xatol": 1e-6})
    limit = model.log_likelihood_ - 0.5 * chi2.ppf(0.95, 1)
    assert -best.fun == pytest.approx(limit, abs=1e-5)


def test_origin_and_units_of_a_column_do_not_matter_for_its_slope():
    X, y = load_sleepstudy(**FRAMES)
    found = []
    for days in (X.Days, 1000.0 + X.Days, X.Days / 7.0):
        rows = X.assign(Days=days)
        model = LinearMixedModelEM(**SLOPES, method="ml").fit(rows, 1e3 * y)
        found.append(profile_intervals(model, rows, 1e3 * y).interval[[1, 3]])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0] * [[7.0], [1.0]], rtol=1e-4)


def test_kinships_and_columns():
    rng = np.random.default_rng(1)
    root, animals = np.linalg.cholesky(np.eye(30) + 0.5), np.repeat(np.arange(30), 3)
    markers = rng.normal(size=(90, 20))
    y = (root @ rng.normal(size=30))[animals] + markers @ rng.normal(size=20) + rng.normal(size=90)
    X = np.column_stack([markers, animals])
    model = LinearMixedModelEM(
        {"animal": 20}, kinship={"animal": root @ root.T}, Z={"markers": list(range(20))}
    ).fit(X, y)
    found = profile_intervals(model, X, y)
    assert found.names == ("animal[intercept]", "markers", "residual")
    low, high = found.interval.T
    assert (low < found.estimate).all()
    assert (found.estimate < high).all()
    variance = model.variance_components_["markers"][0, 0]
    assert found.estimate[1] == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_tables():
    (X, y), options, _ = LME4["correlated"]
    model = LinearMixedModelEM(**options).fit(X, y)
    found = profile_intervals(model, X, y, confidence=0.9)
    frame = found.to_frame()
    assert list(frame.index) == list(found.names)
    covariance = model.variance_components_["Subject"]
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    expected = [*np.sqrt(np.diagonal(covariance)), correlation]
    np.testing.assert_allclose(frame.estimate[:3], expected, rtol=1e-6)
    lines = str(found).splitlines()
    assert lines[0].split() == ["estimate", "low", "high"]
    assert lines[-1] == "90 % profile-likelihood intervals"


def test_messages(monkeypatch):
    X, y = load_dyestuff(**FRAMES)
    model = LinearMixedModelEM(**BATCH).fit(X, y)
    with pytest.raises(NotFittedError):
        profile_intervals(LinearMixedModelEM(), X, y)
    with pytest.raises(TypeError, match="model must be a LinearMixedModelEM"):
        profile_intervals(LinearRegression(), X, y)
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        profile_intervals(model, X, y, confidence=95)
    with pytest.raises(ValueError, match="the rows, responses and weights of the fit"):
        profile_intervals(model, X, y + 1.0)
    held = LinearMixedModelEM(**BATCH, fixed={"residual": 2500.0}).fit(X, y)
    with pytest.raises(ValueError, match="holds some by `fixed`"):
        profile_intervals(held, X, y)
    # As if the likelihood were level as far as the search goes.
    monkeypatch.setattr("emlearn.mixed._profile._LOG_RANGE", 0.01)
    with pytest.warns(ConvergenceWarning, match="An end of the interval of residual"):
        assert np.isnan(profile_intervals(model, X, y).interval[1]).all()


def test_correlation_of_a_slope_that_may_be_zero():
    """Without the slope, all correlations have one likelihood, which is not too small."""
    rng = np.random.default_rng(49)
    group, x = np.repeat(np.arange(12), 4), np.tile([8.0, 10.0, 12.0, 14.0], 12)
    y = x + 2.0 * rng.normal(size=12)[group] + rng.normal(size=12)[group] * 0.2 * (x - 11.0)
    y += rng.normal(size=48)
    X = pd.DataFrame({"x": x, "g": group})
    model = LinearMixedModelEM("g", random_slopes=["x"], method="ml").fit(X, y)
    without = LinearMixedModelEM("g", method="ml").fit(X, y)
    assert not model.boundary_
    assert 2.0 * (model.log_likelihood_ - without.log_likelihood_) < 3.84
    found = profile_intervals(model, X, y).to_frame()
    assert found.loc["g[x]", "low"] == 0.0
    assert found.loc["g[intercept, x]", ["low", "high"]].tolist() == [-1.0, 1.0]
