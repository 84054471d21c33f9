"""Rows are grouped by which of their entries are missing."""

import numpy as np
from numpy.testing import assert_array_equal

from emlearn.distributions.gaussian.incomplete import (
    find_patterns,
)


def test_patterns_are_found_also_for_many_columns():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 150)) < 0.5
    kind = rng.integers(5, size=40)
    table = find_patterns(masks[kind])
    assert table.mask.shape == (5, 150)
    for i, mask in enumerate(table.mask):
        members = table.order[table.edges[i] : table.edges[i + 1]]
        assert_array_equal(masks[kind][members], np.broadcast_to(mask, (members.size, 150)))
    assert sorted(table.order) == list(range(40))


def test_complete_and_empty_rows_are_left_out():
    missing = np.array([[0, 0], [1, 1], [0, 1], [0, 0], [1, 0]], dtype=bool)
    table = find_patterns(missing)
    assert sorted(table.incomplete().order) == [1, 2, 4]
    assert sorted(table.observed().order) == [0, 2, 3, 4]
    assert sorted(table.observed().incomplete().order) == [2, 4]
    assert find_patterns(missing[:0]).observed().incomplete().order.size == 0
