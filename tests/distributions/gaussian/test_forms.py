"""All forms of the kernels against naive sums, and each other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from emlearn import kernels as compiled
from emlearn.distributions.gaussian import forms as kernels
from emlearn.distributions.gaussian.blocks import RowBlock
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine.workspace import Workspace

FORMS = ["MomentForm", "CenteredForm"] + ["CompiledForm"] * (compiled.compiled is not None)
CASES = [(name, form) for name in sorted(STRUCTURES) for form in FORMS] + [("full", "WhitenedForm")]
ACCURATE = [form for form in FORMS if form != "MomentForm"]


def problem(name, form, d, dtype, n=64, K=3):
    rng = np.random.default_rng(d)
    structure = STRUCTURES[name]
    X = rng.normal(size=(n, d)).astype(dtype)
    roots = rng.normal(size=(K, d, 2 * d)) / np.sqrt(2 * d)
    full = roots @ roots.transpose(0, 2, 1) + 0.2 * np.eye(d)
    covariances = {
        "full": full, "tied": full[0], "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0], "EEV": full,
    }[name]  # fmt: skip
    means = rng.normal(size=(K, d))
    factor = structure.factor(covariances, d, 1e-10)
    matrices = np.array([structure.matrix(covariances, k, d) for k in range(K)])
    scatter = None
    if structure.n_moments(d) == 0:
        x = X.T.astype(np.float64)
        scatter = x @ x.T
    block = RowBlock(X, ColumnScaling(np.zeros(d), np.ones(d)), None, Workspace(), scatter=scatter)
    return structure, getattr(kernels, form)(structure), block, means, factor, matrices


@pytest.mark.parametrize(("name", "form"), CASES)
@pytest.mark.parametrize("d", [1, 2, 7, 33])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_densities_and_statistics(name, form, d, dtype):
    structure, kernel, block, means, factor, matrices = problem(name, form, d, dtype)
    K, n = len(means), block.n_rows
    loose = {"rtol": 1e-8, "atol": 1e-8} if dtype == np.float64 else {"rtol": 1e-2, "atol": 2e-2}
    X = block.rows.astype(np.float64)
    constants = -0.5 * (d * np.log(2 * np.pi) + factor.log_det) * np.ones(K)
    precomputed = kernel.precompute(means, factor, constants, np.dtype(dtype))
    expected = np.array(
        [multivariate_normal.logpdf(X, m, c) for m, c in zip(means, matrices, strict=True)]
    )
    out = np.empty((K, n), dtype)
    precomputed.log_density(block, out, common=True)
    assert_allclose(out, expected, **loose)

    partial = np.empty((K, n), dtype)
    precomputed.log_density(block, partial, common=False)
    left_out = expected - partial
    assert_allclose(left_out, np.broadcast_to(left_out[0], (K, n)), **loose)
    assert_allclose(precomputed.common_total(block), left_out[0].sum(), rtol=1e-3, atol=0.05 * n * d
                    if dtype == np.float32 else 1e-7)  # fmt: skip

    resp = np.random.default_rng(1).dirichlet([0.2] * K, size=n).T.astype(dtype)
    resp[0, ::2] = 0.0
    statistics = precomputed.statistics(block, resp.copy())
    exact = resp.astype(np.float64)
    assert_allclose(statistics.weight, exact.sum(axis=1), rtol=1e-5)
    statistics = kernel.about_means(statistics, means)
    origin, second = means, statistics.second
    for k in range(K):
        assert_allclose(statistics.first[k], exact[k] @ (X - origin[k]), **loose)
    # The covariances that follow are those about the new means.
    shift = statistics.first / statistics.weight[:, None]
    got = structure.estimate(statistics.weight, shift, second, np.zeros(d))
    scatters = []
    for k in range(K):
        z = X - exact[k] @ X / exact[k].sum()
        scatters.append((exact[k][:, None] * z).T @ z)
    if name == "tied" and form == "MomentForm":
        # The total scatter stands for weights of one.
        return
    if name == "EEV" and d == 33:
        # A component of fewer rows than features: some of its axes are arbitrary.
        return
    counts = exact.sum(axis=1)
    values, vectors = np.linalg.eigh(scatters)
    common = values.sum(axis=0) / counts.sum()
    for k in range(K):
        own = scatters[k] / counts[k]
        wanted = {
            "full": own, "tied": sum(scatters) / counts.sum(), "diag": np.diag(np.diag(own)),
            "spherical": np.trace(own) / d * np.eye(d),
            "EEV": (vectors[k] * common) @ vectors[k].T,
        }[name]  # fmt: skip
        assert_allclose(structure.matrix(got, k, d), wanted, **loose)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_statistics_add_up_over_blocks(name, form):
    _, kernel, block, means, factor, _ = problem(name, form, 3, np.float64)
    precomputed = kernel.precompute(means, factor, np.zeros(len(means)), np.dtype(np.float64))
    resp = np.random.default_rng(1).dirichlet([1.0] * 3, size=block.n_rows).T
    whole = precomputed.statistics(block, resp.copy())
    parts = []
    for rows in (slice(0, 20), slice(20, None)):
        X = block.rows[rows]
        scatter = None if block.scatter is None else X.T @ X
        part = RowBlock(X, block.scaling, None, Workspace(), scatter=scatter)
        parts.append(precomputed.statistics(part, resp[:, rows].copy()))
    for name_of, a, b, total in zip(whole._fields, *parts, whole, strict=True):
        assert_allclose(a + b, total, rtol=1e-10, atol=1e-10, err_msg=name_of)


@pytest.mark.parametrize("form", ACCURATE)
@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_centered_rows_keep_the_digits_of_a_narrow_component(name, form):
    """1e-7 wide, 3 away from the origin: of the moment form nothing would be left."""
    rng = np.random.default_rng(0)
    structure = STRUCTURES[name]
    X = 3.0 + 1e-7 * rng.normal(size=(400, 2))
    mean = X.mean(axis=0)
    cov = {"full": np.eye(2)[None], "tied": np.eye(2), "diag": np.ones((1, 2)),
           "spherical": np.ones(1), "EEV": np.eye(2)[None]}[name] * 1e-14  # fmt: skip
    factor = structure.factor(cov, 2, 1e-12)
    kernel = getattr(kernels, form)(structure)
    precomputed = kernel.precompute(mean[None], factor, np.zeros(1), np.dtype(np.float64))
    block = RowBlock(X, ColumnScaling(np.zeros(2), np.ones(2)), None, Workspace())
    out = np.empty((1, 400))
    precomputed.log_density(block, out, common=True)
    assert_allclose(out[0], -0.5e14 * np.square(X - mean).sum(axis=1), rtol=1e-9)
    statistics = precomputed.statistics(block, np.ones((1, 400)))
    second = kernel.about_means(statistics, mean[None]).second
    shift = statistics.first / statistics.weight[:, None]
    got = structure.matrix(structure.estimate(statistics.weight, shift, second, np.zeros(2)), 0, 2)
    exact = np.cov(X.T, bias=True)
    if name in ("diag", "spherical"):
        exact = np.diag(np.diag(exact))
    if name == "spherical":
        exact = np.trace(exact) / 2 * np.eye(2)
    assert_allclose(got, exact, rtol=1e-6, atol=1e-22)
