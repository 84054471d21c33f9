"""Digits and singular matrices of Gaussian mixtures on rows with missing entries."""

from fractions import Fraction

import numpy as np
import pytest


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
def test_digits_of_ill_conditioned_covariances(kernels, condition, largest, missing_problem):
    d, n = 6, 60
    rng = np.random.default_rng(6)
    Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    Sigma = (Q * np.geomspace(1.0, 1.0 / condition, d)) @ Q.T
    Sigma = (Sigma + Sigma.T) / 2.0
    rows = rng.normal(size=(n, d)) * np.sqrt(np.geomspace(1.0, 1.0 / condition, d)) @ Q.T
    missing = rng.random((n, d)) < 0.3
    missing[np.arange(n), rng.integers(0, d, n)] = True
    missing[missing.all(axis=1), 0] = False
    problem = missing_problem(rows, missing, np.zeros((1, d)), Sigma[None], np.ones(1))
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
def test_no_result_where_a_precision_is_not_positive_definite(kernels, spoil, place, draw_missing):
    for diagonal in (False, True):
        if diagonal and spoil == -1.0:
            continue
        problem, _ = draw_missing(2, 300, 4, 2, 0.3, diagonal, False)
        shares = np.ones((2, 300))
        target = problem.root if diagonal else problem.precision
        target[(1, place) if diagonal else (1, place, place)] = spoil
        out = np.empty((2, 300))
        first, last, sums = problem.first_arguments, problem.last_arguments, problem.empty_sums()
        assert kernels.gaussian_missing_log_density(*first, out, *last) is None
        assert kernels.gaussian_missing_step(*first, None, *sums, *last) is None
        assert kernels.gaussian_missing_moments(*first, shares, *sums, *last) is None


def test_no_result_where_a_block_is_singular(kernels, draw_missing):
    problem, _ = draw_missing(2, 300, 4, 1, 0.5, False, False)
    problem.precision[:] = 1.0
    sums = problem.empty_sums()
    arguments = problem.first_arguments, problem.last_arguments
    assert kernels.gaussian_missing_step(*arguments[0], None, *sums, *arguments[1]) is None
