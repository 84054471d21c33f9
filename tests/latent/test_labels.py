"""Numbers of clusters: by first rows, and by known labels."""

from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emlearn.latent.labels import in_order, renumbered, with_labels


def test_clusters_are_numbered_by_their_first_rows():
    assert_array_equal(in_order(np.array([7, 2, 7, 9, 2, 0])), [0, 1, 0, 2, 1, 3])


@pytest.mark.parametrize("seed", range(8))
def test_the_numbers_agree_with_most_of_the_weight_of_known_labels(seed):
    """By trying all permutations."""
    rng = np.random.default_rng(seed)
    clusters, known = rng.integers(4, size=40), rng.integers(-1, 4, size=40)
    weight = rng.exponential(size=40) ** 2
    found = renumbered(clusters, known, weight, 4)
    agreement = {
        order: weight[np.array(order)[clusters] == known].sum() for order in permutations(range(4))
    }
    best = max(agreement, key=lambda order: agreement[order])
    assert_array_equal(found, np.array(best)[clusters])


def test_components_start_from_their_known_rows_alone_if_all_have_some():
    guess = np.full((2, 4), 0.5)
    assert_array_equal(with_labels(guess, np.array([0, 1, -1, -1])), [[1, 0, 0, 0], [0, 1, 0, 0]])
    assert_array_equal(
        with_labels(guess, np.array([1, 1, -1, -1])), [[0, 0, 0.5, 0.5], [1, 1, 0.5, 0.5]]
    )
