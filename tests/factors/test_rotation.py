"""Rotations against R, first-order conditions and brute force."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn import FactorAnalysisEM
from emlearn.factors import rotate

# R 4.2.2: loadings of factanal(HolzingerSwineford1939[x1..x9], 3, rotation="none"), rotated by
# GPArotation::oblimin (eps=1e-9) and stats::varimax (eps=1e-14).
UNROTATED = [
    [0.488047073129, 0.313524305317, 0.3885672434851],
    [0.244472742770, 0.173129596093, 0.4018997860595],
    [0.272438842658, 0.407055280981, 0.4661638291956],
    [0.834522318416, -0.152809196143, -0.0320750504532],
    [0.839042999236, -0.209096878026, -0.0969950551852],
    [0.823369084972, -0.128821502444, 0.0158925715296],
    [0.228781299068, 0.484530593844, -0.4589996005433],
    [0.269711751910, 0.621728926227, -0.2686245342308],
    [0.376472943938, 0.560757056958, 0.0239358842876],
]
OBLIMIN = [
    [0.1910354336365, 0.6020399255507, 0.03093635538036],
    [0.0436891116979, 0.5054299774313, -0.11662399855641],
    [-0.0694954434818, 0.6893236886593, 0.02307035057010],
    [0.8404730741418, 0.0217611015166, 0.00530826369175],
    [0.8882076543365, -0.0674343874809, 0.00755753968033],
    [0.8075616860709, 0.0775064492938, -0.01093059081038],
    [0.0435886424107, -0.1515938633765, 0.72309769082641],
    [-0.0326724948161, 0.1042306623955, 0.70150235129534],
    [0.0348252195290, 0.3660632651993, 0.46317396072420],
]
PHI = [[1.0, 0.325772106484, 0.216438901063], [0.325772106484, 1.0, 0.270478065154]]
# The fourth row, and promax as in stats::promax after that varimax.
VARIMAX = [0.82687999704515, 0.09890520495971, 0.16520953404798]
PROMAX = [0.841001761729205, 0.002088344162069, 0.01833302561092]


def align(found, expected):
    """Columns in the order and with the signs of others."""
    expected = np.asarray(expected)
    order = np.abs(found.T @ expected).argmax(axis=0)
    return found[:, order] * np.sign((found[:, order] * expected).sum(axis=0)), order


def test_oblimin_as_in_r():
    rotated = rotate(UNROTATED, "oblimin")
    loadings, order = align(rotated.loadings, OBLIMIN)
    assert_allclose(loadings, OBLIMIN, atol=1e-7)
    assert_allclose(rotated.factor_correlation[np.ix_(order, order)][:2], PHI, atol=1e-7)
    assert_allclose(rotate(UNROTATED, "quartimin").loadings, rotated.loadings)


def test_varimax_and_promax_as_in_r():
    for rotation, row in (("varimax", VARIMAX), ("promax", PROMAX)):
        loadings = rotate(UNROTATED, rotation).loadings
        found = np.sort(np.abs(loadings[3]))
        assert_allclose(found, np.sort(np.abs(row)), atol=1e-7)


@pytest.mark.parametrize("rotation", ["varimax", "promax", "oblimin", "quartimin"])
def test_rotated_loadings_have_the_same_covariance(rotation):
    unrotated = np.array(UNROTATED)
    loadings, matrix, phi = rotate(unrotated, rotation)
    assert_allclose(loadings @ phi @ loadings.T, unrotated @ unrotated.T, atol=1e-12)
    assert_allclose(loadings, unrotated @ matrix, atol=1e-14)
    assert_allclose(np.diagonal(phi), 1.0, atol=1e-12)
    size = np.square(loadings).sum(axis=0)
    assert (np.diff(size) <= 0).all()
    assert (loadings.sum(axis=0) > 0).all()


@pytest.mark.parametrize("rotation", ["varimax", "oblimin"])
def test_given_loadings_may_be_turned_and_reordered(rotation):
    """The result does not depend on the rotation that the search starts from."""
    rng = np.random.default_rng(0)
    expected = rotate(UNROTATED, rotation).loadings
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert_allclose(rotate(UNROTATED @ turn, rotation).loadings, expected, atol=1e-8)
    order = rng.permutation(9)
    found = rotate(np.array(UNROTATED)[order], rotation).loadings
    assert_allclose(found, expected[order], atol=1e-8)


def varimax_criterion(loadings):
    scaled = loadings / np.linalg.norm(loadings, axis=1, keepdims=True)
    return np.var(scaled**2, axis=0).sum()


def test_varimax_of_two_factors_by_brute_force():
    A = np.random.default_rng(1).normal(size=(12, 2))

    def turned(angle):
        c, s = np.cos(angle), np.sin(angle)
        return A @ np.array([[c, -s], [s, c]])

    best = max(varimax_criterion(turned(angle)) for angle in np.linspace(0, np.pi / 2, 4001))
    found = varimax_criterion(rotate(A).loadings)
    assert best - 1e-12 <= found <= best + 1e-6


def test_oblimin_of_two_factors_by_brute_force():
    rng = np.random.default_rng(2)
    A = np.zeros((14, 2))
    A[:7, 0], A[7:, 1] = rng.uniform(0.5, 0.9, (2, 7))
    A = A @ np.linalg.cholesky([[1.0, 0.4], [0.4, 1.0]]) + 0.1 * rng.normal(size=(14, 2))

    def value(a, b):
        T = np.array([[np.cos(a), np.cos(b)], [np.sin(a), np.sin(b)]])
        if abs(np.linalg.det(T)) < 0.1:
            return np.inf
        L = A @ np.linalg.inv(T).T
        return np.sum(L[:, 0] ** 2 * L[:, 1] ** 2)

    angles = np.linspace(0, np.pi, 181)
    best = min(value(a, b) for a in angles for b in angles if a < b)
    L = rotate(A, "quartimin").loadings
    found = np.sum(L[:, 0] ** 2 * L[:, 1] ** 2)
    assert 0.9 * best <= found <= best


@pytest.mark.parametrize("gamma", [0.0, -1.0])
def test_no_small_change_of_the_factors_lowers_oblimin(gamma):
    matrix = rotate(UNROTATED, "oblimin", gamma=gamma).rotation_matrix
    turn = np.linalg.inv(matrix).T

    def value(T):
        L2 = (np.array(UNROTATED) @ np.linalg.inv(T / np.linalg.norm(T, axis=0)).T) ** 2
        N = np.eye(9) - gamma / 9
        return np.sum(L2 * (N @ L2 @ (1.0 - np.eye(3))))

    rng = np.random.default_rng(0)
    for size in (1e-2, 1e-4):
        assert all(value(turn + size * rng.normal(size=(3, 3))) > value(turn) for _ in range(50))


def test_one_factor_is_not_rotated(scores):
    plain = FactorAnalysisEM(1).fit(scores)
    turned = FactorAnalysisEM(1, rotation="oblimin").fit(scores)
    assert_allclose(turned.components_, plain.components_)
    assert_allclose(turned.rotation_matrix_, 1.0)


def test_zero_rows_and_negative_loadings():
    A = np.array(UNROTATED)
    A[2] = 0.0
    for rotation in ("varimax", "promax", "oblimin"):
        assert np.isfinite(rotate(-A, rotation).loadings).all()
        assert_allclose(rotate(-A, rotation).loadings, rotate(A, rotation).loadings, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0],), "must have shape"),
        (([[np.nan, 1.0]],), "entries that are NaN or infinite"),
        ((UNROTATED, "equamax"), "rotation='equamax' must be one of"),
        ((UNROTATED, None), "rotation=None must be one of"),
        ((["a"],), "must be an array of numbers"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        rotate(*arguments)


@pytest.mark.parametrize("gamma", [0.5, "0", None, np.nan, -np.inf])
def test_gamma_is_no_positive_number(gamma):
    with pytest.raises(ValueError, match=r"gamma=.* must be a number, 0 or negative"):
        rotate(UNROTATED, "oblimin", gamma=gamma)


def test_options_without_a_meaning():
    with pytest.raises(ValueError, match="gamma=-1 says nothing with 'quartimin'"):
        rotate(UNROTATED, "quartimin", gamma=-1)
    with pytest.raises(ValueError, match="kaiser must be True, False or None, got 'no'"):
        rotate(UNROTATED, kaiser="no")


@pytest.mark.parametrize("rotation", ["varimax", "promax", "oblimin"])
def test_loadings_of_any_size(rotation):
    expected = rotate(UNROTATED, rotation)
    for unit in (1e200, 1e-200):
        found = rotate(np.multiply(UNROTATED, unit), rotation)
        assert_allclose(found.loadings / unit, expected.loadings, atol=1e-12)
        assert_allclose(found.factor_correlation, expected.factor_correlation, atol=1e-12)
