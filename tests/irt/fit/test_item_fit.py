"""S-X2 and residual fit of items, against mirt and enumeration of all patterns."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.preprocessing import StandardScaler

from emlearn import ItemResponseEM
from emlearn.irt import item_fit
from emlearn.irt._fitted import read_fitted
from emlearn.irt._item_fit import _expected_shares, _groups_of_scores, _join_categories
from emlearn.irt._summed import rest_scores, summed_scores


def test_lsat_like_mirt(lsat):
    estimator, X, counts = lsat
    fit = item_fit(estimator, X, sample_weight=counts)
    # mirt 1.47: itemfit(m, 'S_X2'), and 'infit' with method='WLE'
    expected = [0.4503761358, 1.6910392404, 0.6662799031, 0.1753074779, 0.1110503085]
    np.testing.assert_allclose(fit.statistic, expected, rtol=1e-6)
    assert fit.df.tolist() == [2, 2, 1, 2, 2]
    p_value = [0.7983660576, 0.4293342095, 0.4143516165, 0.9160780240, 0.9459882278]
    np.testing.assert_allclose(fit.p_value, p_value, rtol=1e-6)
    outfit = [0.4799086402, 0.6973252734, 0.6343912371, 0.6919081821, 0.6408548910]
    np.testing.assert_allclose(fit.outfit, outfit, rtol=1e-5)
    infit = [0.6951994366, 0.8243839591, 0.7217128844, 0.8289010643, 0.8041451660]
    np.testing.assert_allclose(fit.infit, infit, rtol=1e-5)
    assert fit.n_persons == 1000.0
    joined = item_fit(estimator, X, sample_weight=counts, min_expected=5.0)
    # mirt prints three digits of this: itemfit(m, 'S_X2', mincell=5)
    np.testing.assert_allclose(joined.statistic, [0.450, 0.924, 0.666, 0.021, 0.111], atol=5e-4)
    assert joined.df.tolist() == [2, 1, 1, 1, 2]


def test_residuals_of_graded_items_like_mirt(science):
    estimator, X, counts = science
    fit = item_fit(estimator, X, sample_weight=counts)
    outfit = [0.8302175409, 0.8172491241, 0.3872618751, 0.8776129537]
    np.testing.assert_allclose(fit.outfit, outfit, rtol=1e-5)
    infit = [0.8565782270, 0.8499139035, 0.4280219425, 0.8943224659]
    np.testing.assert_allclose(fit.infit, infit, rtol=1e-4)
    assert np.all(fit.p_value > 0.05)


@pytest.fixture
def uneven(bank):
    """Three graded items with 2, 3 and 4 categories."""
    intercepts = [[0.5, 0, 0], [1.0, -0.7, 0], [1.5, 0.1, -1.0]]
    return bank("grm", [1.0, 1.5, 0.8], intercepts, n_categories=[2, 3, 4])


def test_summed_scores_are_those_of_all_patterns(uneven):
    curves = read_fitted(uneven, "test").curves
    points = np.array([-1.0, 0.3])
    p = curves.probabilities(points)
    whole, rest = np.zeros((7, 2)), np.zeros((3, 7, 2))
    for pattern in itertools.product(range(2), range(3), range(4)):
        whole[sum(pattern)] += np.prod([p[j, k] for j, k in enumerate(pattern)], axis=0)
        for item in range(3):
            if pattern[item] == 0:
                others = [p[j, k] for j, k in enumerate(pattern) if j != item]
                rest[item, sum(pattern)] += np.prod(others, axis=0)
    np.testing.assert_allclose(summed_scores(p, curves.top), whole, atol=1e-14)
    np.testing.assert_allclose(rest_scores(p, curves.top), rest, atol=1e-14)


def test_expected_shares_are_those_of_all_patterns(uneven):
    curves = read_fitted(uneven, "test").curves
    grid = np.linspace(-6, 6, 121)
    density = norm.pdf(grid) / norm.pdf(grid).sum()
    p = curves.probabilities(grid)
    joint = np.zeros((3, 7, 4))
    for pattern in itertools.product(range(2), range(3), range(4)):
        share = np.prod([p[j, k] for j, k in enumerate(pattern)], axis=0) @ density
        for item, category in enumerate(pattern):
            joint[item, sum(pattern), category] += share
    expected = joint / joint.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(_expected_shares(curves, grid, density), expected, atol=1e-13)


def test_joined_cells_keep_their_totals_and_are_large_enough():
    rng = np.random.default_rng(0)
    for width in (2, 4):
        for _ in range(50):
            expected = rng.gamma(0.4, 2.0, size=(12, width))
            groups = _groups_of_scores(expected, expected.sum(axis=1), 1.0)
            rows = [row for group in groups for row in range(12)[group]]
            assert rows == list(range(12))
            for group in groups:
                total = expected[group].sum(axis=0)
                seen, wanted = _join_categories(2.0 * total, total, 1.0)
                np.testing.assert_allclose(seen.sum(), 2.0 * wanted.sum())
                assert len(wanted) == 1 or wanted.min() >= 1.0


def test_groups_of_scores_are_joined_from_both_ends():
    # Too little at both ends; the middle, with most persons, stands alone.
    expected = np.array([[0.4, 3], [0.7, 3], [5, 5], [9, 9], [5, 5], [3, 0.6], [3, 0.2], [3, 0.3]])
    groups = _groups_of_scores(expected, expected.sum(axis=1), 1.0)
    assert [(g.start, g.stop) for g in groups] == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 8)]
    # What is left in the middle joins the group below it, or else the one above.
    few = np.array([[2, 2], [9, 0.1], [2, 2]])
    groups = _groups_of_scores(few, few.sum(axis=1), 1.0)
    assert [(g.start, g.stop) for g in groups] == [(0, 2), (2, 3)]
    groups = _groups_of_scores(few[1:], few[1:].sum(axis=1), 1.0)
    assert [(g.start, g.stop) for g in groups] == [(0, 2)]


def test_small_categories_join_the_smaller_neighbor():
    seen, wanted = _join_categories(np.arange(4.0), np.array([5.0, 0.3, 4.0, 0.5]), 1.0)
    np.testing.assert_allclose(wanted, [5.0, 4.8])
    np.testing.assert_allclose(seen, [0.0, 6.0])


def test_a_bad_item_is_found_and_weights_are_copies():
    rng = np.random.default_rng(0)
    trait, difficulty = rng.normal(size=(800, 1)), np.linspace(-1, 1, 8)
    X = (rng.logistic(size=(800, 8)) < trait - difficulty).astype(float)
    X[:, 3] = np.abs(trait[:, 0]) < 0.7
    estimator = ItemResponseEM("2pl").fit(X)
    fit = item_fit(estimator, X)
    assert np.flatnonzero(fit.p_adjusted < 0.01).tolist() == [3]
    assert np.all(fit.rmsea[[0, 1, 2, 4, 5, 6, 7]] < 0.5 * fit.rmsea[3])
    patterns, counts = np.unique(X, axis=0, return_counts=True)
    weighted = item_fit(estimator, patterns, sample_weight=counts)
    np.testing.assert_allclose(weighted.statistic, fit.statistic, rtol=1e-9)
    np.testing.assert_allclose(weighted.infit, fit.infit, rtol=1e-9)


def test_incomplete_rows_count_in_residuals_only(lsat):
    estimator, X, counts = lsat
    X = np.vstack([X, [[1, 0, np.nan, np.nan, np.nan], [np.nan] * 5]])
    fit = item_fit(estimator, X, sample_weight=[*counts, 50, 7])
    complete = item_fit(estimator, X[:-2], sample_weight=counts)
    np.testing.assert_allclose(fit.statistic, complete.statistic)
    assert fit.n_persons == 1000.0
    assert fit.outfit[0] != complete.outfit[0]
    assert fit.outfit[4] == pytest.approx(complete.outfit[4])


def test_groups_mix_their_populations():
    rng = np.random.default_rng(2)
    group = np.repeat([0, 1], 600)
    trait = rng.normal(size=1200) + 1.5 * group
    difficulty = np.linspace(-1, 2, 8)
    X = (rng.logistic(size=(1200, 8)) < trait[:, None] - difficulty).astype(float)
    estimator = ItemResponseEM("2pl").fit(X, groups=group)
    fit = item_fit(estimator, X, groups=group)
    assert np.all(fit.p_adjusted > 0.01)
    with pytest.raises(ValueError, match="fitted with groups"):
        item_fit(estimator, X)


def test_messages(lsat, bank):
    with pytest.raises(ValueError, match="three or more items; got 2"):
        item_fit(bank("2pl", [1, 1], [0, 0]), [[0, 1]])
    with pytest.raises(ValueError, match="Nobody answered all items"):
        item_fit(lsat[0], [[0, 1, 0, 1, np.nan]])
    with pytest.raises(ValueError, match="min_expected"):
        item_fit(*lsat[:2], min_expected=0)
    with pytest.raises(TypeError, match="item_fit takes an ItemResponseEM"):
        item_fit(StandardScaler().fit([[0.0], [1.0]]), [[0.0]])
