"""Exact relations: what is accepted, how small its terms may be, and how many there may be."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions.gaussian.incomplete.relations import find_relations, surely_independent
from emlearn.distributions.gaussian.scaling import ColumnScaling


def found_in(X, scaling=None):
    """Relations that the covariance of complete rows suggests."""
    if scaling is None:
        scaling = ColumnScaling(np.zeros(X.shape[1]), np.ones(X.shape[1]))
    Z = scaling.to_scaled(X[~np.isnan(X).any(axis=1)])
    covariance = np.cov(Z.T, bias=True) + 1e-12 * np.eye(X.shape[1])
    return find_relations(X, scaling, covariance, float(len(X)))


def normal(n=60, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def same_space(found, expected):
    """Whether the rows of two matrices span the same space."""
    both = np.vstack((found, expected))
    ranks = [np.linalg.matrix_rank(A, tol=1e-7) for A in (found, expected, both)]
    return len(set(ranks)) == 1 and len(found) == ranks[0]


@pytest.mark.parametrize(("error", "accepted"), [(0.0, True), (3e-8, True), (1e-6, False)])
def test_residuals_up_to_rounding(error, accepted):
    X = normal()
    signs = np.where(np.arange(60) % 2, 1.0, -1.0)
    X = np.column_stack((X, X.sum(axis=1) + error * signs))
    assert (found_in(X) is not None) == accepted


@pytest.mark.parametrize("small", [0.3, 0.03, 0.003])
def test_terms_may_be_small(small):
    X = normal()
    X = np.column_stack((X, X[:, 0] - small * X[:, 1]))
    found = found_in(X)
    assert same_space(found.coefficients, [[1.0, -small, 0.0, -1.0]])
    assert_allclose(found.constants, 0.0, atol=1e-9)


@pytest.mark.parametrize("n_relations", [1, 2, 4])
def test_as_many_relations_as_there_are(n_relations):
    """In the units of a scaling, and each once."""
    rng = np.random.default_rng(n_relations)
    X = normal(80, 3)
    A = rng.normal(size=(n_relations, 3))
    X = np.column_stack((X, X @ A.T + 2.0))
    scaling = ColumnScaling(X.mean(axis=0), 2.0 ** np.arange(-2, 1 + n_relations))
    found = found_in(X, scaling)
    expected = np.column_stack((A, -np.eye(n_relations))) * scaling.scale
    assert same_space(found.coefficients, expected)
    Z = scaling.to_scaled(X)
    assert_allclose(Z @ found.coefficients.T, np.tile(found.constants, (80, 1)), atol=1e-8)


def test_a_relation_that_late_rows_break_is_none():
    X = normal(6000, 2)
    X = np.column_stack((X, X.sum(axis=1)))
    assert found_in(X) is not None
    X[5000, 2] += 1e-4
    assert found_in(X) is None


@pytest.mark.parametrize(("n", "accepted"), [(3, False), (4, True)])
def test_more_rows_than_terms(n, accepted):
    """Any three points are in a plane; a fourth one is there for a reason."""
    X = normal(4, 2, seed=3)
    X = np.column_stack((X, X.sum(axis=1)))
    rows = np.full((20, 3), np.nan)
    rows[:n] = X[:n]
    # What many such rows suggest.
    A = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    covariance = A @ A.T + 1e-12 * np.eye(3)
    found = find_relations(rows, ColumnScaling(np.zeros(3), np.ones(3)), covariance, 1.0)
    assert (found is not None) == accepted


@pytest.mark.parametrize(("share", "accepted"), [(0.9, True), (1.1, False)])
def test_eigenvalues_that_are_not_small_suggest_nothing(share, accepted):
    """The limit is 8 divided by the rows that pairs have in common."""
    X = normal(80, 2)
    X = np.column_stack((X, X.sum(axis=1)))
    covariance = np.cov(X.T) + 0.01 * np.eye(3)
    deviation = np.sqrt(np.diagonal(covariance))
    smallest = np.linalg.eigvalsh(covariance / np.outer(deviation, deviation))[0]
    scaling = ColumnScaling(np.zeros(3), np.ones(3))
    found = find_relations(X, scaling, covariance, share * 8.0 / smallest)
    assert (found is not None) == accepted


@pytest.mark.parametrize(("error", "independent"), [(1e-3, True), (1e-8, False)])
def test_columns_that_are_nearly_related_are_independent(error, independent):
    X = normal(60, 3)
    X = np.column_stack((X[:, :2], X[:, :2].sum(axis=1) + error * X[:, 2]))
    scaling = ColumnScaling(np.zeros(3), np.ones(3))
    assert surely_independent(X, scaling) == independent
    # A constant sum is a relation too.
    assert surely_independent(X + 1000.0, scaling) == independent


def test_a_constant_sum_is_a_relation():
    X = normal(60, 2)
    X = np.column_stack((X, 100.0 - X.sum(axis=1)))
    scaling = ColumnScaling(np.zeros(3), np.ones(3))
    assert not surely_independent(X, scaling)
    found = found_in(X)
    assert_allclose(found.constants / found.coefficients[0, 0], 100.0)
    assert_allclose(found.coefficients / found.coefficients[0, 0], [[1.0, 1.0, 1.0]])


def test_a_relation_is_found_once_beside_one_that_is_not_exact():
    X = normal(60, 4)
    X = np.column_stack((X[:, :3], X[:, :2].sum(axis=1), X[:, 2] + 1e-3 * X[:, 3]))
    found = found_in(X)
    assert same_space(found.coefficients, [[1.0, 1.0, 0.0, -1.0, 0.0]])


def test_a_total_of_many_parts():
    """Each part's coefficient is small beside that of the total, in standard deviations."""
    X = normal(120, 30)
    X = np.column_stack((X, X.sum(axis=1)))
    found = found_in(X)
    assert same_space(found.coefficients, np.append(np.ones(30), -1.0)[None])
