"""Look-ups by code of every instruction set that this processor has, against numpy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal


@pytest.mark.parametrize("n_components", [1, 3, 4, 5, 8, 11, 16, 17, 40])
@pytest.mark.parametrize(("n_rows", "n_groups"), [(0, 2), (1, 1), (63, 3), (64, 1), (200, 7)])
def test_against_numpy(kernels, n_components, n_rows, n_groups):
    rng = np.random.default_rng(n_rows)
    n_codes = 29
    codes = rng.integers(n_codes, size=(n_rows, n_groups)).astype(np.int32)
    table = rng.standard_normal((n_components, n_codes))
    shares = rng.random((n_components, n_rows))
    out = rng.standard_normal((n_components, n_rows))
    expected = out + table[:, codes].sum(axis=2)
    kernels.categorical_log_density(codes, table, out)
    assert_allclose(out, expected, rtol=1e-13, atol=1e-13)
    sums = np.full((n_components, n_codes), np.nan)
    kernels.categorical_counts(codes, sums, shares)
    for k in range(n_components):
        weights = np.repeat(shares[k], n_groups)
        assert_allclose(sums[k], np.bincount(codes.ravel(), weights, n_codes), rtol=1e-13)


def test_codes_beyond_the_table_are_refused(kernels):
    codes = np.zeros((5, 2), np.int32)
    table, out = np.zeros((3, 4)), np.zeros((3, 5))
    for wrong in (4, -1, 2**31 - 1, -(2**31)):
        codes[4, 1] = wrong
        for function in (kernels.categorical_log_density, kernels.categorical_counts):
            with pytest.raises(IndexError, match="beyond the table"):
                function(codes, table, out)
    codes[4, 1] = 3
    kernels.categorical_log_density(codes, table, out)
    assert_array_equal(out, 0.0)
    with pytest.raises(IndexError, match="beyond the table"):
        kernels.categorical_log_density(codes, np.zeros((3, 0)), out)
