"""The general location model against its definition, direct maximization and simpler models."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.stats import dirichlet, multivariate_normal, norm

from emlearn.distributions import Categorical
from emlearn.engine import GainBelow, RacePlan, race, run_em
from emlearn.impute import MissingDataImputerEM
from emlearn.impute.mixed.coefficients import solve_coefficients
from emlearn.impute.mixed.columns import TableKinds
from emlearn.impute.mixed.model import GeneralLocation, MixedPrior
from emlearn.kernels import compiled
from emlearn.kernels.general_location import LocationSums, condition
from emlearn.mixture import FiniteMixtureEM
from emlearn.testing import check_latent_variable_model

STRICT = GainBelow(1e-11)
# In numpy an E-step takes some hundred times as long; tests/kernels compares it with the kernels.
with_kernels = pytest.mark.skipif(compiled is None, reason="slow without the kernels")


def fit(model, data, start=None, rng=0, max_iter=5000):
    start = model.initialize(data, np.random.default_rng(rng)) if start is None else start
    return run_em(model, data, start, convergence=STRICT, max_iter=max_iter)


def evaluate(model, data, params):
    tables = model.precompute(params)
    parts = [model.e_step(block, tables) for block in model.blocks(data)]
    sums = LocationSums(*(sum(group) for group in zip(*(s for s, _ in parts), strict=True)))
    return sums, sum(value for _, value in parts)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("q", "sizes"), [(2, (3, 2)), (3, ()), (0, (3, 2, 4, 3)), (1, (2,))])
@pytest.mark.parametrize(
    ("K", "covariance"), [(1, "tied"), (2, "full"), pytest.param(3, "tied", marks=with_kernels)]
)
def test_the_kit_is_passed(mixed_table, K, covariance, q, sizes, weighted):
    n = 330
    table, kinds = mixed_table(q=q, sizes=sizes, n=n)
    weight = np.random.default_rng(0).integers(1, 4, n).astype(float) if weighted else None
    # More than one block of rows.
    model = GeneralLocation(K, covariance, kinds)
    check_latent_variable_model(model, table, sample_weight=weight, n_iter=8, max_iter=4000)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(4, 60),
    q=st.integers(0, 3),
    sizes=st.lists(st.integers(2, 4), max_size=3),
    K=st.integers(1, 3),
    tied=st.booleans(),
    power=st.booleans(),
    holes=st.floats(0.0, 0.7),
)
@settings(max_examples=40 if compiled is not None else 10)
def test_the_objective_never_falls(mixed_table, seed, n, q, sizes, K, tied, power, holes):
    assume(q + len(sizes))
    table, kinds = mixed_table(seed, n, q, tuple(sizes), holes)
    table = table[~np.isnan(table).all(axis=1)]
    several = [len(np.unique(column[~np.isnan(column)])) > 1 for column in table.T]
    assume(len(table) and all(several))
    prior = MixedPrior(np.eye(q), 1.0)
    model = GeneralLocation(K, "tied" if tied else "full", kinds, prior, power)
    data = model.prepare(table, np.random.default_rng(seed).random(len(table)) + 0.1)
    result = fit(model, data, rng=seed, max_iter=40)
    objective = np.array([step.objective for step in result.history])
    assert np.isfinite(objective).all()
    assert (np.diff(objective) >= -1e-9 * (1.0 + np.abs(objective[1:]))).all()


@with_kernels
@pytest.mark.parametrize(("K", "covariance"), [(1, "tied"), (2, "full")])
def test_direct_maximization_ends_at_the_same_objective(mixed_table, K, covariance):
    table, kinds = mixed_table(seed=3, n=40, q=2, sizes=(3,))
    model = GeneralLocation(K, covariance, kinds)
    data = model.prepare(table)
    result = fit(model, data)

    def loss(vector):
        try:
            params = model.from_vector(vector, result.params)
        except ArithmeticError:
            return 1e10
        return -(evaluate(model, data, params)[1] + model.log_prior(params))

    # After few steps of EM, so that both climb the same hill.
    start = fit(model, data, max_iter=1 if K == 1 else 8).params
    found = minimize(
        loss, model.to_vector(start), method="L-BFGS-B", options={"maxfun": 10**5, "ftol": 1e-13}
    )
    assert loss(model.to_vector(start)) > -result.objective + 1e-3
    assert -found.fun == pytest.approx(result.objective, abs=1e-4)
    assert -found.fun <= result.objective + 1e-7


def test_the_prior_is_the_stated_one(mixed_table):
    table, kinds = mixed_table(q=2, sizes=(3, 2))
    prior = MixedPrior(np.array([[1.0, 0.3], [0.3, 2.0]]), 1.7, 0.4, 0.6, 0.9)
    model = GeneralLocation(2, "full", kinds, prior)
    data = model.prepare(table)
    columns = data.columns
    one, two = (fit(model, data, rng=i, max_iter=m).params for i, m in ((0, 2), (1, 9)))

    def log_prior(params):
        value = dirichlet.logpdf(params.weights, np.full(2, 1.4))
        for k in range(2):
            for p, share in zip(
                columns.parts(params.probabilities), columns.parts(columns.shares), strict=True
            ):
                value += dirichlet.logpdf(p[k], 1.0 + 0.4 * len(share) * share)
            value += norm.logpdf(params.means[k], 0.0, 0.6**-0.5).sum()
            Sigma = params.covariances[k]
            trace = np.trace(np.linalg.solve(Sigma, prior.target))
            value -= 0.5 * 1.7 * (np.log(np.linalg.det(Sigma)) + trace)
        return value + norm.logpdf(params.coefficients, 0.0, 0.9**-0.5).sum()

    difference = model.log_prior(two) - model.log_prior(one)
    assert abs(difference) > 0.1
    assert_allclose(difference, log_prior(two) - log_prior(one), rtol=1e-10)


# ---- the M-step -----------------------------------------------------------------------------


def regression(seed, K, q, p, n=60):
    """Sums of random rows of a regression, and a dense solution."""
    rng = np.random.default_rng(seed)
    w = rng.random((K, n))
    D, X = rng.normal(size=(n, p)), rng.normal(size=(n, q))
    A = rng.normal(size=(K, q, q + 2))
    sums = (
        w.sum(axis=1), w @ D, np.einsum("kn,na,nb->kab", w, D, D), w @ X,
        np.einsum("kn,na,ni->kai", w, D, X),
    )  # fmt: skip
    return w, D, X, A @ A.transpose(0, 2, 1), sums


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("K", "q", "p"), [(1, 2, 3), (3, 2, 4), (2, 3, 0), (2, 1, 1), (2, 0, 3)])
def test_coefficients_solve_the_normal_equations(tied, K, q, p):
    w, D, X, covariances, sums = regression(0, K, q, p)
    covariances = covariances[:1] if tied else covariances
    precision = np.repeat([0.5, 1.3], [K, p])
    means, coefficients = solve_coefficients(*sums, covariances, precision)
    # vec(beta): the rows of all classes, whitened, below those of the prior.
    n = len(D)
    left, right = [np.kron(np.diag(np.sqrt(precision)), np.eye(q))], [np.zeros((K + p) * q)]
    for k in range(K):
        root = np.linalg.cholesky(np.linalg.inv(covariances[0 if tied else k])).T
        U = np.column_stack([np.tile(np.eye(K)[k], (n, 1)), D]) * np.sqrt(w[k])[:, None]
        left.append(np.kron(U, root))
        right.append((np.sqrt(w[k])[:, None] * X @ root.T).ravel())
    beta = np.linalg.lstsq(np.concatenate(left), np.concatenate(right), rcond=None)[0].reshape(
        K + p, q
    )
    assert means.shape == (K, q)
    assert coefficients.shape == (p, q)
    assert_allclose(np.concatenate((means, coefficients)), beta, rtol=1e-9, atol=1e-11)


def test_a_class_without_rows_has_the_mean_of_the_prior():
    *_, covariances, sums = regression(1, 3, 2, 2)
    for part in sums:
        part[1] = 0.0
    for own in (covariances, covariances[:1]):
        means, _ = solve_coefficients(*sums, own, np.full(5, 0.5))
        assert_allclose(means[1], 0.0, atol=1e-12)
        assert np.abs(means[0]).max() > 1e-3


@pytest.mark.parametrize("covariance", ["tied", "full"])
def test_the_m_step_maximizes_in_turn(mixed_table, covariance):
    """First means and coefficients, given the covariances, then these given the first."""
    table, kinds = mixed_table(q=2, sizes=(3, 2), holes=0.0)
    model = GeneralLocation(2, covariance, kinds)
    data = model.prepare(table)
    old = fit(model, data, max_iter=3).params
    sums, _ = evaluate(model, data, old)
    new = model.m_step(sums, old)
    rows = np.concatenate([b.rows.numbers for b in data.blocks])
    codes = np.concatenate([b.rows.codes for b in data.blocks])
    levels = data.columns.offsets[:-1] + codes
    # Responsibilities of the complete rows, from the definition.
    D = data.columns.design[levels].sum(axis=1)
    joint = np.empty((2, len(rows)))
    for k in range(2):
        Sigma = old.covariances[0 if covariance == "tied" else k]
        joint[k] = old.weights[k] * old.probabilities[k][levels].prod(axis=1)
        for i, x in enumerate(rows):
            mean = old.means[k] + D[i] @ old.coefficients
            joint[k, i] *= multivariate_normal.pdf(x, mean, Sigma)
    r = joint / joint.sum(axis=0)

    def expected(params):
        value = model.log_prior(params)
        for k in range(2):
            Sigma = params.covariances[0 if covariance == "tied" else k]
            mean = params.means[k] + D @ params.coefficients
            value += r[k].sum() * np.log(params.weights[k])
            value += r[k] @ np.log(params.probabilities[k][levels]).sum(axis=1)
            value += r[k] @ multivariate_normal.logpdf(rows - mean, np.zeros(2), Sigma)
        return value

    rng = np.random.default_rng(0)
    middle = new._replace(covariances=old.covariances)
    for _ in range(20):
        step = 1e-3 * rng.normal(size=new.means.shape)
        assert expected(middle._replace(means=new.means + step)) < expected(middle)
        step = 1e-3 * rng.normal(size=new.coefficients.shape)
        assert expected(middle._replace(coefficients=new.coefficients + step)) < expected(middle)
        step = 1e-3 * rng.normal(size=new.covariances.shape)
        moved = new._replace(covariances=new.covariances + step + step.transpose(0, 2, 1))
        assert expected(moved) < expected(new)
        step = np.exp(1e-3 * rng.normal(size=2))
        moved = new._replace(weights=new.weights * step / (new.weights @ step))
        assert expected(moved) < expected(new)
        parts = data.columns.parts(new.probabilities * np.exp(1e-3 * rng.normal(size=(2, 5))))
        levels_moved = np.concatenate([p / p.sum(axis=1, keepdims=True) for p in parts], axis=1)
        assert expected(new._replace(probabilities=levels_moved)) < expected(new)


# ---- simpler models that it contains --------------------------------------------------------


def weak(q):
    return MixedPrior(np.eye(q), 1e-9, 1e-9, 1e-9, 1e-9)


def test_one_class_of_numbers_is_a_gaussian(mixed_table):
    table, kinds = mixed_table(q=4, sizes=(), n=200, holes=0.3)
    model = GeneralLocation(1, "tied", kinds, weak(4))
    data = model.prepare(table)
    result = fit(model, data)
    own = result.objective - model.log_prior(result.params)
    own += data.columns.log_jacobian(table).sum()
    gaussian = MissingDataImputerEM(alpha=0, tol=1e-13, max_iter=10**5).fit(table)
    assert own == pytest.approx(gaussian.log_likelihood_, abs=1e-6)
    scale = np.array([margin.scale for margin in data.columns.margins])
    expected = gaussian.covariances_[0] / scale / scale[:, None]
    assert_allclose(result.params.covariances[0], expected, atol=1e-4)


def test_complete_rows_of_one_class_are_a_regression(mixed_table):
    """Olkin and Tate's model without holes: cell shares, and least squares on the dummies."""
    table, kinds = mixed_table(q=2, sizes=(3,), holes=0.0, n=120)
    model = GeneralLocation(1, "tied", kinds, weak(2))
    data = model.prepare(table)
    result = fit(model, data)
    own = result.objective - model.log_prior(result.params)
    own += data.columns.log_jacobian(table).sum()
    group, X = table[:, 2].astype(int), table[:, :2]
    counts = np.bincount(group)
    means = np.array([X[group == g].mean(axis=0) for g in range(3)])
    Sigma = np.cov((X - means[group]).T, bias=True)
    expected = counts @ np.log(counts / 120)
    expected += multivariate_normal.logpdf(X - means[group], np.zeros(2), Sigma).sum()
    assert own == pytest.approx(expected, abs=1e-6)


@with_kernels
def test_without_numbers_it_is_latent_class_analysis(mixed_table, kinds_of):
    table, _ = mixed_table(seed=2, q=0, sizes=(3, 2, 4, 2, 3), n=400, holes=0.2)
    table = table[~np.isnan(table).all(axis=1)]
    model = GeneralLocation(2, "tied", kinds_of(np.ones(5)), weak(0))
    data = model.prepare(table)
    plan = RacePlan(n_candidates=10)
    rng = np.random.default_rng(0)
    best = race(model, data, plan, rng, convergence=STRICT, max_iter=5000).best
    own = best.objective - model.log_prior(best.params)
    classes = FiniteMixtureEM(
        2, family=Categorical(alpha=0.0), tol=1e-12, n_init=10, random_state=0
    )
    classes.fit(table)
    assert classes.score(table) * len(table) == pytest.approx(own, abs=1e-5)


def test_without_effects_it_is_a_mixture(mixed_table):
    """Coefficients held at 0 by their prior, and no categories lost: two Gaussians."""
    table, kinds = mixed_table(seed=4, q=2, sizes=(), n=300, holes=0.1)
    prior = MixedPrior(np.eye(2), 1e-6, 1e-9, 1e-9, 1e-9)
    model = GeneralLocation(2, "full", kinds, prior)
    data = model.prepare(table)
    result = fit(model, data)
    own = result.objective - model.log_prior(result.params)
    own += data.columns.log_jacobian(table).sum()
    mixture = MissingDataImputerEM(2, alpha=1e-6, tol=1e-12, random_state=0).fit(table)
    assert own == pytest.approx(mixture.log_likelihood_, abs=1e-3)


# ---- rows, weights, columns -----------------------------------------------------------------


def test_weights_are_copies_and_the_order_does_not_matter(mixed_table):
    table, kinds = mixed_table(n=80)
    model = GeneralLocation(1, "tied", kinds)
    copies = np.arange(80) % 3 + 1
    weighted = fit(model, model.prepare(table, copies.astype(float)))
    order = np.random.default_rng(0).permutation(copies.sum())
    copied = fit(model, model.prepare(np.repeat(table, copies, axis=0)[order]))
    assert weighted.objective == pytest.approx(copied.objective, abs=1e-8)
    for one, other in zip(weighted.params[:5], copied.params[:5], strict=True):
        assert_allclose(one, other, atol=1e-5)


def test_codes_without_observed_rows_are_missing(mixed_table):
    table, kinds = mixed_table(sizes=(4, 3))
    table[table[:, 3] == 1, 3] = np.nan
    data = GeneralLocation(1, "tied", kinds).prepare(table)
    assert_array_equal(data.columns.levels[0], [0, 2, 3])
    new = np.array([[0.0, 0.0, 0.0, code, 0.0] for code in (0.0, 1.0, 2.0, 3.0, 7.0, np.nan)])
    assert_array_equal(data.columns.codes(new)[:, 0], [0, -1, 1, 2, -1, -1])


@pytest.mark.parametrize("power", [False, True])
def test_moved_to_the_same_columns_it_is_the_same(mixed_table, power):
    table, kinds = mixed_table(n=100)
    # A value with many rows, which the back-transform snaps to.
    center = np.nanmean(table[:, 0])
    table[np.abs(table[:, 0] - center) < np.nanstd(table[:, 0]) / 2, 0] = center
    model = GeneralLocation(2, "full", kinds, power=power)
    data, again = model.prepare(table), model.prepare(table.copy())
    params = fit(model, data, max_iter=5).params
    moved = params.moved_to(again.columns)
    for one, other in zip(moved[:5], params[:5], strict=True):
        assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("power", [False, True])
def test_moved_to_other_rows_numbers_have_the_same_density(mixed_table, power):
    """Also where the powers are the same; with other powers nothing is exact."""
    table, kinds = mixed_table(n=200, sizes=())
    model = GeneralLocation(2, "full", kinds, power=power)
    data, other = model.prepare(table), model.prepare(2.0 + 3.0 * table[:100])
    if power:
        margins = [
            margin._replace(power=old.power, center=old.center, scale=old.scale, shift=1.3)
            for margin, old in zip(other.columns.margins, data.columns.margins, strict=True)
        ]
        other = other._replace(columns=other.columns._replace(margins=tuple(margins)))
    params = fit(model, data, max_iter=5).params
    moved = params.moved_to(other.columns)

    def density(params):
        rows, order = params.columns.rows(table)
        return condition(rows, params.tables()).density + params.columns.log_jacobian(table)[order]

    assert_allclose(density(moved), density(params), rtol=1e-10, atol=1e-10)


def test_scores_are_centered_dummies_and_standardized_codes(kinds_of):
    codes = np.array([[0, 0, 0], [1, 1, 1], [2, 0, 3], [2, 0, 1], [np.nan, 1, 1]], float)
    weight = np.array([1.0, 2.0, 1.0, 1.0, 3.0])
    data = GeneralLocation(1, "tied", kinds_of([1, 1, 1], [2])).prepare(codes, weight)
    design, shares = data.columns.design, data.columns.shares
    assert_allclose(shares, [0.2, 0.4, 0.4, 3 / 8, 5 / 8, 1 / 8, 6 / 8, 1 / 8])
    assert_allclose(design[:3, :3], np.eye(3) - [0.2, 0.4, 0.4])
    for part, share in ((design[3:5, 3], shares[3:5]), (design[5:, 4], shares[5:])):
        assert share @ part == pytest.approx(0.0)
        assert share @ part**2 == pytest.approx(1.0)
    # Distances between codes count: 0, 1, 3.
    assert (design[7, 4] - design[6, 4]) / (design[6, 4] - design[5, 4]) == pytest.approx(2.0)
    assert not design[:3, 3:].any()
    assert not design[3:, :3].any()


def test_kinds_of_some_columns():
    kinds = TableKinds(np.array([True, False, False]), np.array([False, True, False]))
    assert_array_equal(kinds.categorical, [True, True, False])
    assert_array_equal(kinds.take(np.array([1, 2])).ordered, [True, False])
