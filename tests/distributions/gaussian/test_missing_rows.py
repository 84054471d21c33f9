"""Gaussian rows with missing entries, against dense formulas row by row."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine.workspace import Workspace
from emlearn.kernels import compiled
from emlearn.kernels.softmax import to_responsibilities

ALL = sorted(STRUCTURES)


def dense(family, spec, params, X):
    """Log-densities, filled rows and conditional covariances in the units of the data."""
    public = family.to_public(params, spec)
    K, d = public["mean"].shape
    matrices = public["covariance"]
    if family.structure.is_diagonal:
        matrices = np.array([np.eye(d) * v for v in matrices])
    ridge = np.full(d, float(family.reg_covar))
    density = np.zeros((K, len(X)))
    filled, spread = np.empty((K, len(X), d)), np.zeros((K, len(X), d, d))
    for k, (mean, S) in enumerate(zip(public["mean"], matrices, strict=True)):
        levels = np.diag(np.linalg.inv(S)) * ridge
        for i, x in enumerate(X):
            m = np.isnan(x)
            o = ~m
            filled[k, i], spread[k, i] = mean, S
            if not o.any():
                continue
            density[k, i] = multivariate_normal.logpdf(x[o], mean[o], S[np.ix_(o, o)])
            density[k, i] -= 0.5 * levels[o].sum()
            B = S[np.ix_(m, o)] @ np.linalg.inv(S[np.ix_(o, o)])
            filled[k, i, o], filled[k, i, m] = x[o], mean[m] + B @ (x[o] - mean[o])
            spread[k, i] = 0.0
            spread[k, i][np.ix_(m, m)] = S[np.ix_(m, m)] - B @ S[np.ix_(o, m)]
    return density, filled, spread


def dense_m_step(family, X, R, filled, spread):
    """Weights, means and full scatters from filled rows; the ridge where there is something."""
    seen = ~np.isnan(X)
    used = seen.any(axis=1)
    R, filled, spread, seen = R[:, used], filled[:, used], spread[:, used], seen[used]
    weight = R.sum(axis=1)
    means = np.einsum("kn,knd->kd", R, filled) / weight[:, None]
    z = filled - means[:, None]
    scatter = np.einsum("kn,kni,knj->kij", R, z, z) + np.einsum("kn,knij->kij", R, spread)
    absent = np.einsum("kn,nd->kd", R, ~seen) * float(family.reg_covar)
    full = weight[:, None] * float(family.reg_covar) - absent
    scatter[:, range(X.shape[1]), range(X.shape[1])] += full
    return weight, means, scatter


def constrained(name, weight, scatter):
    """Covariances of a structure from scatters, by their formulas."""
    d = scatter.shape[1]
    if name == "full":
        return scatter / weight[:, None, None]
    if name == "tied":
        return np.repeat(scatter.sum(axis=0)[None], len(weight), axis=0) / weight.sum()
    diagonal = np.einsum("kii->ki", scatter) / weight[:, None]
    if name == "diag":
        return diagonal[:, :, None] * np.eye(d)
    return diagonal.mean(axis=1)[:, None, None] * np.eye(d)


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("d", "rate"), [(1, 0.3), (4, 0.3), (7, 0.6)])
def test_densities_and_statistics(kernels, name, ridge, d, rate, table, problem):
    X = table(90, d, rate, every_pattern=d == 4)
    family, spec, encoded, params = problem(name, X, ridge=ridge)
    precomputed = family.precompute(params, spec)
    density, filled, spread = dense(family, spec, params, X)
    out = np.ones(density.shape)
    family.log_density(encoded, precomputed, out)
    assert_allclose(out - 1.0, density, rtol=1e-10, atol=1e-10)
    assert_array_equal(out[:, len(X) // 2], 1.0)
    R = np.random.default_rng(2).dirichlet(np.full(3, 0.3), len(X)).T
    R *= np.random.default_rng(3).integers(0, 3, len(X))
    statistics = family.sufficient_statistics(encoded, R, precomputed)
    weight, means, scatter = dense_m_step(family, X, R, filled, spread)
    assert_allclose(statistics.weight, weight, rtol=1e-12)
    if name == "EEV":
        # Of columns in one scale: that of the widest is what the others are exact to.
        return
    public = family.to_public(family.m_step(statistics, params, spec), spec)
    assert_allclose(public["mean"], means, rtol=1e-11)
    found = public["covariance"]
    if family.structure.is_diagonal:
        found = np.array([np.eye(d) * v for v in found])
    expected = constrained(name, weight, scatter)
    size = np.sqrt(np.einsum("kii->ki", expected))
    gap = np.abs(found - expected) / (size[:, :, None] * size[:, None, :])
    assert gap.max() < 1e-9


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_one_pass_is_density_softmax_statistics(kernels, name, weighted, table, problem):
    X = table(300, 5, 0.3)
    weight = np.random.default_rng(0).gamma(2.0, size=300) if weighted else None
    family, spec, encoded, params = problem(name, X, ridge=0.1)
    precomputed = family.precompute(params, spec)
    log_weights = np.log([0.2, 0.3, 0.5])
    totals, statistics, value = family.expect(
        encoded, log_weights, len(X), weight, precomputed, Workspace()
    )
    joint = np.repeat(log_weights[:, None], len(X), axis=1)
    family.log_density(encoded, precomputed, joint)
    assert value == pytest.approx(to_responsibilities(joint, weight), rel=1e-12)
    assert_allclose(totals, joint.sum(axis=1), rtol=1e-12)
    expected = family.sufficient_statistics(encoded, joint, precomputed)
    for found, wanted in zip(statistics, expected, strict=True):
        scale = np.abs(wanted).max()
        assert_allclose(found, wanted, atol=1e-11 * scale)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_component_stays_out(kernels, name, table, problem):
    X = table(60, 4, 0.3)
    family, spec, encoded, params = problem(name, X)
    precomputed = family.precompute(params, spec)
    log_weights = np.array([np.log(0.4), -np.inf, np.log(0.6)])
    totals, statistics, value = family.expect(
        encoded, log_weights, len(X), None, precomputed, Workspace()
    )
    assert totals[1] == 0.0
    assert np.isfinite(value)
    moved = family.m_step(statistics, params, spec)
    assert_array_equal(moved.mean[1], params.mean[1])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.3])
def test_blocks_add_up_and_order_does_not_matter(kernels, name, rate, table, problem):
    X = table(700, 4, rate)
    X[350] = 1e4
    family, spec, encoded, params = problem(name, X, ridge=0.1)
    precomputed = family.precompute(params, spec)
    weight = np.random.default_rng(0).gamma(2.0, size=len(X))
    log_weights = np.log([0.2, 0.3, 0.5])

    def total(X, weight, slices, cut=True):
        every = family.encode(X, spec)
        blocks = family.cut(every, weight, slices, 3) if cut else [every]
        parts = [
            family.expect(block, log_weights, block.n_rows, weight[part], precomputed, Workspace())
            for block, part in zip(blocks, slices, strict=True)
        ]
        return [sum(part[i] for part in parts) for i in (0, 2)] + [
            sum(part[1][i] for part in parts) for i in (1, 2)
        ]

    whole = total(X, weight, [slice(0, len(X))], cut=False)
    order = family.order(X)
    assert (order is None) == (rate == 0.0)
    cuts = [0, 100, 101, 640, 700]
    slices = [slice(*edges) for edges in pairwise(cuts)]
    orders = [np.arange(len(X)), np.random.default_rng(1).permutation(len(X))]
    for way in orders if order is None else [*orders, order]:
        for found, wanted in zip(total(X[way], weight[way], slices), whole, strict=True):
            assert_allclose(found, wanted, atol=1e-11 * np.abs(wanted).max())
    if order is not None:
        missing = np.isnan(X[order]).sum(axis=1)
        assert_array_equal(np.sort(missing), missing)
    part = np.array([5, 2, 350, 2, 601])
    chosen = family.take(encoded, part)
    out, all_rows = np.zeros((3, 5)), np.zeros((3, len(X)))
    family.log_density(chosen, precomputed, out)
    family.log_density(encoded, precomputed, all_rows)
    assert_allclose(out, all_rows[:, part], rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_single_precision(name, table, problem):
    X = table(200, 4, 0.3) / np.logspace(0, 2, 4)
    X -= np.nanmean(X, axis=0)
    family, spec, encoded, params = problem(name, X.astype(np.float32))
    assert encoded.complete.rows.dtype == np.float32
    out = np.zeros((3, 200))
    family.log_density(encoded, family.precompute(params, spec), out)
    density, *_ = dense(family, spec, params, X.astype(np.float32).astype(np.float64))
    assert_allclose(out, density, rtol=1e-4, atol=1e-4)


def test_rows_are_split_by_how_much_they_lack():
    """Few missing: the kernels; many: the observed form, in blocks that are worth it."""
    X = np.random.default_rng(0).normal(size=(2000, 100))
    X[500:1000, :50] = np.nan
    X[1000:1500, :51] = np.nan
    X[1999] = np.nan
    for name in ALL:
        family = Gaussian(name)
        encoded = family.encode(X, family.column_spec(X))
        assert encoded.complete.n_rows == 999
        assert_array_equal(encoded.empty_at, [1999])
        few = 0 if encoded.missing is None else len(encoded.missing.at)
        many = sum(len(block.order) for block in encoded.patterns)
        diagonal = family.structure.is_diagonal
        expected = 0 if compiled is None else 1000 if diagonal else 500
        assert (few, many) == (expected, 1000 - expected)
        most = max(part.stop - part.start for part in family.slices(X, 3))
        least = min(part.stop - part.start for part in family.slices(X, 3))
        assert most - least <= 1
        assert diagonal or least >= 16 * 100
