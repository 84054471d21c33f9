"""The automatic strength of the prior against the formula of Schaefer and Strimmer (2005)."""

import numpy as np
import pytest

from emlearn import MissingDataImputerEM
from emlearn.distributions.gaussian.incomplete import automatic_strength
from emlearn.distributions.gaussian.incomplete.available import AvailableMoments


def moments(correlations, weights):
    """Three columns; values for the pairs (0, 1), (0, 2), (1, 2)."""
    correlation, weight = np.eye(3), np.diag([30.0, 30.0, 30.0])
    for (i, j), r, n in zip([(0, 1), (0, 2), (1, 2)], correlations, weights, strict=True):
        correlation[i, j] = correlation[j, i] = r
        weight[i, j] = weight[j, i] = n
    return AvailableMoments(np.ones(3), correlation, weight)


def pseudo_rows(correlations, weights):
    """Pseudo-rows nu with nu / (n + nu) = sum var(r) / sum r^2, where n is the mean weight.

    The variance of a correlation of n normal rows is (1 - r^2)^2 / (n - 1).
    """
    pairs = list(zip(correlations, weights, strict=True))
    shrinkage = sum((1 - r * r) ** 2 / (n - 1) for r, n in pairs) / sum(r * r for r, _ in pairs)
    return shrinkage / (1.0 - shrinkage) * sum(weights) / len(weights)


@pytest.mark.parametrize(
    ("correlations", "weights"),
    [
        ((0.9, 0.8, 0.7), (3.0, 3.0, 3.0)),
        ((0.9, -0.8, 0.7), (4.0, 2.5, 7.0)),
        ((0.5, 0.4, -0.6), (50.0, 60.0, 40.0)),
    ],
)
def test_formula(correlations, weights):
    expected = pseudo_rows(correlations, weights)
    assert 0.01 < expected < 4.0  # between the bounds
    assert automatic_strength(moments(correlations, weights)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n_of_rare_pair", [0.0, 1.0])
def test_pairs_that_no_two_rows_have_are_left_out(n_of_rare_pair):
    found = automatic_strength(moments((0.5, 0.4, 0.3), (20.0, 30.0, n_of_rare_pair)))
    assert found == pytest.approx(pseudo_rows((0.5, 0.4), (20.0, 30.0)), rel=1e-12)


def test_bounds():
    assert automatic_strength(moments((1.0, 1.0, 1.0), (9.0, 9.0, 9.0))) == 0.01
    assert automatic_strength(moments((0.0, 0.0, 0.0), (9.0, 9.0, 9.0))) == 4.0
    # Shrinkage would be above 1.
    assert automatic_strength(moments((0.1, 0.1, 0.1), (9.0, 9.0, 9.0))) == 4.0
    # Nearly independent, but of 2 rows: a shrinkage of 0.99 would be 198 rows.
    assert automatic_strength(moments((0.1, 0.1, 0.1), (2.0, 2.0, 2.0))) == 4.0


def test_without_pairs():
    assert automatic_strength(moments((0.0, 0.0, 0.0), (1.0, 0.0, 0.0))) == 1.0
    assert automatic_strength(AvailableMoments(np.ones(1), np.eye(1), np.eye(1))) == 0.01


def test_it_is_the_strength_of_the_imputer():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 1)) + 0.25 * rng.normal(size=(6, 3))
    r = np.corrcoef(X, rowvar=False)[np.triu_indices(3, 1)]
    expected = pseudo_rows(r, [6.0] * 3)
    assert 0.01 < expected < 4.0
    assert MissingDataImputerEM().fit(X).alpha_ == pytest.approx(expected, rel=1e-6)
