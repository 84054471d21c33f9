"""Leave-one-out likelihood: whole patterns by their moments, weights, pairs seen once."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from emlearn.distributions.gaussian.incomplete import strength as module
from emlearn.distributions.gaussian.incomplete.conditioning import make_component
from emlearn.distributions.gaussian.incomplete.strength import (
    LeftOut,
    candidate_strengths,
    leave_one_out,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling

nan = np.nan


def plain(d):
    return ColumnScaling(np.zeros(d), np.ones(d))


def pairs_of(X, weight=None):
    seen = (~np.isnan(X)).astype(float)
    return (seen.T * (1.0 if weight is None else weight)) @ seen


def by_formula(row, mean, covariance, n, w, nu):
    """Log-density of a row whose weight is left out of a scatter of n + nu rows."""
    delta, gap = min(w, 1.0), row - mean
    shift = n / (n - delta)
    left = (n + nu) * covariance - delta * shift * np.outer(gap, gap)
    return multivariate_normal(np.zeros(len(row)), left / (n + nu - delta)).logpdf(shift * gap)


def test_the_last_strength_is_one_row_more_than_columns():
    for d in (1, 2, 8, 29, 80):
        found = np.array(candidate_strengths(d))
        assert found[0] == 0.1
        assert_allclose(found[1:-1] / found[:-2], 3.0)
        assert found[-1] == d + 1.0
        assert found[-2] < found[-1] <= 3.0 * found[-2] + 1e-9


@pytest.mark.parametrize("strength", [0.1, 5.0])
def test_the_term_of_the_variance_is_a_second_derivative(strength):
    """Mean of f(q) is f(mean) + f''(mean) variance / 2, for small variances."""
    terms = LeftOut(np.array([3.0]), np.array([40.0]), np.array([1.0]))
    q, h = np.array([5.0]), 1e-3
    log_det = np.array([0.3])

    def f(q):
        return terms.log_density(strength, log_det, q)

    second = (f(q + h) - 2.0 * f(q) + f(q - h)) / h**2
    found = terms.log_density(strength, log_det, q, np.array([4.0]))
    assert_allclose(found, f(q) + 0.5 * second * 4.0, rtol=1e-7)


def test_distances_of_normal_rows_have_this_mean_and_variance():
    """Cumulants of a quadratic form, by inverses; and those of simulated rows."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4)) + [1.0, 0.0, -1.0, 2.0]
    weight = rng.uniform(0.5, 2.0, 400)
    observed = np.array([True, False, True, True])
    root = rng.normal(size=(4, 4))
    component = make_component(rng.normal(size=4), root @ root.T + np.eye(4))
    # Rows are multiplied by the root of their weight.
    scaled = rows * np.sqrt(weight)[:, None]
    pattern = module._Pattern.of(scaled, np.sqrt(weight), observed)
    mean = np.average(rows[:, observed], axis=0, weights=weight)
    covariance = np.cov(rows[:, observed].T, bias=True, aweights=weight)
    assert_allclose(pattern.mean, mean)
    assert_allclose(pattern.covariance, covariance)
    sigma = component.covariance[np.ix_(observed, observed)]
    spread, shift = np.linalg.inv(sigma) @ covariance, mean - component.mean[observed]
    log_det, distance, variance = pattern.distances(component)
    assert_allclose(log_det, np.linalg.slogdet(sigma)[1])
    assert_allclose(distance, np.trace(spread) + shift @ np.linalg.inv(sigma) @ shift)
    expected = 2.0 * np.trace(spread @ spread) + 4.0 * shift @ spread @ np.linalg.inv(sigma) @ shift
    assert_allclose(variance, expected)
    draws = rng.multivariate_normal(mean, covariance, size=200_000) - component.mean[observed]
    squares = np.einsum("ri,ij,rj->r", draws, np.linalg.inv(sigma), draws)
    assert_allclose(squares.mean(), distance[0], rtol=0.02)
    assert_allclose(squares.var(), variance[0], rtol=0.05)


@pytest.mark.parametrize("weights", ["fractions", "copies"])
def test_weighted_rows_with_holes(weights):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 3))
    X[rng.random(X.shape) < 0.25] = nan
    X = X[~np.isnan(X).all(axis=1)]
    weight = rng.uniform(0.2, 1.0, len(X)) if weights == "fractions" else rng.integers(1, 5, len(X))
    weight = weight.astype(float)
    pairs, covariance = pairs_of(X, weight), 0.6 * np.eye(3) + 0.5
    mean = np.array([0.1, -0.2, 0.0])
    found = leave_one_out(X, weight, plain(3), pairs, [(1.5, make_component(mean, covariance))])
    expected = 0.0
    for row, w in zip(X, weight, strict=True):
        o = np.flatnonzero(~np.isnan(row))
        n = o.size**2 / (1.0 / pairs[np.ix_(o, o)]).sum()
        expected += w * (
            by_formula(row[o], mean[o], covariance[np.ix_(o, o)], n, w, 1.5)
            + 0.5 * o.size * np.log(2.0 * np.pi)
        )
    assert_allclose(found, expected, rtol=1e-10)


def test_half_of_a_row_remains_if_it_is_the_only_one_with_its_columns():
    """Then n is 2: the row itself, and as much again."""
    X = np.array([[0.5, nan], [nan, 0.2], [nan, -1.0], [nan, 0.4]])
    component = make_component(np.zeros(2), np.diag([2.0, 1.0]))
    found = leave_one_out(X, None, plain(2), pairs_of(X), [(1.0, component)])
    expected = by_formula(X[0, :1], np.zeros(1), np.array([[2.0]]), 2.0, 1.0, 1.0)
    for value in X[1:, 1]:
        expected += by_formula(np.array([value]), np.zeros(1), np.eye(1), 3.0, 1.0, 1.0)
    assert_allclose(found, expected + 2.0 * np.log(2.0 * np.pi), rtol=1e-12)
