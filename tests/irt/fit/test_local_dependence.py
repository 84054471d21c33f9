import numpy as np
import pytest

from emlearn import ItemResponseEM
from emlearn.irt import local_dependence

ABOVE = np.triu_indices(5, 1)


def test_lsat_like_mirt(lsat):
    estimator, X, counts = lsat
    found = local_dependence(estimator, X, sample_weight=counts)
    # mirt 1.47: residuals(m, type='Q3'), and type='LD'; by rows above the diagonal
    q3 = [-0.04206939767, -0.04223587983, -0.064722398916, -0.062856658396, -0.11570890759]
    q3 += [-0.098167269337, -0.030220358926, -0.094347885399, -0.105630846235, -0.004169645157]
    np.testing.assert_allclose(found.q3[ABOVE], q3, atol=1e-7)
    x2 = [0.04692077782, 0.38911261526, 0.24788975980, 0.51995160256, 0.0001143885032]
    x2 += [0.4355986156034, 0.3659566733131, 0.0286672354982, 0.7479872850070, 1.300774366422]
    np.testing.assert_allclose(found.statistic[ABOVE], x2, rtol=2e-4, atol=1e-6)
    v = [0.0068498742925, 0.0197259376269, -0.015744515229, -0.02280244729, 0.0003382136945]
    v += [-0.020870999392, 0.01912999408, 0.005354179255, -0.02734935621, 0.03606624969]
    np.testing.assert_allclose(found.cramers_v[ABOVE], v, rtol=2e-4, atol=1e-6)
    assert np.all(found.df[ABOVE] == 1)
    for matrix in (found.q3, found.statistic, found.p_value, found.p_adjusted, found.cramers_v):
        np.testing.assert_array_equal(matrix, matrix.T)


def test_graded_items_like_mirt(science):
    estimator, X, counts = science
    found = local_dependence(estimator, X, sample_weight=counts)
    above = np.triu_indices(4, 1)
    q3 = [-0.20276229463, -0.2522064675, 0.08532119587, -0.2092405499, -0.2413992364, -0.320026926]
    np.testing.assert_allclose(found.q3[above], q3, atol=1e-6)
    x2 = [25.48348645, 12.00781495, 27.37034136, 9.198934043, 23.2096613444, 17.4821875921]
    np.testing.assert_allclose(found.statistic[above], x2, rtol=1e-6)
    assert np.all(found.df[above] == 9)
    v = [-0.1472060846, -0.10104814197, 0.1525585127, 0.08844333115, -0.1404852543, -0.1219254107]
    np.testing.assert_allclose(found.cramers_v[above], v, rtol=1e-6)


def test_copied_answers_are_found_among_missing_ones():
    rng = np.random.default_rng(0)
    trait, difficulty = rng.normal(size=(600, 1)), np.linspace(-1, 1, 8)
    X = (rng.logistic(size=(600, 8)) < trait - difficulty).astype(float)
    X[:200, 1] = X[:200, 0]
    X[rng.random(X.shape) < 0.2] = np.nan
    found = local_dependence(ItemResponseEM("1pl").fit(X), X)
    for matrix in (found.cramers_v, found.q3 - np.eye(8)):
        assert np.unravel_index(np.argmax(matrix), matrix.shape) == (0, 1)
    assert found.p_adjusted[0, 1] < 0.01
    assert np.sum(found.p_adjusted < 0.01) == 2


def test_correlations_over_pairs_of_present_answers():
    rng = np.random.default_rng(1)
    X = (rng.logistic(size=(300, 4)) < rng.normal(size=(300, 1))).astype(float)
    X[rng.random(X.shape) < 0.3] = np.nan
    estimator = ItemResponseEM("1pl").fit(X)
    found = local_dependence(estimator, X)
    theta = estimator.transform(X)[:, 0]
    residual = X - estimator.item_probabilities(theta)[:, :, 1]
    both = ~np.isnan(residual[:, 1] + residual[:, 2])
    expected = np.corrcoef(residual[both, 1], residual[both, 2])[0, 1]
    np.testing.assert_allclose(found.q3[1, 2], expected, atol=1e-6)


def test_items_that_nobody_answered_together_have_no_dependence(lsat):
    X = np.array([[0, 1, 0, np.nan, np.nan], [np.nan, 1, 1, 0, 1]] * 3)
    found = local_dependence(lsat[0], X)
    assert found.q3[0, 3] == found.statistic[0, 3] == found.cramers_v[0, 3] == 0.0
    assert found.p_value[0, 3] == pytest.approx(1.0)
