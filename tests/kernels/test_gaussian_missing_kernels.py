"""Gaussian mixtures on rows with missing entries, against formulas for one row at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp
from scipy.stats import multivariate_normal


class Problem:
    """A mixture, and rows sorted by the number of missing entries and by pattern."""

    def __init__(self, rows, missing, means, covariances, weights, ridge=None, diagonal=False):
        self.means, self.covariances, self.weights = means, covariances, weights
        self.diagonal = diagonal
        d = means.shape[1]
        self.ridge = ridge
        order = np.lexsort([*missing.T, missing.sum(axis=1)])
        self.rows = np.where(missing, np.nan, rows)[order]
        self.missing = missing = missing[order]
        new = np.flatnonzero((missing[1:] != missing[:-1]).any(axis=1)) + 1
        firsts = np.concatenate([[0], new])
        self.edges = np.append(firsts, len(rows)).astype(np.int64)
        lists = [np.flatnonzero(missing[first]) for first in firsts]
        self.columns = np.concatenate(lists).astype(np.uint16)
        self.starts = np.concatenate([[0], np.cumsum([len(c) for c in lists])]).astype(np.int64)
        self.precision = np.linalg.inv(covariances)
        self.precision = (self.precision + self.precision.transpose(0, 2, 1)) / 2.0
        if diagonal:
            self.root = 1.0 / np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        else:
            # P P' = K with P upper triangular: the inverse of the lower factor, transposed.
            lower = np.linalg.cholesky(covariances)
            self.root = np.ascontiguousarray(np.linalg.inv(lower).transpose(0, 2, 1))
            self.root = np.triu(self.root)
        constants = np.log(weights) - 0.5 * np.linalg.slogdet(covariances)[1]
        self.constants = constants - 0.5 * d * np.log(2.0 * np.pi)
        if ridge is not None:
            self.constants -= 0.5 * np.diagonal(self.precision, axis1=1, axis2=2) @ ridge

    @property
    def first_arguments(self):
        rows = np.ascontiguousarray(self.rows).T
        return [rows, None, None, self.means, self.root, self.constants]

    @property
    def last_arguments(self):
        precision = None if self.diagonal else self.precision
        return [precision, self.columns, self.starts, self.edges, self.ridge]

    def empty_sums(self):
        return [np.empty(len(self.means)), np.empty(self.means.shape), np.empty(self.root.shape)]

    def log_density(self, kernels):
        out = np.empty((len(self.means), len(self.rows)))
        done = kernels.gaussian_missing_log_density(
            *self.first_arguments, out, *self.last_arguments
        )
        assert done is True
        return out

    def step(self, kernels, weight):
        sums = self.empty_sums()
        value = kernels.gaussian_missing_step(
            *self.first_arguments, weight, *sums, *self.last_arguments
        )
        return value, *sums

    def moments(self, kernels, shares):
        sums = self.empty_sums()
        done = kernels.gaussian_missing_moments(
            *self.first_arguments, shares, *sums, *self.last_arguments
        )
        assert done is True
        return tuple(sums)

    def exact_log_density(self):
        """Log-joint densities without the constants that are left to the caller."""
        out = np.empty((len(self.means), len(self.rows)))
        for r, (row, m) in enumerate(zip(self.rows, self.missing, strict=True)):
            o = ~m
            for k, (mean, Sigma) in enumerate(zip(self.means, self.covariances, strict=True)):
                value = np.log(self.weights[k]) - 0.5 * m.sum() * np.log(2.0 * np.pi)
                if o.any():
                    value += multivariate_normal.logpdf(row[o], mean[o], Sigma[np.ix_(o, o)])
                if self.ridge is not None:
                    value -= 0.5 * self.ridge[o] @ np.diagonal(self.precision[k])[o]
                out[k, r] = value
        return out

    def exact_moments(self, shares):
        K, d = self.means.shape
        weight, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
        for r, (row, m) in enumerate(zip(self.rows, self.missing, strict=True)):
            o = ~m
            for k, (mean, Sigma) in enumerate(zip(self.means, self.covariances, strict=True)):
                z, conditional = np.zeros(d), np.zeros((d, d))
                z[o] = row[o] - mean[o]
                across, own = Sigma[np.ix_(m, o)], Sigma[np.ix_(m, m)]
                if o.any():
                    factor = cho_factor(Sigma[np.ix_(o, o)])
                    z[m] = across @ cho_solve(factor, z[o])
                    own = own - across @ cho_solve(factor, across.T)
                conditional[np.ix_(m, m)] = own
                if self.ridge is not None:
                    conditional -= np.diag(np.where(m, self.ridge, 0.0))
                weight[k] += shares[k, r]
                first[k] += shares[k, r] * z
                second[k] += shares[k, r] * (np.outer(z, z) + conditional)
        if self.diagonal:
            second = np.diagonal(second, axis1=1, axis2=2)
        return weight, first, second

    def check(self, kernels, weight, tolerance=1e-10):
        exact = self.exact_log_density()
        got = self.log_density(kernels)
        assert_allclose(got, exact, rtol=tolerance, atol=tolerance)
        density = logsumexp(exact, axis=0)
        w = np.ones(len(self.rows)) if weight is None else weight
        shares = np.exp(exact - density) * w
        value, *sums = self.step(kernels, weight)
        assert_allclose(value, w @ density, rtol=tolerance, atol=tolerance)
        exact_sums = self.exact_moments(shares)
        for one, expected in zip(sums, exact_sums, strict=True):
            assert_allclose(one, expected, rtol=tolerance, atol=tolerance * max(1.0, w.sum()))
        for one, expected in zip(self.moments(kernels, shares), exact_sums, strict=True):
            assert_allclose(one, expected, rtol=tolerance, atol=tolerance * max(1.0, w.sum()))


def draw(seed, n=None, d=None, K=None, share=None, diagonal=None, ridge=None, spread=1.0):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 13)) if d is None else d
    K = int(rng.integers(1, 4)) if K is None else K
    n = int(rng.integers(1, 700)) if n is None else n
    share = rng.uniform(0.02, 0.6) if share is None else share
    diagonal = bool(rng.random() < 0.3) if diagonal is None else diagonal
    ridge = bool(rng.random() < 0.5) if ridge is None else ridge
    missing = rng.random((n, d)) < share
    full = ~missing.any(axis=1)
    missing[full, rng.integers(0, d, full.sum())] = True
    means = spread * rng.normal(size=(K, d))
    if diagonal:
        covariances = np.array([np.diag(v) for v in rng.uniform(0.3, 3.0, (K, d))])
    else:
        A = rng.normal(size=(K, d, 2 * d + 1)) / np.sqrt(2 * d + 1)
        covariances = A @ A.transpose(0, 2, 1)
    label = rng.integers(0, K, n)
    rows = means[label] + rng.normal(size=(n, d))
    weights = rng.dirichlet(np.full(K, 3.0))
    variance = rng.uniform(0.0, 0.3, d) if ridge else None
    return Problem(rows, missing, means, covariances, weights, variance, diagonal), rng


def draw_weight(rng, n):
    choice = rng.integers(3)
    if choice == 0:
        return None
    weight = rng.gamma(1.0, size=n)
    return weight if choice == 1 else weight * (rng.random(n) < 0.5)


@pytest.mark.parametrize("seed", range(80))
def test_formulas_of_single_rows(kernels, seed):
    problem, rng = draw(seed)
    problem.check(kernels, draw_weight(rng, len(problem.rows)))


@pytest.mark.parametrize("spread", [5.0, 30.0])
@pytest.mark.parametrize("diagonal", [False, True])
def test_distant_components_leave_rows_to_each_other(kernels, spread, diagonal):
    problem, rng = draw(5, 900, 6, 3, 0.15, diagonal, True, spread)
    problem.check(kernels, rng.random(900), 1e-9)


@pytest.mark.parametrize(("share", "d"), [(0.02, 40), (0.3, 40), (0.5, 21), (0.05, 17)])
def test_many_columns(kernels, share, d):
    problem, rng = draw(d, 150, d, 2, share, False, True)
    problem.check(kernels, rng.random(150), 1e-9)


@pytest.mark.parametrize("n_each", [1, 3, 4, 5, 8, 9, 30, 61])
@pytest.mark.parametrize("diagonal", [False, True])
def test_every_pattern_of_four_columns(kernels, n_each, diagonal):
    patterns = [c for m in range(1, 5) for c in combinations(range(4), m)]
    missing = np.zeros((len(patterns) * n_each, 4), dtype=bool)
    for p, pattern in enumerate(patterns):
        missing[p * n_each : (p + 1) * n_each, pattern] = True
    problem, rng = draw(n_each, len(missing), 4, 2, 0.5, diagonal, True)
    problem = Problem(
        rng.normal(size=missing.shape), missing, problem.means, problem.covariances,
        problem.weights, problem.ridge, diagonal,
    )  # fmt: skip
    problem.check(kernels, rng.random(len(missing)))


def test_patterns_in_any_order(kernels):
    """Sorting is for speed only."""
    problem, rng = draw(9, 400, 5, 2, 0.4, False, True)
    weight = rng.random(400)
    expected = problem.step(kernels, weight)
    shuffled = np.random.default_rng(0).permutation(problem.starts.size - 1)
    rows = np.concatenate([np.arange(problem.edges[p], problem.edges[p + 1]) for p in shuffled])
    lists = [problem.columns[problem.starts[p] : problem.starts[p + 1]] for p in shuffled]
    problem.edges = np.append(0, np.cumsum(np.diff(problem.edges)[shuffled]))
    problem.starts = np.append(0, np.cumsum([len(c) for c in lists]))
    problem.columns = np.concatenate(lists)
    problem.rows = problem.rows[rows]
    for one, other in zip(problem.step(kernels, weight[rows]), expected, strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("diagonal", [False, True])
def test_rows_in_units_of_their_own_and_with_strides(kernels, diagonal):
    problem, rng = draw(3, 333, 5, 3, 0.3, diagonal, True)
    expected = problem.step(kernels, None)
    center, scale = rng.normal(size=5), np.exp2(rng.integers(-3, 3, 5))
    rows = problem.rows / scale + center
    for layout in (rows.T, np.ascontiguousarray(rows.T), np.repeat(rows, 2, axis=0)[::2].T,
                   np.repeat(rows, 2, axis=1)[:, ::2].T):  # fmt: skip
        sums = problem.empty_sums()
        arguments = [layout, center, scale, *problem.first_arguments[3:]]
        value = kernels.gaussian_missing_step(*arguments, None, *sums, *problem.last_arguments)
        for one, other in zip((value, *sums), expected, strict=True):
            assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_what_stands_in_place_of_missing_entries_is_not_read(kernels, diagonal, share):
    problem, _ = draw(11, 500, 7, 2, share, diagonal, True)
    expected = [problem.log_density(kernels), *problem.step(kernels, None)]
    shares = np.random.default_rng(1).random((2, 500))
    expected += problem.moments(kernels, shares)
    for payload in (np.inf, -np.inf, 1e308, -0.0, 5.0, 5e-324):
        problem.rows[problem.missing] = payload
        got = [problem.log_density(kernels), *problem.step(kernels, None)]
        got += problem.moments(kernels, shares)
        for one, other in zip(got, expected, strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("diagonal", [False, True])
def test_one_pass_and_two_have_the_same_bits(kernels, diagonal):
    problem, rng = draw(21, 1500, 8, 3, 0.25, diagonal, True, spread=4.0)
    weight = rng.random(1500) * (rng.random(1500) < 0.8)
    value, *sums = problem.step(kernels, weight)
    joint = problem.log_density(kernels)
    assert_allclose(kernels.responsibilities(joint, weight, np.empty(1500)), value, rtol=1e-14)
    for one, other in zip(problem.moments(kernels, joint), sums, strict=True):
        assert_array_equal(one, other)


def test_threads_share_nothing(kernels):
    problem, rng = draw(13, 2000, 6, 3, 0.3, False, True)
    weight = rng.random(2000)
    expected = problem.step(kernels, weight)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: problem.step(kernels, weight), range(16)):
            for one, other in zip(result, expected, strict=True):
                assert_array_equal(one, other)


def test_patterns_that_change_during_a_call(kernels):
    """What is used as an index is what was checked."""
    problem, _ = draw(17, 3000, 6, 2, 0.4, False, False)
    arrays = problem.columns, problem.starts, problem.edges
    saved = [array.copy() for array in arrays]
    expected = problem.step(kernels, None)[0]
    done = threading.Event()

    def disturb():
        while not done.is_set():
            for array, good in zip(arrays, saved, strict=True):
                array[:] = np.iinfo(array.dtype).max
                array[:] = good

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(50):
            try:
                assert problem.step(kernels, None)[0] == expected
            except ValueError as error:
                assert "patterns" in str(error)  # noqa: PT017
    finally:
        done.set()
        thread.join()


def test_parts_of_the_rows_add_up(kernels):
    problem, rng = draw(8, 640, 6, 2, 0.3, False, True)
    weight = rng.random(640)
    whole = problem.step(kernels, weight)
    total = None
    for start, stop in [(0, 1), (1, 200), (200, 201), (201, 640)]:
        part = Problem(
            problem.rows[start:stop], problem.missing[start:stop], problem.means,
            problem.covariances, problem.weights, problem.ridge,
        )  # fmt: skip
        result = part.step(kernels, weight[start:stop])
        total = result if total is None else [a + b for a, b in zip(total, result, strict=True)]
    for one, other in zip(total, whole, strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_steps_climb_with_a_ridge_on_what_is_observed(kernels):
    """The M-step on these sums is one of EM; a column without data keeps its variance."""
    problem, _ = draw(31, 300, 4, 2, 0.3, False, True)
    missing = problem.missing.copy()
    missing[:, 3] = True
    weights, means, covariances = problem.weights, problem.means, problem.covariances
    before = -np.inf
    for _ in range(40):
        at = Problem(problem.rows, missing, means, covariances, weights, problem.ridge)
        value, weight, first, second = at.step(kernels, None)
        assert value >= before - 1e-9 * abs(value)
        before = value
        shift = first / weight[:, None]
        means = means + shift
        covariances = second / weight[:, None, None]
        covariances += np.array([np.diag(problem.ridge)] * 2)
        covariances -= shift[:, :, None] * shift[:, None, :]
        weights = weight / weight.sum()
    assert (covariances[:, 3, 3] < 10.0).all()


def solve_exactly(matrix, right):
    """Solution and determinant in fractions."""
    n = len(matrix)
    A = [[*map(Fraction, row), Fraction(b)] for row, b in zip(matrix, right, strict=True)]
    determinant = Fraction(1)
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(A[i][k]))
        if pivot != k:
            A[k], A[pivot], determinant = A[pivot], A[k], -determinant
        determinant *= A[k][k]
        for i in range(k + 1, n):
            ratio = A[i][k] / A[k][k]
            A[i] = [a - ratio * b for a, b in zip(A[i], A[k], strict=True)]
    x = [Fraction(0)] * n
    for k in reversed(range(n)):
        x[k] = (A[k][n] - sum(A[k][j] * x[j] for j in range(k + 1, n))) / A[k][k]
    return x, determinant


def log_of(fraction):
    shift = fraction.numerator.bit_length() - fraction.denominator.bit_length()
    return float(np.log(float(fraction / Fraction(2) ** shift)) + shift * np.log(2.0))


@pytest.mark.parametrize(
    ("condition", "largest"),
    [(1e2, 1e-12), (1e6, 2e-11), (1e9, 1e-8), (1e11, 8e-7), (1e12, 2e-6)],
)
def test_digits_of_ill_conditioned_covariances(kernels, condition, largest):
    d, n = 6, 60
    rng = np.random.default_rng(6)
    Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    Sigma = (Q * np.geomspace(1.0, 1.0 / condition, d)) @ Q.T
    Sigma = (Sigma + Sigma.T) / 2.0
    rows = rng.normal(size=(n, d)) * np.sqrt(np.geomspace(1.0, 1.0 / condition, d)) @ Q.T
    missing = rng.random((n, d)) < 0.3
    missing[np.arange(n), rng.integers(0, d, n)] = True
    missing[missing.all(axis=1), 0] = False
    problem = Problem(rows, missing, np.zeros((1, d)), Sigma[None], np.ones(1))
    got = problem.log_density(kernels)[0]
    for row, m, value in zip(problem.rows, problem.missing, got, strict=True):
        o = ~m
        z = row[o]
        x, determinant = solve_exactly(Sigma[np.ix_(o, o)], z)
        square = float(sum(a * Fraction(b) for a, b in zip(x, z, strict=True)))
        exact = -0.5 * (square + log_of(determinant) + d * np.log(2.0 * np.pi))
        assert abs(value - exact) <= largest * max(1.0, abs(exact))


@pytest.mark.parametrize("spoil", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 2])
def test_no_result_where_a_precision_is_not_positive_definite(kernels, spoil, place):
    for diagonal in (False, True):
        if diagonal and spoil == -1.0:
            continue
        problem, _ = draw(2, 300, 4, 2, 0.3, diagonal, False)
        shares = np.ones((2, 300))
        target = problem.root if diagonal else problem.precision
        target[(1, place) if diagonal else (1, place, place)] = spoil
        out = np.empty((2, 300))
        first, last, sums = problem.first_arguments, problem.last_arguments, problem.empty_sums()
        assert kernels.gaussian_missing_log_density(*first, out, *last) is None
        assert kernels.gaussian_missing_step(*first, None, *sums, *last) is None
        assert kernels.gaussian_missing_moments(*first, shares, *sums, *last) is None


def test_no_result_where_a_block_is_singular(kernels):
    problem, _ = draw(2, 300, 4, 1, 0.5, False, False)
    problem.precision[:] = 1.0
    sums = problem.empty_sums()
    arguments = problem.first_arguments, problem.last_arguments
    assert kernels.gaussian_missing_step(*arguments[0], None, *sums, *arguments[1]) is None


def test_no_rows(kernels):
    problem, _ = draw(2, 30, 4, 2, 0.5, False, True)
    first = [np.empty((4, 0)), *problem.first_arguments[1:]]
    last = [problem.precision, np.empty(0, np.uint16), np.zeros(1, int), np.zeros(1, int), None]
    sums = problem.empty_sums()
    assert kernels.gaussian_missing_step(*first, None, *sums, *last) == 0.0
    for one in sums:
        assert_array_equal(one, 0.0)
    assert kernels.gaussian_missing_log_density(*first, np.empty((2, 0)), *last) is True


def good():
    """Arguments of gaussian_missing_step by name: 10 rows of two patterns of 3 columns."""
    return {
        "rows": np.zeros((3, 10)), "center": np.zeros(3), "scale": np.ones(3),
        "means": np.zeros((2, 3)), "root": np.tile(np.eye(3), (2, 1, 1)),
        "constants": np.zeros(2), "weight": np.ones(10), "sum_weight": np.zeros(2),
        "first": np.zeros((2, 3)), "second": np.zeros((2, 3, 3)),
        "precision": np.tile(np.eye(3), (2, 1, 1)), "columns": np.array([1, 0, 2], np.uint16),
        "starts": np.array([0, 1, 3]), "edges": np.array([0, 4, 10]), "ridge": np.ones(3),
    }  # fmt: skip


SPOILT = [
    (name, spoil)
    for name in good()
    for spoil in ("short", "long", "float32", "int", "no array", "None", "uint8")
    if not (name == "rows" and spoil in ("short", "long"))
    and not (name in ("starts", "edges") and spoil == "int")
    and not (name in ("weight", "ridge") and spoil == "None")
    and not (name == "columns" and spoil == "long")
]


@pytest.mark.parametrize(("name", "spoil"), SPOILT)
def test_arrays_of_another_size_or_kind_are_refused(kernels, name, spoil):
    array = good()[name]
    bad = {
        "short": array[..., :-1].copy(), "long": np.concatenate([array, array]),
        "float32": array.astype(np.float32), "int": array.astype(int), "no array": 3.0,
        "None": None, "uint8": array.astype(np.uint8),
    }[spoil]  # fmt: skip
    with pytest.raises((TypeError, ValueError, BufferError)):
        kernels.gaussian_missing_step(*{**good(), name: bad}.values())


INT64 = np.iinfo(np.int64)
HOSTILE = [
    ("columns", [3, 0, 2]), ("columns", [1, 0, 3]), ("columns", [1, 2, 0]), ("columns", [1, 2, 2]),
    ("columns", [65535, 0, 2]), ("columns", []), ("starts", [0, 1, 4]), ("starts", [0, 0, 3]),
    ("starts", [0, 3, 1]), ("starts", [-1, 1, 3]), ("starts", [0, 1, 1]), ("starts", [0, 4, 3]),
    ("starts", [0, INT64.max, 3]), ("starts", [0, INT64.min, 3]), ("starts", [0, 1, INT64.max]),
    ("starts", [INT64.min, INT64.max, 3]), ("starts", []), ("starts", [0]), ("starts", [0, 1]),
    ("starts", [0, 1, 2, 3]), ("edges", [0, 4, 9]), ("edges", [0, 4, 11]), ("edges", [1, 4, 10]),
    ("edges", [0, 0, 10]), ("edges", [0, 10, 10]), ("edges", [0, 12, 10]), ("edges", [-1, 4, 10]),
    ("edges", [0, INT64.max, 10]), ("edges", [0, INT64.min, 10]), ("edges", [0, 4, INT64.max]),
    ("edges", []), ("edges", [0]), ("edges", [0, 10]), ("edges", [0, 4, 8, 10]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values"), HOSTILE)
def test_patterns_that_do_not_fit_are_refused(kernels, name, values):
    arguments = good()
    arguments[name] = np.array(values, dtype=arguments[name].dtype)
    # Lengths that differ are refused as such.
    with pytest.raises((ValueError, TypeError), match=r"the patterns|(starts|edges) has"):
        kernels.gaussian_missing_step(*arguments.values())


def test_other_refusals(kernels):
    arguments = good()
    assert kernels.gaussian_missing_step(*arguments.values()) is not None
    with pytest.raises(TypeError, match="arguments"):
        kernels.gaussian_missing_step(*list(arguments.values())[:-1])
    with pytest.raises(TypeError, match="precision goes with"):
        kernels.gaussian_missing_step(*{**arguments, "precision": None}.values())
    diagonal = {**arguments, "root": np.ones((2, 3)), "second": np.zeros((2, 3))}
    with pytest.raises(TypeError, match="precision goes with"):
        kernels.gaussian_missing_step(*diagonal.values())
    assert kernels.gaussian_missing_step(*{**diagonal, "precision": None}.values()) is not None
    frozen = np.zeros((2, 3))
    frozen.setflags(write=False)
    with pytest.raises((BufferError, ValueError)):
        kernels.gaussian_missing_step(*{**arguments, "first": frozen}.values())
    nothing = {
        "means": np.zeros((0, 3)), "root": np.zeros((0, 3, 3)), "constants": np.zeros(0),
        "sum_weight": np.zeros(0), "first": np.zeros((0, 3)), "second": np.zeros((0, 3, 3)),
        "precision": np.zeros((0, 3, 3)),
    }  # fmt: skip
    with pytest.raises(TypeError, match="means has only 0 entries"):
        kernels.gaussian_missing_step(*{**arguments, **nothing}.values())
    names = [name for name in arguments if name not in ("weight", "sum_weight", "first", "second")]
    for bad in (np.zeros((2, 9)), np.zeros((2, 10), np.float32), None):
        values = [arguments[name] for name in names]
        with pytest.raises((TypeError, ValueError)):
            kernels.gaussian_missing_log_density(*values[:6], bad, *values[6:])
        sums = [arguments[name] for name in ("sum_weight", "first", "second")]
        with pytest.raises((TypeError, ValueError)):
            kernels.gaussian_missing_moments(*values[:6], bad, *sums, *values[6:])
