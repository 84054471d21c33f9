"""Gaussian mixtures on rows with missing entries, against formulas for one pattern at a time."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal


def draw_weight(rng, n):
    choice = rng.integers(3)
    if choice == 0:
        return None
    weight = rng.gamma(1.0, size=n)
    return weight if choice == 1 else weight * (rng.random(n) < 0.5)


@pytest.mark.parametrize("seed", range(80))
def test_formulas_of_single_patterns(modules, seed, draw_missing):
    problem, rng = draw_missing(seed)
    problem.check(modules, draw_weight(rng, len(problem.rows)))


@pytest.mark.parametrize("spread", [5.0, 30.0])
@pytest.mark.parametrize("diagonal", [False, True])
def test_distant_components_leave_rows_to_each_other(modules, spread, diagonal, draw_missing):
    problem, rng = draw_missing(5, 900, 6, 3, 0.15, diagonal, True, spread)
    problem.check(modules, rng.random(900), 1e-9)


@pytest.mark.parametrize(("share", "d"), [(0.02, 40), (0.3, 40), (0.5, 21), (0.05, 17)])
def test_many_columns(modules, share, d, draw_missing):
    problem, rng = draw_missing(d, 150, d, 2, share, False, True)
    problem.check(modules, rng.random(150), 1e-9)


@pytest.mark.parametrize("n_each", [1, 3, 4, 5, 8, 9, 30, 61])
@pytest.mark.parametrize("diagonal", [False, True])
def test_every_pattern_of_four_columns(modules, n_each, diagonal, missing_problem, draw_missing):
    patterns = [c for m in range(1, 5) for c in combinations(range(4), m)]
    missing = np.zeros((len(patterns) * n_each, 4), dtype=bool)
    for p, pattern in enumerate(patterns):
        missing[p * n_each : (p + 1) * n_each, pattern] = True
    problem, rng = draw_missing(n_each, len(missing), 4, 2, 0.5, diagonal, True)
    problem = missing_problem(
        rng.normal(size=missing.shape), missing, problem.means, problem.covariances,
        problem.weights, problem.ridge, diagonal,
    )  # fmt: skip
    problem.check(modules, rng.random(len(missing)))


def test_patterns_in_any_order(kernels, draw_missing):
    """Sorting is for speed only."""
    problem, rng = draw_missing(9, 400, 5, 2, 0.4, False, True)
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
def test_rows_in_units_of_their_own_and_with_strides(kernels, diagonal, draw_missing):
    problem, rng = draw_missing(3, 333, 5, 3, 0.3, diagonal, True)
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
def test_what_stands_in_place_of_missing_entries_is_not_read(
    kernels, diagonal, share, draw_missing
):
    problem, _ = draw_missing(11, 500, 7, 2, share, diagonal, True)
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
def test_one_pass_and_two_have_the_same_bits(kernels, diagonal, draw_missing):
    problem, rng = draw_missing(21, 1500, 8, 3, 0.25, diagonal, True, spread=4.0)
    weight = rng.random(1500) * (rng.random(1500) < 0.8)
    value, *sums = problem.step(kernels, weight)
    joint = problem.log_density(kernels)
    assert_allclose(kernels.responsibilities(joint, weight, np.empty(1500)), value, rtol=1e-14)
    for one, other in zip(problem.moments(kernels, joint), sums, strict=True):
        assert_array_equal(one, other)


def test_threads_share_nothing(kernels, draw_missing):
    problem, rng = draw_missing(13, 2000, 6, 3, 0.3, False, True)
    weight = rng.random(2000)
    expected = problem.step(kernels, weight)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: problem.step(kernels, weight), range(16)):
            for one, other in zip(result, expected, strict=True):
                assert_array_equal(one, other)


def test_parts_of_the_rows_add_up(kernels, missing_problem, draw_missing):
    problem, rng = draw_missing(8, 640, 6, 2, 0.3, False, True)
    weight = rng.random(640)
    whole = problem.step(kernels, weight)
    total = None
    for start, stop in [(0, 1), (1, 200), (200, 201), (201, 640)]:
        part = missing_problem(
            problem.rows[start:stop], problem.missing[start:stop], problem.means,
            problem.covariances, problem.weights, problem.ridge,
        )  # fmt: skip
        result = part.step(kernels, weight[start:stop])
        total = result if total is None else [a + b for a, b in zip(total, result, strict=True)]
    for one, other in zip(total, whole, strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_steps_climb_with_a_ridge_on_what_is_observed(kernels, missing_problem, draw_missing):
    """The M-step on these sums is one of EM; a column without data keeps its variance."""
    problem, _ = draw_missing(31, 300, 4, 2, 0.3, False, True)
    missing = problem.missing.copy()
    missing[:, 3] = True
    weights, means, covariances = problem.weights, problem.means, problem.covariances
    before = -np.inf
    for _ in range(40):
        at = missing_problem(problem.rows, missing, means, covariances, weights, problem.ridge)
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


def test_no_rows(kernels, draw_missing):
    problem, _ = draw_missing(2, 30, 4, 2, 0.5, False, True)
    first = [np.empty((4, 0)), *problem.first_arguments[1:]]
    last = [problem.precision, np.empty(0, np.uint16), np.zeros(1, int), np.zeros(1, int), None]
    sums = problem.empty_sums()
    assert kernels.gaussian_missing_step(*first, None, *sums, *last) == 0.0
    for one in sums:
        assert_array_equal(one, 0.0)
    assert kernels.gaussian_missing_log_density(*first, np.empty((2, 0)), *last) is True
