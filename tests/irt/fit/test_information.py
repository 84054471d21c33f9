import numpy as np
import pytest

from emlearn.irt import expected_score, item_information
from emlearn.irt._fitted import read_fitted


def curves_of(fitted):
    return read_fitted(fitted, "test").curves


POINTS = np.array([-1.0, 0.0, 1.5])


def test_lsat_like_mirt(lsat):
    # mirt 1.47: testinfo, iteminfo of item 2, expected.test
    information = item_information(lsat[0], POINTS)
    total = [0.5592005453, 0.4601831756, 0.2332136988]
    np.testing.assert_allclose(information.sum(axis=1), total, rtol=1e-8)
    second = [0.12828198179, 0.10316620795, 0.05179691512]
    np.testing.assert_allclose(information[:, 1], second, rtol=1e-8)
    score = [3.232950733, 3.901842619, 4.565164053]
    np.testing.assert_allclose(expected_score(lsat[0], POINTS).sum(axis=1), score, rtol=1e-8)


def test_graded_items_like_mirt(science):
    total = [2.374043434, 1.826316152, 1.778294683]
    found = item_information(science[0], POINTS).sum(axis=1)
    np.testing.assert_allclose(found, total, rtol=1e-7)


@pytest.mark.parametrize("kind", ["3pl", "gpcm", "grm"])
def test_information_is_the_expected_curvature(bank, kind):
    if kind == "3pl":
        fitted = bank(kind, [0.8, 1.7], [0.3, -0.5], [0.2, 0.1])
    else:
        fitted = bank(kind, [0.8, 1.7], [[1.0, -0.5], [0.4, 0.0]], n_categories=[3, 2])
    step = 1e-3
    table = [curves_of(fitted).table(POINTS + d) for d in (-step, 0.0, step)]
    curvature = (table[0] - 2 * table[1] + table[2]) / step**2
    expected = -np.sum(np.exp(table[1]) * curvature, axis=1).T
    np.testing.assert_allclose(item_information(fitted, POINTS), expected, rtol=1e-4)


@pytest.mark.parametrize("theta", [[[0.0]], [np.nan], [np.inf], ["a"]])
def test_points_are_checked(lsat, theta):
    with pytest.raises(ValueError, match=r"theta|NaN|infinity|convert"):
        item_information(lsat[0], theta)
