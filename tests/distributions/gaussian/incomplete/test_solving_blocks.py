"""Systems of equations for blocks of one large matrix, and inverses of many small ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions.gaussian.incomplete import (
    batched,
)
from emlearn.distributions.gaussian.incomplete.batched import Blocks, invert, solve_blocks
from emlearn.engine import DegenerateModelError


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("solve", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_blocks_are_solved(solve, weighted):
    rng = np.random.default_rng(0)
    d = 110
    A = rng.normal(size=(d, 2 * d))
    matrix = A @ A.T / d
    # Orders with and without neighbours.
    orders = np.array([0, 1, 1, 2, 2, 2, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 17, 17, 40, 100, 7, 7])
    columns = [np.sort(rng.permutation(d)[:order]) for order in orders]
    sizes = rng.integers(1, 4, size=orders.size)
    edges = np.concatenate(([2], 2 + np.cumsum(sizes)))
    starts = np.concatenate(([0], np.cumsum(orders)))
    blocks = Blocks(np.concatenate(columns).astype(np.uint16), starts, edges)
    vectors = rng.normal(size=(edges[-1] + 3, d))
    weights = rng.normal(size=orders.size)
    out, expected = (np.full(vectors.shape, 7.0) for _ in range(2))
    target, expected_target = (np.eye(d) for _ in range(2))
    log_det = solve_blocks(
        matrix,
        blocks,
        vectors if solve else None,
        out if solve else None,
        factor=-2.0,
        weights=weights if weighted else None,
        target=target if weighted else None,
    )
    for p, c in enumerate(columns):
        inverse = np.linalg.inv(matrix[np.ix_(c, c)])
        rows = np.arange(edges[p], edges[p + 1])
        if solve:
            expected[np.ix_(rows, c)] = -2.0 * vectors[np.ix_(rows, c)] @ inverse
        if weighted:
            expected_target[np.ix_(c, c)] += weights[p] * inverse
        assert_allclose(log_det[p], np.linalg.slogdet(matrix[np.ix_(c, c)])[1], atol=1e-11)
    assert_allclose(out, expected, rtol=1e-9, atol=1e-11)
    assert_allclose(target, expected_target, rtol=1e-9, atol=1e-11)


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("target", [None, np.zeros((3, 3))])
def test_a_singular_block_is_refused(target):
    matrix = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    blocks = Blocks(np.array([2, 0, 1], np.uint16), np.array([0, 1, 3]), np.array([0, 1, 2]))
    weights = None if target is None else np.ones(2)
    with pytest.raises(DegenerateModelError, match="singular"):
        solve_blocks(matrix, blocks, weights=weights, target=target)


def test_the_kernel_refuses_what_would_leave_its_arrays():
    kernels = batched.compiled
    if kernels is None:
        pytest.skip("the kernels are not built")
    matrix, rows, log_det = np.eye(3), np.zeros((2, 3)), np.zeros(1)

    def solve(
        columns=(0, 1), starts=(0, 2), edges=(0, 2), matrix=matrix, out=rows, log_det=log_det
    ):
        columns, starts, edges = np.array(columns, np.uint16), np.array(starts), np.array(edges)
        kernels.solve_blocks(matrix, columns, starts, edges, rows, out, 1.0, None, None, log_det)

    solve()
    for wrong in (
        {"columns": (0, 3)},
        {"starts": (0, 3)},
        {"starts": (-1, 2)},
        {"starts": (2, 0)},
        {"edges": (0, 3)},
        {"edges": (-1, 1)},
        {"edges": (1, 0)},
    ):
        with pytest.raises(ValueError, match="do not fit"):
            solve(**wrong)
    for wrong in (
        {"matrix": np.zeros((3, 2))},
        {"matrix": np.zeros((3, 3), np.float32)},
        {"out": np.zeros((1, 3))},
        {"out": None},
        {"log_det": np.zeros(2)},
    ):
        with pytest.raises(TypeError):
            solve(**wrong)
    table, order, columns = np.zeros((4, 2)), np.array([3, 4]), np.ones(2)
    with pytest.raises(IndexError, match="row number"):
        kernels.standardize(table, order, columns, columns, None, np.zeros((2, 2)))
    with pytest.raises(IndexError, match="row number"):
        kernels.fill_missing(
            np.zeros((2, 2)), -order, np.ones((2, 2), bool), columns, columns, table
        )


@pytest.mark.parametrize("order", [0, 1, 3, 10, 11, 17, 40, 70])
def test_batched_inverse(order):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(7, order, order + 3))
    A = A @ A.transpose(0, 2, 1) + 0.1 * np.eye(order)
    inverse, log_det = invert(A.transpose(1, 2, 0).copy())
    assert_allclose(inverse.transpose(2, 0, 1), np.linalg.inv(A), rtol=1e-7, atol=1e-9)
    assert_allclose(log_det, np.linalg.slogdet(A)[1], rtol=1e-9, atol=1e-12)
    if order:
        A[3] *= -1.0
        with pytest.raises(DegenerateModelError):
            invert(np.ascontiguousarray(A.transpose(1, 2, 0)))
