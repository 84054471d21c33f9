"""From log-joint densities to responsibilities, compiled and in numpy, against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from emlearn.kernels import softmax

EXACT = {np.float64: 1e-13, np.float32: 2e-5}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("K", "n"), [(1, 1), (2, 7), (5, 16), (3, 511), (4, 513), (20, 1200)])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_normalize(kernels, dtype, K, n, spread):
    rng = np.random.default_rng(n)
    joint = (spread * rng.standard_normal((K, n))).astype(dtype)
    weight, density = rng.random(n), np.empty(n)
    wide = joint.astype(float)
    expected = logsumexp(wide, axis=0)
    value = kernels.responsibilities(joint, weight, density)
    rtol = EXACT[dtype] * max(1.0, spread)
    assert_allclose(density, expected, rtol=rtol, atol=rtol)
    assert_allclose(value, weight @ expected, rtol=rtol, atol=rtol * n)
    assert_allclose(joint, np.exp(wide - expected) * weight, rtol=100 * rtol, atol=rtol)


@given(
    joint=st.lists(
        st.tuples(*[st.floats(-1e300, 1e300) | st.just(-np.inf)] * 3), min_size=1, max_size=40
    )
)
def test_rows_of_any_size_add_up_to_one(modules, joint):
    for kernels in modules:
        array, density = np.array(joint).T.copy(), np.empty(len(joint))
        with np.errstate(over="ignore"):
            expected = logsumexp(array, axis=0)
        kernels.responsibilities(array, None, density)
        possible = expected > -np.inf
        assert_allclose(array.sum(axis=0), possible.astype(float), rtol=1e-14)
        # Near 0 the logarithm of a sum near 1 keeps its absolute precision only.
        assert_allclose(density, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_no_number_stays_none(kernels, dtype):
    inf, nan = np.inf, np.nan
    joint = np.array(
        [[0.0, -inf, nan, inf, 1.0, -inf, nan, 1.0], [0.0, -inf, 0.0, 0.0, nan, nan, -inf, -inf]],
        dtype,
    )
    density = np.empty(8)
    total = kernels.responsibilities(joint, None, density)
    assert np.isnan(total)
    expected = [np.log(2.0), -inf, nan, nan, nan, nan, nan, 1.0]
    assert_allclose(density, expected, rtol=1e-6)
    assert_array_equal(joint[:, 1], 0.0)
    assert_array_equal(joint[:, 7], [1.0, 0.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [5, 64, 700])
def test_the_sum_is_over_rows_that_have_a_weight(kernels, dtype, n):
    rng = np.random.default_rng(n)
    joint, density = 3.0 * rng.normal(size=(3, n)).astype(dtype), np.empty(n)
    joint[:, ::5] = -np.inf
    weight = rng.random(n) * (rng.random(n) < 0.5)
    weight[::5] = 0.0
    total = kernels.responsibilities(joint, weight, density)
    there = weight > 0.0
    assert_allclose(total, weight[there] @ density[there], rtol=EXACT[dtype])


@pytest.fixture(params=["compiled", "numpy"])
def either(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(softmax, "compiled", None)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("n", [3, 8, 100])
def test_a_row_of_weight_0_does_not_count(n):
    """Even one that no component can have made, where 0 x -inf would be NaN."""
    joint = np.zeros((2, n))
    joint[:, 1] = -np.inf
    weight = np.full(n, 2.0)
    weight[1] = 0.0
    total = softmax.to_responsibilities(joint, weight)
    assert_allclose(total, 2.0 * (n - 1) * np.log(2.0))
    assert_array_equal(joint[:, 1], 0.0)
    possible = np.zeros((2, n))
    assert softmax.to_responsibilities(possible, np.zeros(n)) == 0.0
    impossible = np.full((2, n), -np.inf)
    assert softmax.to_responsibilities(impossible, np.full(n, 1.0)) == -np.inf
