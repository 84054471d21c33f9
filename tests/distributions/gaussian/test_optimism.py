"""The penalty of components of few rows: what they gain by chance."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES


@pytest.mark.parametrize("d", [1, 2, 5, 13])
def test_optimism_by_its_formulas(d):
    n = np.array([d + 2.5, d + 10.0, 100.0, 1e7])
    formulas = {
        "full": n * d * (d + 3) / (2 * (n - d - 2)),
        "diag": np.where(n > 3, 2 * d * n / np.where(n > 3, n - 3, 1), np.inf),
        "spherical": d * (d + 1) * n / (d * (n - 1) - 2),
        "tied": np.zeros(4),
        "EEV": np.zeros(4),
    }
    assert formulas.keys() == STRUCTURES.keys()
    for name, expected in formulas.items():
        found = STRUCTURES[name].optimism(n, d)
        if name == "spherical":
            expected = np.where(d * (n - 1) > 2, expected, np.inf)
        assert_allclose(found, expected)


@pytest.mark.parametrize(("name", "last"), [("full", 6.0), ("diag", 3.0), ("spherical", 1.5)])
def test_optimism_is_infinite_where_rows_are_too_few(name, last):
    """At the last number of rows, in 4 columns, it has a pole."""
    few = np.array([0.0, 0.1, 1.0, last / 2.0, last])
    assert np.isposinf(STRUCTURES[name].optimism(few, 4)).all()
    just = STRUCTURES[name].optimism(np.array([last + 1e-6]), 4)
    assert 1e5 < just[0] < np.inf


@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
@pytest.mark.parametrize(("n", "d"), [(12, 3), (40, 5), (9, 1)])
def test_optimism_is_what_new_rows_lose(name, n, d):
    """Log-likelihood of rows less that of new ones, at their own mean and covariance."""
    rng = np.random.default_rng(0)
    n_draws = 20_000
    X = rng.normal(size=(n_draws, n, d))
    mean = X.mean(axis=1)
    centered = X - mean[:, None]
    covariance = np.einsum("rni,rnj->rij", centered, centered) / n
    if name == "diag":
        covariance = covariance * np.eye(d)
    elif name == "spherical":
        trace = np.trace(covariance, axis1=1, axis2=2) / d
        covariance = trace[:, None, None] * np.eye(d)
    inverse = np.linalg.inv(covariance)
    # Expectation over a new row of N(0, I), known; determinants cancel.
    new = np.trace(inverse, axis1=1, axis2=2) + np.einsum("ri,rij,rj->r", mean, inverse, mean)
    own = np.einsum("rni,rij,rnj->r", centered, inverse, centered) / n
    loss = 0.5 * n * (new - own)
    error = loss.std() / np.sqrt(n_draws)
    found = STRUCTURES[name].optimism(np.array([float(n)]), d)[0]
    assert abs(loss.mean() - found) < 4.0 * error
    assert error < 0.05 * found


def test_starved_components_and_optimism_of_the_others():
    X = np.random.default_rng(0).normal(size=(20, 3))
    spec = Gaussian().column_spec(X)

    class Statistics:
        weight = np.array([5.0, 15.0])

    found = Gaussian().ranking_penalty(Statistics, spec)
    assert found.starved == 1
    assert found.optimism == pytest.approx(15 * 3 * 6 / (2 * (15 - 5)))


def test_penalty_where_weights_sum_to_one():
    """The same components are starved; the optimism is in units of the objective."""
    X = np.random.default_rng(0).normal(size=(20, 3))
    spec = Gaussian().column_spec(X)

    class Statistics:
        weight = np.array([5.0, 15.0]) / 20.0

    light = Gaussian().ranking_penalty(Statistics, spec._replace(rows_per_weight=20.0))
    assert light.starved == 1
    assert light.optimism == pytest.approx(15 * 3 * 6 / (2 * (15 - 5)) / 20.0)
    weighted = Gaussian().column_spec(X, np.full(20, 1.0 / 20.0))
    assert weighted.rows_per_weight == pytest.approx(20.0)
    assert Gaussian().column_spec(X, np.full(20, 2.0)).rows_per_weight == 1.0
