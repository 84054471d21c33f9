"""Columns read in groups: nothing is lost, whatever the numbers of levels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.distributions import Categorical


@given(
    n_levels=st.lists(st.integers(1, 40), min_size=1, max_size=9),
    seed=st.integers(0, 2**16),
    holes=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_counts_of_levels_come_back(n_levels, seed, holes):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, n_levels, size=(23, len(n_levels))).astype(float)
    X[rng.random(X.shape) < holes] = np.nan
    family = Categorical(alpha=0.25, n_levels=n_levels)
    column_spec = family.column_spec(X)
    rows = family.encode(X, column_spec)
    assert rows.shape[1] == len(column_spec.groups) <= len(n_levels)
    assert [j for start, stop in column_spec.groups for j in range(start, stop)] == list(
        range(len(n_levels))
    )
    share = rng.dirichlet(np.ones(2), len(X)).T
    params = family.start(rows, share, column_spec, rng)
    expected = np.zeros((2, len(X)))
    for j, n in enumerate(n_levels):
        hot = X[:, j, None] == np.arange(n)
        counts = share @ hot + 0.25
        probability = counts / counts.sum(axis=1, keepdims=True)
        assert_allclose(params.probability[:, j, :n], probability, rtol=1e-12)
        assert_array_equal(params.probability[:, j, n:], 0.0)
        expected += np.log(probability) @ hot.T
    out = np.zeros(expected.shape)
    family.log_density(rows, family.precompute(params, column_spec), out)
    assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
