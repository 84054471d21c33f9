"""Edges of sequences, which lead into the rows, of every instruction set."""

import numpy as np
import pytest

INT64 = np.iinfo(np.int64)


@pytest.mark.parametrize(
    "edges",
    [[0, 3, 3, 21], [1, 4, 21], [0, 22], [0], [0, 10, 5, 21], [0, -1, 21], [0, INT64.max, 21],
     [0, INT64.min, 21], [0, 20]],
)  # fmt: skip
def test_edges_that_do_not_rise_from_0_to_the_number_of_rows_are_refused(kernels, edges):
    joint, even, square = np.zeros((3, 21)), np.full(3, 1 / 3), np.full((3, 3), 1 / 3)
    n_sequences = len(edges) - 1
    edges, of_sequences = np.array(edges), np.empty(n_sequences)
    with pytest.raises(ValueError, match="the edges must rise from 0 to the number of rows"):
        kernels.forward_backward(
            joint, edges, even, square, None, of_sequences, np.empty(3), np.empty((3, 3))
        )
    path = np.empty(21, np.int64)
    with pytest.raises(ValueError, match="the edges must rise from 0 to the number of rows"):
        kernels.viterbi(joint, edges, even, square, path, of_sequences)


def test_sums_over_all_paths(kernels):
    """Three states and four rows: 81 paths, one after another."""
    rng = np.random.default_rng(0)
    joint, start = rng.normal(size=(3, 4)), rng.dirichlet(np.ones(3))
    transition = rng.dirichlet(np.ones(3), 3)
    paths = np.stack(np.meshgrid(*[range(3)] * 4, indexing="ij")).reshape(4, -1)
    log_p = np.log(start)[paths[0]] + joint[paths[0], 0]
    for t in range(1, 4):
        log_p += np.log(transition)[paths[t - 1], paths[t]] + joint[paths[t], t]
    path, score = np.empty(4, np.int64), np.empty(1)
    edges = np.array([0, 4])
    kernels.viterbi(joint, edges, start, transition, path, score)
    np.testing.assert_array_equal(path, paths[:, log_p.argmax()])
    np.testing.assert_allclose(score, log_p.max())
    p = np.exp(log_p)
    xi, density = np.empty((3, 3)), np.empty(1)
    first = np.empty(3)
    kernels.forward_backward(joint, edges, start, transition, None, density, first, xi)
    np.testing.assert_allclose(density, np.log(p.sum()))
    for k in range(3):
        expected = [p[paths[t] == k].sum() / p.sum() for t in range(4)]
        np.testing.assert_allclose(joint[k], expected)
    counts = np.zeros((3, 3))
    for t in range(1, 4):
        np.add.at(counts, (paths[t - 1], paths[t]), p / p.sum())
    np.testing.assert_allclose(xi, counts)
