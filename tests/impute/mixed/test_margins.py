"""Transformations of single columns, against scipy, scikit-learn and simulation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import yeojohnson
from sklearn.preprocessing import PowerTransformer

from emlearn.impute.mixed.margins import fit_margin, inverse_yeo_johnson, yeo_johnson

COLUMNS = {
    "normal": lambda rng: 5.0 + 2.0 * rng.normal(size=300),
    "skewed": lambda rng: rng.lognormal(2.0, 0.7, size=300),
    "left": lambda rng: -rng.gamma(1.5, size=300),
    "zeros": lambda rng: rng.gamma(1.0, size=300) * (rng.random(300) < 0.6),
}


@pytest.fixture(params=COLUMNS)
def column(request):
    return COLUMNS[request.param](np.random.default_rng(0))


@pytest.mark.parametrize("power", [-3.0, -0.5, 0.0, 0.5, 1.0, 2.0, 2.5, 5.0])
def test_yeo_johnson(power):
    x = np.concatenate([np.linspace(-20.0, 20.0, 81), [1e-12, -1e-12]])
    transformed = yeo_johnson(x, power)
    assert_allclose(transformed, yeojohnson(x, power), rtol=1e-9, atol=1e-14)
    small = np.abs(x) <= 5.0
    assert_allclose(inverse_yeo_johnson(transformed, power)[small], x[small], rtol=1e-7, atol=1e-12)


def test_beyond_its_range_the_inverse_is_infinite():
    assert_array_equal(inverse_yeo_johnson(np.array([0.51, 1e9]), -2.0), np.inf)
    assert_array_equal(inverse_yeo_johnson(np.array([-0.51, -1e9]), 4.0), -np.inf)


def test_the_power_is_that_of_highest_likelihood(column):
    margin = fit_margin(column, np.ones(300), power=True)
    standard = (column - column.mean()) / column.std()
    theirs = PowerTransformer(standardize=True).fit(standard[:, None])
    assert margin.power == pytest.approx(theirs.lambdas_[0], abs=1e-3)
    expected = theirs.transform(standard[:, None])[:, 0]
    assert_allclose(margin.forward(column), expected, atol=2e-3)
    assert margin.forward(column).mean() == pytest.approx(0.0, abs=1e-12)
    assert margin.forward(column).std() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("power", [False, True])
def test_the_inverse_and_the_derivative(column, power):
    margin = fit_margin(column, np.ones(300), power=power)
    z = margin.forward(column)
    assert_allclose(margin.inverse(z), column, rtol=1e-9, atol=1e-9)
    step = 1e-5 * column.std()
    numeric = (margin.forward(column + step) - margin.forward(column - step)) / (2.0 * step)
    assert_allclose(margin.log_derivative(column), np.log(numeric), atol=1e-5)


def test_weights_are_copies_and_missing_entries_nothing(column):
    copies = np.arange(300) % 4
    there = copies > 0
    weighted = fit_margin(column[there], copies[there].astype(float), power=True)
    holes = np.append(np.repeat(column, copies), [np.nan, np.nan])
    copied = fit_margin(holes, np.ones(len(holes)), power=True)
    for one, other in zip(weighted, copied, strict=True):
        assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_raw_margins_only_standardize(column):
    margin = fit_margin(column, np.ones(300), power=False)
    assert margin.linear
    assert_allclose(margin.forward(column), (column - column.mean()) / column.std())
    assert_allclose(margin.inverse(np.array([100.0])), column.mean() + 100.0 * column.std())


def test_back_transformed_values_are_near_the_observed_ones(column):
    margin = fit_margin(column, np.ones(300), power=True)
    low, high = column.min(), column.max()
    beyond = 0.1 * (high - low)
    # Of zeros, the atom has all that is below.
    far = margin.inverse(np.array([-50.0, 50.0]))
    assert far[1] == pytest.approx(high + beyond)
    assert far[0] == pytest.approx(low - beyond if (column == 0).sum() == 0 else 0.0)


def test_a_value_of_many_rows_comes_back_exactly():
    rng = np.random.default_rng(1)
    column = np.where(np.arange(400) < 100, 0.0, 1.0 + rng.gamma(2.0, size=400))
    margin = fit_margin(column, np.ones(400), power=True)
    smallest = column[column > 0].min()
    near = margin.forward(np.array([-0.2, 0.1, 0.49 * smallest, 0.51 * smallest]))
    assert_allclose(margin.inverse(near), [0.0, 0.0, 0.0, 0.51 * smallest], rtol=1e-9)
    # 20 of 400 rows are enough, 19 are not.
    for count, snaps in ((20, True), (19, False)):
        column = np.append(np.full(count, 5.0), 10.0 * rng.random(400 - count))
        margin = fit_margin(column, np.ones(400), power=True)
        gap = np.abs(np.delete(column, slice(count)) - 5.0).min()
        value = margin.inverse(margin.forward(np.array([5.0 + 0.3 * gap])))
        assert (value[0] == 5.0) == snaps


@pytest.mark.parametrize("power", [False, True])
def test_moments_are_those_of_transformed_normals(column, power):
    margin = fit_margin(column, np.ones(300), power=power)
    mean, variance = np.array([0.2, -0.5, 0.7]), np.array([0.3, 0.5, 0.1])
    z = np.random.default_rng(2).normal(size=(200_000, 1)) * np.sqrt(variance) + mean
    values = margin.inverse(z.ravel()).reshape(z.shape)
    found = margin.moments(mean, variance)
    # Atoms and limits make steps, which 15 nodes do not resolve.
    smooth = margin.linear or not len(margin.atoms)
    spread = values.std(axis=0)
    assert_allclose(found[0], values.mean(axis=0), atol=(0.02 if smooth else 0.15) * spread.max())
    assert_allclose(np.sqrt(found[1]), spread, rtol=0.03 if smooth else 0.2)


def test_two_values_are_not_transformed():
    margin = fit_margin(np.array([0.0, 0.0, 7.0, np.nan]), np.ones(4), power=True)
    assert margin.linear
    assert np.isnan(margin.forward(np.array([np.nan]))[0])
