"""Satterthwaite's degrees of freedom where a covariance is singular; values of lmerTest 3.1-3."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emlearn import LinearMixedModelEM

GROUP, X = np.repeat(np.arange(8), 5), np.tile(np.arange(5.0), 8)
ROWS = pd.DataFrame({"x": X, "z": (GROUP % 2).astype(float), "g": GROUP})


def lines():
    """Levels whose intercept and slope have the correlation 1."""
    rng = np.random.RandomState(5)
    effects = rng.standard_normal(8)[GROUP] * (1.0 + 0.3 * X)
    return 1.0 + 0.5 * X + ROWS["z"] + effects + rng.standard_normal(40)


def shifts():
    """Levels that have intercepts of their own, and the same slope."""
    rng = np.random.RandomState(1)
    effects = 0.5 * rng.standard_normal(8)[GROUP]
    return 1.0 + 0.5 * X + ROWS["z"] + effects + rng.standard_normal(40)


# Model, log-likelihood, standard errors and degrees of freedom of intercept, x and z.
SINGULAR = {
    "a correlation of 1, reml": (
        lines,
        {"random_slopes": ["x"]},
        -57.43603441,
        [0.48038608, 0.16136496, 0.63701971],
        [9.1917803, 7.3393196, 11.6672689],
    ),
    "a variance of 0, reml": (
        shifts,
        {"random_slopes": ["x"], "covariance": "diag"},
        -56.82069657,
        [0.37899729, 0.10142524, 0.45274856],
        [11.428397, 31.0, 6.0],
    ),
    "a variance of 0, ml": (
        shifts,
        {"random_slopes": ["x"], "covariance": "diag", "method": "ml"},
        -54.85238747,
        [0.341658313, 0.099827892, 0.392091752],
        [17.286546, 32.0, 8.0],
    ),
}


@pytest.mark.parametrize("case", SINGULAR)
def test_singular_covariances_are_estimates_too(case):
    make, settings, log_likelihood, errors, df = SINGULAR[case]
    y = make()
    model = LinearMixedModelEM("g", **settings).fit(ROWS, y)
    assert model.boundary_ == ("g",)
    assert model.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-7)
    found = model.fixed_effects(ROWS, y)
    assert_allclose(found.standard_error, errors, rtol=1e-5)
    assert_allclose(found.degrees_of_freedom, df, rtol=1e-5)


def test_a_variance_of_zero_leaves_the_residual_degrees_of_freedom():
    """That is ordinary least squares."""
    rows, y = ROWS[["x", "g"]], ROWS["x"] + np.random.RandomState(0).standard_normal(40)
    y = y - y.groupby(GROUP).transform("mean") + X
    model = LinearMixedModelEM("g").fit(rows, y)
    assert model.boundary_ == ("g",)
    assert_allclose(model.fixed_effects(rows, y).degrees_of_freedom, 38.0, rtol=1e-6)
