"""Clusters of points, with and without the kernels, against direct formulas and scipy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import multivariate_normal

from emlearn.kernels import clusters


@pytest.fixture(params=["base", "v3", "v4", "numpy"])
def chosen(request, modules, monkeypatch):
    """The functions with one module of kernels after another, and without any."""
    found = {module.__name__.rpartition("_")[2]: module for module in modules}
    found["numpy"] = None
    if request.param not in found:
        pytest.skip("this processor has not the instructions")
    monkeypatch.setattr(clusters, "compiled", found[request.param])
    return clusters


def points_of(d, n=97, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(d, n)), rng.integers(1, 4, n).astype(float)


def n_moments_of(shape, d):
    return {"means": 0, "spherical": 1, "diag": d, "full": d * (d + 1) // 2}[shape]


@pytest.mark.parametrize("d", [1, 3, 8])
def test_seeds_are_those_of_the_definition(chosen, d):
    columns, weight = points_of(d)
    draws = np.random.default_rng(1).random((6, 3))
    seeds, labels = chosen.plus_plus(columns, weight, draws)
    squares = np.square(columns[:, :, None] - columns[:, None, seeds]).sum(axis=0)
    assert_array_equal(labels, squares.argmin(axis=1))
    for c in range(6):
        mass = weight * (squares[:, :c].min(axis=1) if c else 1.0)
        cumulative = np.cumsum(mass)
        tried = np.searchsorted(cumulative, draws[c] * cumulative[-1], side="right")
        left = [
            weight @ np.minimum(
                squares[:, :c].min(axis=1, initial=np.inf),
                np.square(columns - columns[:, [i]]).sum(axis=0),
            )
            for i in tried
        ]  # fmt: skip
        assert seeds[c] == tried[np.argmin(left) if c else 0]


def test_a_draw_on_an_edge_is_the_next_point(chosen):
    columns = np.array([[0.0, 1.0, 5.0, 9.0]])
    for fraction, expected in ((0.0, 0), (0.25, 1), (0.5, 2), (0.75, 3), (1.0, 3)):
        seeds, _ = chosen.plus_plus(columns, np.ones(4), np.full((1, 2), fraction))
        assert seeds[0] == expected


def test_there_are_no_more_seeds_than_points(chosen):
    columns = np.repeat([[0.0, 1.0, 5.0]], 4, axis=1).reshape(1, -1)
    seeds, labels = chosen.plus_plus(columns, np.ones(12), np.full((7, 2), 0.4))
    assert len(seeds) == 3
    assert_array_equal(columns[0, seeds][labels], columns[0])


@pytest.mark.parametrize("d", [1, 3, 8])
def test_lloyd_ends_at_a_fixed_point(chosen, d):
    columns, weight = points_of(d)
    start = columns.T[:5]
    centers, labels = chosen.lloyd(columns, weight, start, 1000)
    squares = np.square(columns.T[:, None] - centers).sum(axis=2)
    assert_array_equal(labels, squares.argmin(axis=1))
    for c in range(5):
        own = labels == c
        assert_allclose(centers[c], np.average(columns.T[own], axis=0, weights=weight[own]))
    once, _ = chosen.lloyd(columns, weight, start, 1)
    nearest = np.square(columns.T[:, None] - start).sum(axis=2).argmin(axis=1)
    assert_allclose(once[2], np.average(columns.T[nearest == 2], 0, weight[nearest == 2]))


def test_a_center_without_points_stays(chosen):
    columns, weight = points_of(2)
    start = np.vstack([columns.T[:2], [[1e3, 1e3]]])
    centers, _ = chosen.lloyd(columns, weight, start, 9)
    assert_array_equal(centers[2], 1e3)


@pytest.mark.parametrize("shape", ["means", "spherical", "diag", "full"])
def test_moments_are_those_of_copies(chosen, shape):
    columns, weight = points_of(3)
    labels = np.arange(97) % 7
    size, mean, scatter = chosen.moments_of(columns, weight, labels, n_moments_of(shape, 3))
    for c in range(7):
        own = np.repeat(columns.T, weight.astype(int), axis=0)[
            np.repeat(labels == c, weight.astype(int))
        ]
        matrix = len(own) * np.cov(own.T, bias=True)
        expected = {
            "means": np.empty(0),
            "spherical": [np.trace(matrix)],
            "diag": np.diagonal(matrix),
            "full": matrix[np.tril_indices(3)],
        }
        assert size[c] == len(own)
        assert_allclose(mean[c], own.mean(axis=0))
        assert_allclose(scatter[c], expected[shape], atol=1e-12)


def test_joining_by_means_is_wards_method(chosen):
    columns, _ = points_of(4)
    given = chosen.moments_of(columns, np.ones(97), np.arange(97), 0)
    labels = chosen.join(given, 6, prior=np.zeros(0))
    expected = fcluster(linkage(columns.T, "ward"), 6, "maxclust")
    assert len(set(zip(labels, expected, strict=True))) == 6
    assert set(labels) == set(range(6))


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", ["spherical", "diag", "full"])
def test_joining_costs_what_the_classification_likelihood_loses(chosen, d, shape):
    """The joins of brute force, which knows densities of rows only.

    Pseudo-rows are a scatter that all clusters have, so they are left out by a small one.
    """
    columns, weight = points_of(d, n=120, seed=d)
    labels = np.arange(120) % 6
    columns = columns + 1.5 * np.random.default_rng(d).normal(size=(d, 6))[:, labels // 2 * 2]
    n_moments = n_moments_of(shape, d)
    given = chosen.moments_of(columns, weight, labels, n_moments)
    joined = chosen.join(given, 3, prior=np.zeros(n_moments), entropy=1.0)

    def value(own):
        total = 0.0
        for c in set(own):
            rows, w = columns.T[own == c], weight[own == c]
            covariance = np.atleast_2d(np.cov(rows.T, bias=True, aweights=w))
            if shape == "diag":
                covariance = np.diag(np.diagonal(covariance))
            elif shape == "spherical":
                covariance = np.eye(d) * np.trace(covariance) / d
            normal = multivariate_normal(np.average(rows, axis=0, weights=w), covariance)
            share = w.sum() / weight.sum()
            total += w @ (normal.logpdf(rows) + np.log(share))
        return total

    expected = labels.copy()
    while len(set(expected)) > 3:
        pairs = [(a, b) for a in set(expected) for b in set(expected) if a < b]
        a, b = max(pairs, key=lambda pair: value(np.where(expected == pair[1], pair[0], expected)))
        expected = np.where(expected == b, a, expected)
    assert len(set(zip(joined[labels], expected, strict=True))) == 3


@pytest.mark.parametrize("n_left", [1, 4, 40])
@pytest.mark.parametrize("shape", ["means", "spherical", "diag", "full"])
def test_joins_with_and_without_the_kernels(modules, monkeypatch, shape, n_left):
    columns, weight = points_of(4, n=500, seed=3)
    labels = clusters.plus_plus(columns, weight, np.random.default_rng(0).random((23, 1)))[1]
    n_moments = n_moments_of(shape, 4)
    found = []
    for module in (*modules, None):
        monkeypatch.setattr(clusters, "compiled", module)
        given = clusters.moments_of(columns, weight, labels, n_moments)
        prior = given.scatter.mean(axis=0)
        found.append(clusters.join(given, n_left, prior=prior, extra=6.0, entropy=1.0))
    for own in found:
        assert_array_equal(own, found[0])
    assert len(set(found[0])) == min(n_left, 23)


@pytest.mark.parametrize("shape", ["means", "spherical", "diag", "full"])
def test_joins_do_not_depend_on_the_unit(chosen, shape):
    columns, weight = points_of(3, n=120)
    columns = columns + 1.5 * np.random.default_rng(1).normal(size=(3, 12))[:, np.arange(120) % 12]
    labels = np.arange(120) % 12
    n_moments = n_moments_of(shape, 3)
    found = []
    for unit in (1.0, 2.0**-30, 2.0**40):
        given = chosen.moments_of(columns * unit, weight, labels, n_moments)
        found.append(chosen.join(given, 4, prior=np.zeros(n_moments)))
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[0], found[2])
