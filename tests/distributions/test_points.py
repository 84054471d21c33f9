"""Rows as points of a Euclidean space, in which starts find clusters."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from emlearn.distributions import Bernoulli, Gaussian, Mixture, Poisson, find_family


def points_of(X, family):
    family = find_family(family).at_columns(None, X.shape[1])
    points = family.points(X, family.column_spec(X))
    return points.toarray() if hasattr(points, "indptr") else points


def squares(points):
    return np.square(points[:, None] - points).sum(axis=2)


def test_distance_of_items_counts_different_answers():
    X = np.array([[1.0, 5.0], [3.0, 5.0], [3.0, 7.0], [np.nan, 7.0]])
    found = squares(points_of(X, "categorical"))
    assert_allclose(found[:3, :3], 2.0 * (X[:3, None] != X[:3]).sum(axis=2))
    assert_allclose(found[3], [3.0, 3.0, 1.0, 0.0])


@pytest.mark.parametrize("family", ["poisson", Mixture(Poisson(), 2)])
def test_counts_are_square_roots_and_missing_ones_at_the_mean(family):
    X = np.array([[4.0], [np.nan], [16.0]])
    assert_allclose(points_of(X, family)[:, 0], [2.0, 3.0, 4.0])


def test_answers_differ_by_one():
    X = np.array([[0.0, 1.0], [1.0, 1.0], [np.nan, 0.0]])
    assert_allclose(points_of(X, Bernoulli()), [[0.0, 1.0], [1.0, 1.0], [0.5, 0.0]])


@pytest.mark.parametrize("make", [np.array, csr_array])
def test_length_of_documents_does_not_matter(make):
    X = make([[1.0, 0.0, 3.0], [2.0, 0.0, 6.0], [0.0, 0.0, 0.0], [np.nan, 1.0, 1.0]])
    half = np.sqrt(0.5)
    expected = [[0.5, 0, np.sqrt(0.75)], [0.5, 0, np.sqrt(0.75)], [0, 0, 0], [0, half, half]]
    assert_allclose(points_of(X, "multinomial"), expected)


def test_sparse_documents_stay_sparse():
    X = csr_array([[1.0, 0.0, 3.0], [2.0, 0.0, 6.0]])
    family = find_family("multinomial").at_columns(None, 3)
    assert hasattr(family.points(X, family.column_spec(X)), "indptr")


def test_each_part_of_a_product_is_a_point_of_its_own_family():
    rng = np.random.default_rng(0)
    items, counts = rng.integers(3, size=(50, 2)) * 2.0, rng.poisson(3.0, (50, 1)) * 1.0
    numbers, names = rng.normal(3.0, 5.0, (50, 2)), rng.normal(size=(50, 1)) * 1e6
    X = np.hstack([names, items, numbers, counts])
    family = [
        ("categorical", [1, 2]),
        (Gaussian("diag"), [3, 4]),
        ("poisson", [5]),
        ("ignore", [0]),
    ]
    parts = [points_of(items, "categorical"), points_of(numbers, Gaussian("diag"))]
    assert_allclose(points_of(X, family), np.hstack([*parts, np.sqrt(counts)]), atol=1e-12)


def test_other_numbers_are_standardized_in_any_unit():
    class Own(type(Bernoulli())):
        is_discrete = False

    X = np.random.default_rng(0).normal(size=(50, 2))
    X[0, 1] = np.nan
    found = Own().points(X, None)
    assert_allclose(found, Own().points(X * 1e300, None), atol=1e-12)
    assert_allclose(np.square(found).mean(axis=0), 1.0)
    assert found[0, 1] == 0.0
    assert_array_equal(Own().points(np.ones((3, 1)), None), np.zeros((3, 1)))


def test_penalty_of_a_product_is_that_of_its_gaussian_part():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(40, 2)), rng.poisson(3.0, (40, 1))])
    family = find_family([("gaussian", [0, 1]), ("poisson", [2])]).at_columns(None, 3)
    alone = Gaussian().at_columns(None, 2)
    responsibilities = np.zeros((2, 40))
    for few in (3, 20):
        responsibilities[0], responsibilities[1] = np.arange(40) < few, np.arange(40) >= few
        penalties = []
        for own, columns in ((family, [0, 1, 2]), (alone, [0, 1])):
            spec = own.column_spec(X[:, columns])
            rows = own.encode(X[:, columns], spec)
            start = own.start(rows, responsibilities, spec, rng)
            precomputed = own.precompute(start, spec)
            statistics = own.sufficient_statistics(rows, responsibilities, precomputed)
            penalties.append(own.ranking_penalty(statistics, spec))
        assert penalties[0] == penalties[1]
        assert penalties[0].starved == (few == 3)
