"""The sparse Cholesky factor and the selected inverse against dense matrices."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import solve_triangular


class Problem:
    """A sparse positive definite matrix, its dense factor, and what the kernels take."""

    def __init__(self, calls, n, n_sparse, seed=0):
        self.matrix = calls["sparse_matrix"](np.random.default_rng(seed), n)
        self.n_sparse = n_sparse
        self.starts, self.rows, self.entries = calls["upper_columns"](self.matrix)
        found = calls["factor_columns"](self.matrix, n_sparse)
        self.factor_starts, self.factor_rows, self.counts = found
        root = np.linalg.cholesky(self.matrix)
        self.lower = root / np.diagonal(root)
        self.pivots = np.diagonal(root)[:n_sparse] ** 2
        self.columns = np.repeat(np.arange(n_sparse), np.diff(self.factor_starts))
        self.factor = self.lower[self.factor_rows, self.columns]

    @property
    def first_columns(self):
        return self.factor_starts, self.factor_rows, self.factor

    def factorize(self, kernels, entries):
        factor = np.full(self.factor.size, np.nan)
        pivots = np.full(self.n_sparse, np.nan)
        tail = np.full([len(self.matrix) - self.n_sparse] * 2, np.nan)
        failed = kernels.factorize_sparse(
            self.starts,
            self.rows,
            entries,
            self.factor_starts,
            self.factor_rows,
            factor, pivots, tail,
        )  # fmt: skip
        return failed, factor, pivots, tail


@pytest.fixture(
    params=[(1, 0), (1, 1), (12, 0), (12, 5), (12, 11), (12, 12), (60, 20), (60, 55), (60, 60)],
    ids=lambda sizes: "{} rows, {} sparse".format(*sizes),
)
def problem(request, calls):
    return Problem(calls, *request.param)


def test_the_pattern_is_that_of_elimination(kernels, problem):
    counts = np.zeros_like(problem.counts)
    kernels.cholesky_counts(problem.starts, problem.rows, counts)
    assert_array_equal(counts, problem.counts)
    rows = np.zeros_like(problem.factor_rows)
    kernels.cholesky_pattern(problem.starts, problem.rows, problem.factor_starts, rows)
    assert_array_equal(rows, problem.factor_rows)


def test_the_factor_is_the_dense_one(kernels, problem):
    failed, factor, pivots, tail = problem.factorize(kernels, problem.entries)
    assert failed == -1
    assert_allclose(factor, problem.factor, rtol=1e-11, atol=1e-13)
    assert_allclose(pivots, problem.pivots, rtol=1e-12)
    n = problem.n_sparse
    A, B, C = problem.matrix[:n, :n], problem.matrix[n:, :n], problem.matrix[n:, n:]
    complement = C - B @ np.linalg.solve(A, B.T)
    assert_allclose(tail, np.tril(complement), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("n_columns", [0, 1, 3])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_solutions_are_the_dense_ones(kernels, problem, backward, n_columns):
    lower = problem.lower.copy()
    n = problem.n_sparse
    lower[:, n:] = np.eye(len(lower))[:, n:]
    right = np.random.default_rng(1).normal(size=(len(lower), n_columns))
    found = right.copy()
    kernels.solve_sparse(*problem.first_columns, found, float(backward))
    expected = right
    if n_columns:
        expected = solve_triangular(lower, right, lower=True, trans=int(backward))
    assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_the_selected_inverse_is_in_the_dense_one(kernels, problem):
    inverse = np.linalg.inv(problem.matrix)
    n = problem.n_sparse
    # Only the lower triangle of the tail is read.
    tail = np.tril(inverse[n:, n:]) + np.triu(np.full_like(inverse[n:, n:], np.nan), 1)
    entries, diagonal = np.empty_like(problem.factor), np.empty(n)
    kernels.selected_inverse(*problem.first_columns, problem.pivots, tail, entries, diagonal)
    assert_allclose(entries, inverse[problem.factor_rows, problem.columns], rtol=1e-9, atol=1e-12)
    assert_allclose(diagonal, np.diagonal(inverse)[:n], rtol=1e-10)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_the_first_pivot_that_is_not_positive_is_named(kernels, calls, value):
    problem = Problem(calls, 12, 9)
    entries = problem.entries.copy()
    for k in (4, 7):
        # The last entry of a column of the upper triangle is on the diagonal.
        entries[problem.starts[k + 1] - 1] = value
    assert problem.factorize(kernels, entries)[0] == 4


# A tridiagonal matrix: the factor has entries in the rows 1 and 2.
CHAIN = np.array([0, 1, 3, 5]), np.array([0, 0, 1, 1, 2], np.int32)


@pytest.mark.parametrize("starts", [[0, 0, 1, 2], [0, 2, 2, 2]], ids=["too few", "too many"])
def test_other_numbers_of_entries_are_refused(kernels, starts):
    with pytest.raises(ValueError, match="there must be as many factor_rows"):
        kernels.cholesky_pattern(*CHAIN, np.array(starts), np.empty(2, np.int32))


@pytest.mark.parametrize(
    ("starts", "rows"),
    [([0, 0, 1, 1], [2]), ([0, 1, 2, 2], [2, 2])],
    ids=["an entry too few", "another row"],
)
def test_another_pattern_is_refused(kernels, starts, rows):
    entries = np.array([2.0, 1.0, 2.0, 1.0, 2.0])
    factor = np.array(starts), np.array(rows, np.int32), np.empty(len(rows))
    with pytest.raises(ValueError, match="there must be the factor_rows of this matrix"):
        kernels.factorize_sparse(*CHAIN, entries, *factor, np.empty(3), np.empty((0, 0)))


@pytest.mark.parametrize(
    ("starts", "rows"),
    [
        ([1, 2, 3], [0, 1, 1]),
        ([0, 2, 1], [0, 1]),
        ([0, 1, 5], [0, 1]),
        ([0, 1, 2], [1, 1]),
        ([0, 1, 2], [0, -1]),
        ([0, 1, 3], [0, 1, 0]),
        ([0, 1, 3], [0, 1, 1]),
    ],
    ids=[
        "first start", "falling starts", "starts beyond the entries", "below the diagonal",
        "negative row", "falling rows", "repeated rows",
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_are_refused(kernels, starts, rows):
    starts, rows = np.array(starts), np.array(rows, np.int32)
    with pytest.raises(ValueError, match="there must be starts that rise"):
        kernels.cholesky_counts(starts, rows, np.empty(2, np.int64))


@pytest.mark.parametrize("rows", [[0], [3], [-1]], ids=["diagonal", "beyond", "negative"])
def test_rows_of_the_factor_are_below_the_diagonal(kernels, rows):
    columns = np.array([0, 1]), np.array(rows, np.int32), np.ones(1)
    message = "there must be starts that rise"
    with pytest.raises(ValueError, match=message):
        kernels.solve_sparse(*columns, np.ones((3, 1)), 0.0)
    with pytest.raises(ValueError, match=message):
        kernels.selected_inverse(*columns, np.ones(1), np.eye(2), np.ones(1), np.ones(1))
