"""Gaussians of every instruction set that this processor has, against scipy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal


def problem(n, d, K, diagonal, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    means = rng.normal(size=(K, d))
    if diagonal:
        root = rng.uniform(0.5, 2.0, size=(K, d))
        precision = np.array([np.diag(r**2) for r in root])
        log_det = 2.0 * np.log(root).sum(axis=1)
    else:
        root = np.triu(rng.normal(size=(K, d, d))) / np.sqrt(d) + np.eye(d)
        precision = root @ root.transpose(0, 2, 1)
        log_det = np.linalg.slogdet(precision)[1]
    constants = 0.5 * log_det - 0.5 * d * np.log(2.0 * np.pi)
    joint = np.array(
        [
            multivariate_normal.logpdf(X, m, np.linalg.inv(P))
            for m, P in zip(means, precision, strict=True)
        ]
    ).reshape(K, n)
    return X, means, root, constants, joint


def moments(X, means, shares, diagonal):
    z = [X - mean for mean in means]
    first = np.array([r @ part for r, part in zip(shares, z, strict=True)])
    if diagonal:
        return (
            shares.sum(axis=1),
            first,
            np.array([r @ p**2 for r, p in zip(shares, z, strict=True)]),
        )
    return (
        shares.sum(axis=1),
        first,
        np.array([(p.T * r) @ p for r, p in zip(shares, z, strict=True)]),
    )


SHAPES = [(1, 1, 1), (300, 1, 2), (257, 2, 5), (600, 3, 2), (481, 4, 3), (200, 13, 4), (150, 70, 2)]


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize(("n", "d", "K"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaussians(kernels, dtype, n, d, K, diagonal):
    X, means, root, constants, joint = problem(n, d, K, diagonal)
    accuracy = 1e-9 if dtype is np.float64 else 2e-3
    tolerance = {"rtol": accuracy, "atol": accuracy}
    rng = np.random.default_rng(1)
    weight, center, scale = rng.random(n), rng.normal(size=d), np.exp2(rng.integers(-3, 3, d))
    # Rows in units of their own, row by row, and features by features.
    rows = (X / scale + center).astype(dtype)
    out = np.empty((K, n), dtype)
    kernels.gaussian_log_density(rows.T, center, scale, means, root, constants, out)
    assert_allclose(out, joint, **tolerance)
    plain = np.ascontiguousarray(X.T.astype(dtype))
    kernels.gaussian_log_density(plain, None, None, means, root, constants, out)
    assert_allclose(out, joint, **tolerance)

    density = logsumexp(joint, axis=0)
    sums = np.empty(K), np.empty((K, d)), np.empty(root.shape)
    value = kernels.gaussian_step(plain, None, None, means, root, constants, weight, *sums)
    assert_allclose(value, weight @ density, **tolerance)
    exact = moments(X, means, np.exp(joint - density) * weight, diagonal)
    for got, expected in zip(sums, exact, strict=True):
        assert_allclose(got, expected, rtol=accuracy, atol=accuracy * n)

    # Shares of which many are 0, so that rows are left out.
    shares = rng.random((K, n)) * (rng.random((K, n)) < 0.3)
    kernels.gaussian_moments(plain, None, None, means, root, constants, shares.astype(dtype), *sums)
    for got, expected in zip(sums, moments(X, means, shares, diagonal), strict=True):
        assert_allclose(got, expected, rtol=accuracy, atol=accuracy * n)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_factor(kernels, d):
    rng = np.random.default_rng(d)
    A = rng.normal(size=(4, d, 2 * d))
    matrices = A @ A.transpose(0, 2, 1)
    roots, log_det, diagonal = np.empty_like(matrices), np.empty(4), np.empty((4, d))
    assert kernels.precision_cholesky(matrices, 1e-10, roots, log_det, diagonal) == -1
    inverse = np.linalg.inv(matrices)
    assert_allclose(roots @ roots.transpose(0, 2, 1), inverse, rtol=1e-8, atol=1e-10)
    assert_array_equal(roots, np.triu(roots))
    assert_allclose(log_det, np.linalg.slogdet(matrices)[1], rtol=1e-10, atol=1e-10)
    assert_allclose(diagonal, np.diagonal(inverse, axis1=1, axis2=2), rtol=1e-8)


@pytest.mark.parametrize("spoil", [0.0, -1.0, np.nan, np.inf])
def test_factor_says_which_matrix_is_singular(kernels, spoil):
    matrices = np.tile(np.eye(3), (4, 1, 1))
    matrices[2, 1, 1] = spoil
    out = np.empty_like(matrices), np.empty(4), np.empty((4, 3))
    assert kernels.precision_cholesky(matrices, 1e-10, *out) == 2


GOOD = {
    "rows": np.zeros((2, 10)), "center": np.zeros(2), "scale": np.ones(2),
    "means": np.zeros((3, 2)), "root": np.zeros((3, 2, 2)), "constants": np.zeros(3),
    "weight": np.ones(10), "sum_weight": np.zeros(3), "first": np.zeros((3, 2)),
    "second": np.zeros((3, 2, 2)),
}  # fmt: skip


# Other rows are rows that the rest does not fit, which is the next test.
SPOILT = [
    (name, spoil)
    for name in GOOD
    for spoil in ("short", "long", "float32", "int", "no array")
    if name != "rows" or spoil in ("int", "no array")
]


@pytest.mark.parametrize(("name", "spoil"), SPOILT)
def test_arrays_of_another_size_or_kind_are_refused(kernels, name, spoil):
    good = GOOD[name]
    bad = {
        "short": good[..., :-1].copy(), "long": np.concatenate([good, good]),
        "float32": good.astype(np.float32), "int": good.astype(int), "no array": 3.0,
    }[spoil]  # fmt: skip
    with pytest.raises((TypeError, BufferError)):
        kernels.gaussian_step(*{**GOOD, name: bad}.values())


@pytest.mark.parametrize("shape", [(3, 10), (1, 10), (2, 9), (2, 11), (2,), (2, 5, 2)])
def test_rows_that_do_not_fit_the_rest_are_refused(kernels, shape):
    with pytest.raises(TypeError):
        kernels.gaussian_step(*{**GOOD, "rows": np.zeros(shape)}.values())


def test_what_is_written_has_to_be_writable(kernels):
    frozen = GOOD["first"].copy()
    frozen.setflags(write=False)
    with pytest.raises((BufferError, ValueError)):
        kernels.gaussian_step(*{**GOOD, "first": frozen}.values())
