"""Gaussian rows with missing entries, against dense formulas row by row."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian import forms, rows, steps
from emlearn.distributions.gaussian.incomplete import batched, conditioning
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import RemainingGain, Threads, run_em
from emlearn.engine.workspace import Workspace
from emlearn.kernels import compiled
from emlearn.kernels.softmax import to_responsibilities
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.starts import GivenStart

ALL = sorted(STRUCTURES)


@pytest.fixture(params=["numpy", "compiled"])
def kernels(request, monkeypatch):
    """Run a test with the compiled kernels, if there are any, and without."""
    if request.param == "numpy":
        for module in (batched, conditioning, forms, rows, steps):
            monkeypatch.setattr(module, "compiled", None)
    elif compiled is None:
        pytest.skip("the kernels are not built")
    return request.param


def table(n, d, rate, seed=0, every_pattern=False):
    """Rows in clusters, of columns with other scales, far from 0, one of them empty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.4 * rng.normal(size=(d, d)))
    X = (X + 3.0 * rng.integers(2, size=(n, 1))) * np.logspace(0, 2, d) + 1e4
    X[rng.random(X.shape) < rate] = np.nan
    if every_pattern:
        patterns = (np.arange(2**d)[:, None] >> np.arange(d)) & 1 == 1
        X[: 2**d] = np.where(patterns, np.nan, np.nan_to_num(X[: 2**d], nan=1e4))
    X[n // 2] = np.nan
    return X


def problem(name, X, K=3, ridge=0.0, seed=1):
    """A family, its rows, and parameters that fit a third of them each."""
    rng = np.random.default_rng(seed)
    family = Gaussian(name, alpha=0.0, reg_covar=ridge)
    spec = family.column_spec(X)
    encoded = family.encode(X, spec)
    params = family.start(encoded, rng.dirichlet(np.ones(K), len(X)).T, spec, rng)
    return family, spec, encoded, params


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
def test_densities_and_statistics(kernels, name, ridge, d, rate):
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
def test_one_pass_is_density_softmax_statistics(kernels, name, weighted):
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
def test_an_empty_component_stays_out(kernels, name):
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
def test_blocks_add_up_and_order_does_not_matter(kernels, name, rate):
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


def fitted(name, X, ridge, K=2, n_iter=60, n_threads=1, start=None):
    start = np.random.default_rng(0).dirichlet(np.ones(K), len(X)) if start is None else start
    family = Gaussian(name, alpha=0.0, reg_covar=ridge)
    model = LabelModel(MixtureLaw(K), family, GivenStart(start))
    data = model.prepare(Observations(X))
    run = run_em(
        model, data, model.initialize(data, np.random.default_rng(0)),
        convergence=RemainingGain(0.0), max_iter=n_iter, mapper=Threads(n_threads),
    )  # fmt: skip
    return family, run


@pytest.mark.parametrize("name", ALL)
def test_the_objective_never_falls_with_a_ridge_and_holes(kernels, name):
    X = table(200, 4, 0.35) / np.logspace(0, 2, 4)
    _, run = fitted(name, X, 0.05)
    objective = run.history.as_arrays()["objective"]
    assert len(objective) > 30
    assert np.diff(objective).min() > -1e-11 * np.abs(objective).max()


def test_a_ridge_adds_nothing_where_nothing_is_observed():
    """A column that all rows of one cluster lack: its variance stays bounded."""
    rng = np.random.default_rng(0)
    side = np.repeat([0, 1], 150)
    X = rng.normal(size=(300, 3)) + 8.0 * side[:, None]
    X[side == 1, 2] = np.nan
    start = np.eye(2)[side]
    found = []
    for n_iter in (5, 50, 500):
        family, run = fitted("full", X, 0.1, n_iter=n_iter, start=start)
        public = family.to_public(run.params.components, run.params.column_spec)
        found.append(public["covariance"][1, 2, 2])
    assert_allclose(found[1:], found[0], rtol=0.2)


@pytest.mark.parametrize("name", ALL)
def test_same_bits_for_any_number_of_threads(name):
    X = table(9000, 6, 0.1)
    runs = [fitted(name, X, "auto", n_iter=3, n_threads=t)[1] for t in (1, 2, 3)]
    for run in runs[1:]:
        assert run.objective == runs[0].objective
        for a, b in zip(run.params.components[:2], runs[0].params.components[:2], strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("name", ALL)
def test_single_precision(name):
    X = table(200, 4, 0.3) / np.logspace(0, 2, 4)
    X -= np.nanmean(X, axis=0)
    family, spec, encoded, params = problem(name, X.astype(np.float32))
    assert encoded.complete.rows.dtype == np.float32
    out = np.zeros((3, 200))
    family.log_density(encoded, family.precompute(params, spec), out)
    density, *_ = dense(family, spec, params, X.astype(np.float32).astype(np.float64))
    assert_allclose(out, density, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_rows_far_away(kernels, name, dtype):
    """Finite, ever lower, and in the end told apart by direction, with holes or without."""
    X = (table(100, 3, 0.0) - 1e4) / np.logspace(0, 2, 3)
    X[50] = 0.0
    family, spec, _, params = problem(name, X)
    precomputed = family.precompute(params, spec)
    reach = np.logspace(2, np.log10(np.finfo(dtype).max) - 0.1, 60)
    for direction in ([1.0, 1.0, -1.0], [0.3, np.nan, 1.0], [np.nan, np.nan, -1.0]):
        far = (reach[:, None] * direction).astype(dtype)
        out = np.zeros((3, 60))
        family.log_density(family.encode(far, spec), precomputed, out)
        assert np.isfinite(out).all()
        assert (np.diff(out.max(axis=0)) <= 0.0).all()
        assert len(set(out.argmax(axis=0)[30:])) == 1
        joint = out.copy()
        to_responsibilities(joint, None)
        assert_allclose(joint.sum(axis=0), 1.0)


def test_a_row_is_scored_alike_near_and_just_beyond_the_end_of_precision():
    family, spec, _, params = problem("full", table(100, 3, 0.0) / np.logspace(0, 2, 3))
    precomputed = family.precompute(params, spec)
    scale = spec.scaling.scale
    edge = np.outer([0.999e7, 1.001e7], scale * [1.0, -0.5, 0.25]) + spec.scaling.center
    out = np.zeros((3, 2))
    family.log_density(family.encode(edge, spec), precomputed, out)
    assert_allclose(out[:, 0] / out[0, 0], out[:, 1] / out[0, 1], rtol=1e-5)
    assert_allclose(out[:, 1] / out[:, 0], (1.001 / 0.999) ** 2, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_distances_of_single_precision_are_taken_in_double(name):
    """Squares of 1e4 have lost the differences between components in single precision."""
    X = (table(100, 3, 0.0) - 1e4) / np.logspace(0, 2, 3)
    X[50] = 0.0
    family, spec, _, params = problem(name, X.astype(np.float32))
    precomputed = family.precompute(params, spec)
    far = (1e4 * np.random.default_rng(0).normal(size=(50, 3))).astype(np.float32)
    single, double = np.zeros((3, 50)), np.zeros((3, 50))
    family.log_density(family.encode(far, spec), precomputed, single)
    family.log_density(family.encode(far.astype(np.float64), spec), precomputed, double)
    assert_allclose(single, double, rtol=1e-13)


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


@pytest.mark.parametrize("name", ALL)
def test_published_parameters_are_the_model(name):
    X = table(120, 3, 0.2)
    family, spec, encoded, params = problem(name, X)
    out = np.zeros((3, 120))
    family.log_density(encoded, family.precompute(params, spec), out)
    public = family.to_public(params, spec)
    own = family.spec_of(public)
    other = np.zeros((3, 120))
    again = family.from_public(public, own)
    family.log_density(family.encode(X, own), family.precompute(again, own), other)
    assert_allclose(other, out, rtol=1e-9)
    back = family.to_public(family.from_public(public, spec), spec)
    for key, value in public.items():
        assert_allclose(back[key], value, rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_any_form_of_the_covariances(name):
    X = table(120, 3, 0.2)
    family, spec, _, params = problem(name, X)
    public = family.to_public(params, spec)
    root = family.precisions_cholesky(params, spec)
    precision = family.structure.precision(root)
    wrong = public["covariance"] * 7.0
    results = []
    for forms_given in (
        {"covariance": public["covariance"]},
        {"precision": precision},
        {"precision_cholesky": root},
        {"precision_cholesky": root, "precision": wrong},
    ):
        given = {"mean": public["mean"], **forms_given}
        out = np.zeros((3, 120))
        spec = family.spec_of(given)
        known = family.from_public(given, spec)
        family.log_density(family.encode(X, spec), family.precompute(known, spec), out)
        results.append(out)
    for other in results[1:]:
        assert_allclose(other, results[0], rtol=1e-8)


EYE = np.repeat(np.eye(2)[None], 2, axis=0)
UPPER = np.repeat([[[1.0, 0.5], [0.0, 1.0]]], 2, axis=0)
INFINITE = np.full((2, 2, 2), np.inf)


@pytest.mark.parametrize(
    ("name", "public", "match"),
    [
        ("full", {}, "mean is missing"),
        ("full", {"mean": np.zeros((2, 2))}, "need 'covariance', 'precision' or"),
        ("full", {"mean": np.zeros(2), "covariance": EYE}, "mean must have shape"),
        ("full", {"mean": [[0, np.nan]] * 2, "covariance": EYE}, "column 1 is nan"),
        ("full", {"mean": np.zeros((2, 2)), "covariance": EYE[:1]}, r"shape \(2, 2, 2\)"),
        ("full", {"mean": np.zeros((2, 2)), "covariance": INFINITE}, "covariance must be fin"),
        ("full", {"mean": np.zeros((2, 2)), "covariance": EYE * [[[1.0]], [[-1.0]]]},
         "covariance of component 1 is not symmetric positive definite"),
        ("full", {"mean": np.zeros((2, 2)), "precision": UPPER},
         "precision of component 0 is not symmetric positive definite"),
        ("full", {"mean": np.zeros((2, 2)), "precision_cholesky": UPPER.transpose(0, 2, 1)},
         "precision_cholesky of component 0 is not upper triangular"),
        ("tied", {"mean": np.zeros((2, 2)), "covariance": -np.eye(2)}, "covariance is not sym"),
        ("tied", {"mean": np.zeros((2, 2)), "covariance": EYE * [[[1.0]], [[2.0]]]},
         "covariance must be the same for all components"),
        ("diag", {"mean": np.zeros((2, 2)), "covariance": [[1, 1], [1, 0]]},
         "covariance of component 1 is not positive"),
        ("spherical", {"mean": np.zeros((2, 2)), "precision": [-1, 1]},
         "precision of component 0 is not positive"),
    ],
)  # fmt: skip
def test_parameters_that_are_refused(name, public, match):
    family = Gaussian(name)
    with pytest.raises(ValueError, match=match):
        family.from_public(public, family.spec_of(public))


def test_columns_that_cannot_be_learned():
    X = table(50, 3, 0.1)
    X[:, 1] = np.nan
    with pytest.raises(ValueError, match="Column 1 of X has no observed value"):
        Gaussian().column_spec(X)
    weight = np.ones(50)
    X[:, 1] = 1.0
    X[:2, 1], weight[:2] = np.nan, 0.0
    X[2:, 1] = np.nan
    X[0, 1] = 5.0
    with pytest.raises(ValueError, match="Column 1 of X has no observed value"):
        Gaussian().column_spec(X, weight)
    with pytest.raises(ValueError, match=r"Column 0 of X must be in other units.*beyond the range"):
        Gaussian().column_spec(np.array([[1e300, 1.0], [-1e300, 2.0], [3.0, 1.5]]))


@pytest.mark.parametrize("kind", ["numpy", "compiled"])
def test_rows_of_weight_zero_do_not_count(kind, monkeypatch):
    from emlearn.distributions.gaussian import scaling

    if kind == "numpy":
        monkeypatch.setattr(scaling, "compiled", None)
    X = table(40, 2, 0.1)
    wild = np.vstack([X, np.full((3, 2), 1e155)])
    weight = np.r_[np.ones(40), np.zeros(3)]
    for found, wanted in zip(
        scaling.summarize_columns(wild, weight), scaling.summarize_columns(X), strict=True
    ):
        assert_allclose(found, wanted)


def test_a_huge_constant_column_has_no_nan():
    X = np.column_stack([np.full(30, 1e300), np.arange(30.0)])
    for name in ALL:
        family = replace(Gaussian(name), reg_covar="auto", alpha=0.0)
        spec = family.column_spec(X)
        for value in (*spec.scaling, spec.variance, spec.prior.ridge):
            assert np.isfinite(value).all()
