"""Draws within bounds against truncated distributions, and draws of nearly singular models."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import ks_2samp, kstest, norm, truncnorm

from emlearn.distributions.gaussian.incomplete import filling, truncated
from emlearn.distributions.gaussian.incomplete.truncated import truncated_normal
from emlearn.engine import DegenerateModelError
from emlearn.impute import MissingDataImputerEM, multiple_imputation

nan = np.nan
inf = np.inf
COVARIANCE = np.array([[1.0, 0.6, 0.3], [0.6, 2.0, -0.5], [0.3, -0.5, 1.5]])
MEANS = np.array([1.0, -2.0, 0.5])


def draw(rows, n, imputer):
    """`n` imputations of one row."""
    imputer.set_params(sample_posterior=True, random_state=0)
    return imputer.transform(np.tile(np.asarray(rows, dtype=float), (n, 1)))


def brute_force(imputer, row, low, high, n, n_kept):
    """Draws without bounds, of which those within are kept."""
    free = imputer.set_params(bounds=None)
    drawn = draw(row, n, free)
    inside = ((drawn >= low) & (drawn <= high) | ~np.isnan(row)).all(axis=1)
    assert inside.sum() >= n_kept
    return drawn[inside][:n_kept]


@pytest.mark.parametrize(
    ("low", "high"),
    [(2.5, inf), (-inf, -3.0), (-0.5, 2.0), (10.0, inf), (30.0, 30.05), (-40.0, -39.9), (4.0, 4.2)],
)
def test_truncated_normal(low, high):
    rng = np.random.default_rng(0)
    values, log_mass = truncated_normal(np.full(4000, low), np.full(4000, high), rng)
    assert kstest(values, truncnorm(low, high).cdf).pvalue > 1e-3
    assert np.unique(values).size == values.size
    ends = (-low, -high) if low > 0 else (high, low)
    above, below = norm.logcdf(ends[0]), norm.logcdf(ends[1])
    exact = above + np.log1p(-np.exp(below - above)) if above > below else below
    exact = max(above, below) + np.log(-np.expm1(-abs(above - below)))
    assert_allclose(log_mass, exact, rtol=1e-10)


def test_truncated_normal_in_the_farthest_tails():
    rng = np.random.default_rng(0)
    low = np.array([1e3, 1e5, 1e150, 5.0, -inf, -1e300, 3.0])
    high = np.array([inf, inf, inf, 5.0 + 1e-12, inf, -1e299, 3.0 + 1e-15])
    values, log_mass = truncated_normal(low, high, rng)
    assert ((values >= low) & (values <= high)).all()
    assert not np.isnan(log_mass).any()
    many, _ = truncated_normal(np.full(2000, 1e5), np.full(2000, inf), rng)
    assert kstest((many - 1e5) * 1e5, "expon").pvalue > 1e-3
    narrow, mass = truncated_normal(np.full(2000, 5.0), np.full(2000, 5.0 + 1e-9), rng)
    assert kstest((narrow - 5.0) / 1e-9, "uniform").pvalue > 1e-3
    assert_allclose(mass, norm.logpdf(5.0) + np.log(1e-9), rtol=1e-6)


def test_one_column_with_a_bound_far_out():
    imputer = MissingDataImputerEM.from_parameters([0.0], [[1.0]], bounds=(2.5, None))
    drawn = draw([nan], 20000, imputer)[:, 0]
    assert kstest(drawn, truncnorm(2.5, inf).cdf).pvalue > 1e-3
    assert_allclose(drawn.mean(), truncnorm(2.5, inf).mean(), atol=0.01)
    assert (drawn == 2.5).sum() == 0


@pytest.mark.parametrize("compiled", [True, False])
def test_one_bounded_column_among_others(compiled):
    """Its conditional distribution is truncated; the others follow it."""
    bounds = {0: (3.5, None)} if compiled else {0: (None, -1.5)}
    imputer = MissingDataImputerEM.from_parameters(MEANS, COVARIANCE, bounds=bounds)
    row = np.array([nan, -1.0, nan])
    drawn = draw(row, 8000, imputer)
    mean = 1.0 + 0.6 / 2.0
    deviation = np.sqrt(1.0 - 0.36 / 2.0)
    limits = (3.5, inf) if compiled else (-inf, -1.5)
    exact = truncnorm(*((np.array(limits) - mean) / deviation), mean, deviation)
    assert kstest(drawn[:, 0], exact.cdf).pvalue > 1e-3
    # Given columns 0 and 1 the third is normal whatever the bounds.
    rest = COVARIANCE[2, :2] @ np.linalg.inv(COVARIANCE[:2, :2])
    residual = drawn[:, 2] - 0.5 - (drawn[:, :2] - MEANS[:2]) @ rest
    spread = np.sqrt(1.5 - rest @ COVARIANCE[:2, 2])
    assert kstest(residual / spread, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(residual, drawn[:, 0])[0, 1]) < 0.05


@pytest.mark.parametrize("correlation", [0.9, -0.7])
@pytest.mark.parametrize("redraws", [0, 10])
def test_two_bounded_columns_against_rejection(correlation, redraws, monkeypatch):
    monkeypatch.setattr("emlearn.impute._drawing._REDRAWS", redraws)
    covariance = np.array([[1.0, correlation, 0.4], [correlation, 1.0, 0.1], [0.4, 0.1, 1.0]])
    low, high = np.array([0.8, -0.3, -inf]), np.array([2.0, inf, inf])
    bounds = (list(low), list(high))
    imputer = MissingDataImputerEM.from_parameters(np.zeros(3), covariance, bounds=bounds)
    row = np.array([nan, nan, 0.5])
    drawn = draw(row, 4000, imputer)
    exact = brute_force(imputer, row, low, high, 400_000, 4000)
    for direction in ([1, 0, 0], [0, 1, 0], [1, 1, 0], [1, -1, 0]):
        assert ks_2samp(drawn @ direction, exact @ direction).pvalue > 1e-3
    assert_allclose(np.cov(drawn[:, :2].T), np.cov(exact[:, :2].T), atol=0.03)


def mixture(bounds):
    covariances = np.array([[[1.0, 0.7], [0.7, 1.0]], [[0.5, -0.3], [-0.3, 2.0]]])
    return MissingDataImputerEM.from_parameters(
        [[0.0, 0.0], [3.0, 1.0]], covariances, weights=[0.7, 0.3], bounds=bounds
    )


@pytest.mark.parametrize("bounds", [{0: (1.5, 2.5)}, {0: (1.5, None), 1: (1.0, 2.0)}])
@pytest.mark.parametrize("row", [[nan, nan], [nan, 1.5]])
def test_components_are_reweighted_by_the_mass_within(bounds, row, monkeypatch):
    monkeypatch.setattr("emlearn.impute._drawing._REDRAWS", 0)
    imputer = mixture(bounds)
    row = np.array(row)
    drawn = draw(row, 6000, imputer)
    low, high = np.array([[-inf, -inf], [inf, inf]])
    for column, (lowest, highest) in bounds.items():
        low[column], high[column] = lowest, inf if highest is None else highest
    exact = brute_force(imputer, row, low, high, 200_000, 6000)
    assert ks_2samp(drawn[:, 0], exact[:, 0]).pvalue > 1e-3
    assert ks_2samp(drawn @ [1.0, -1.0], exact @ [1.0, -1.0]).pvalue > 1e-3


@pytest.mark.parametrize("row", [[nan, 0.5, nan, 1.0], [nan, nan, nan, 0.5]])
def test_factor_analysis_within_bounds(row, monkeypatch):
    monkeypatch.setattr("emlearn.impute._drawing._REDRAWS", 0)
    loadings = np.array([[1.0, 0.2], [0.8, -0.5], [-0.6, 0.9], [0.4, 0.4]])
    bounds = {0: (0.5, None), 1: (None, 0.2)}
    imputer = MissingDataImputerEM.from_parameters(
        np.zeros(4), loadings=loadings, noise_variances=[0.3, 0.5, 0.2, 0.4], bounds=bounds
    )
    row = np.array(row)
    drawn = draw(row, 5000, imputer)
    low, high = np.array([0.5, -inf, -inf, -inf]), np.array([inf, 0.2, inf, inf])
    exact = brute_force(imputer, row, low, high, 150_000, 5000)
    for direction in ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0]):
        assert ks_2samp(drawn @ direction, exact @ direction).pvalue > 1e-3


def test_many_bounded_columns_stay_within_and_apart():
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(12, 3))
    covariance = loadings @ loadings.T + 0.5 * np.eye(12)
    rows = rng.multivariate_normal(np.zeros(12), covariance, size=200)
    rows[rng.random(rows.shape) < 0.6] = nan
    options = {"bounds": (1.0, 3.0), "sample_posterior": True, "random_state": 0}
    imputer = MissingDataImputerEM.from_parameters(np.zeros(12), covariance, **options)
    out = imputer.transform(rows)
    drawn = out[np.isnan(rows)]
    assert ((drawn >= 1.0) & (drawn <= 3.0)).all()
    assert np.unique(drawn).size == drawn.size
    assert_allclose(imputer.transform(rows), out, rtol=0)


def test_sweeps_keep_the_distribution():
    """From an exact draw, sweeps lead to another."""
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    exact = rng.multivariate_normal([0, 0], covariance, size=200_000)
    exact = exact[(exact > 0.5).all(axis=1)][:8000]
    moved = exact.copy()
    precision = np.repeat(np.linalg.inv(covariance)[None], len(moved), axis=0)
    truncated._sweep(precision, moved, np.full_like(moved, 0.5), np.full_like(moved, inf), rng)
    assert not (moved == exact).any()
    for direction in ([1, 0], [1, 1], [1, -1]):
        assert ks_2samp(moved @ direction, exact @ direction).pvalue > 1e-3


def test_a_constant_column_does_not_move_bounds():
    imputer = MissingDataImputerEM.from_parameters(
        [7.0, 0.0, 0.0], np.diag([0.0, 1.0, 1.0]), bounds={1: (2.0, None), 2: (None, -2.0)}
    )
    drawn = draw([nan, nan, nan], 300, imputer)
    assert (drawn[:, 0] == 7.0).all()
    assert drawn[:, 1].min() > 2.0
    assert drawn[:, 2].max() < -2.0


def test_conditional_means_are_clipped():
    imputer = MissingDataImputerEM.from_parameters(MEANS, COVARIANCE, bounds=(0.0, 0.7))
    assert_allclose(imputer.transform([[nan, nan, nan]]), [[0.7, 0.0, 0.5]])


@pytest.mark.parametrize("seed", range(5))
def test_maximum_likelihood_of_small_tables_draws(seed):
    """Nearly singular covariances: draws and deviations are finite and of one opinion."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    X[rng.random(X.shape) < 0.3] = nan
    X = X[~np.isnan(X).all(axis=1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = MissingDataImputerEM(alpha=0, random_state=0).fit(X)
        tables = list(multiple_imputation(MissingDataImputerEM(alpha=0), X, n_imputations=5,
                                          random_state=0))  # fmt: skip
    assert np.isfinite(tables).all()
    deviation = imputer.conditional_std(X)
    assert np.isfinite(deviation).all()
    means = imputer.transform(X)
    imputer.set_params(sample_posterior=True)
    draws = np.array([imputer.set_params(random_state=i).transform(X) for i in range(200)])
    gap = np.abs(draws.std(axis=0) - deviation)
    assert (gap <= 0.3 * deviation + 1e-4 * np.nanstd(X, axis=0)).all()
    assert (np.abs(draws.mean(axis=0) - means) <= 0.4 * deviation + 1e-4).all()


def test_deviations_where_the_precision_cannot_be_inverted(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    X[rng.random(X.shape) < 0.4] = nan
    imputer = MissingDataImputerEM.from_parameters(MEANS, COVARIANCE)
    usual = imputer.conditional_std(X)

    def fail(*arguments):
        raise DegenerateModelError("singular")

    monkeypatch.setattr(filling, "invert_blocks", fail)
    assert_allclose(imputer.conditional_std(X), usual, rtol=1e-12)


def test_two_columns_that_are_nearly_the_same():
    covariance = np.array([[1.0, 1.0, 0.5], [1.0, 1.0 + 1e-11, 0.5], [0.5, 0.5, 1.0]])
    imputer = MissingDataImputerEM.from_parameters(np.zeros(3), covariance)
    deviation = imputer.conditional_std([[nan, nan, 1.0], [nan, nan, nan]])
    assert_allclose(deviation[:, 0], [np.sqrt(0.75), 1.0], rtol=1e-4)
    drawn = draw([nan, nan, 1.0], 500, imputer)
    assert_allclose(drawn[:, 0], drawn[:, 1], atol=1e-4)


@pytest.mark.parametrize(
    ("low", "high"), [(2.5, inf), (-inf, -30.0), (-0.5, 2.0), (4.0, 4.2), (-6.0, -5.0), (-inf, inf)]
)
def test_moments_within_bounds(low, high):
    mean, variance = truncated._truncated_moments(np.array([low]), np.array([high]))
    exact = truncnorm(low, high)
    assert_allclose(mean, exact.mean(), rtol=1e-9, atol=1e-12)
    assert_allclose(variance, exact.var(), rtol=1e-6)


def one_factor(correlation, d):
    return np.full((d, d), correlation) + (1.0 - correlation) * np.eye(d)


def alternating(d, bound):
    odd = np.arange(d) % 2 == 1
    return np.where(odd, -inf, bound), np.where(odd, -bound, inf)


def log_mass_by_quadrature(correlation, low, high):
    """Given the common factor, coordinates are independent: an integral over one number."""
    loading, own = np.sqrt(correlation), np.sqrt(1.0 - correlation)
    z = np.linspace(-12.0, 12.0, 24_001)[:, None]
    # Each coordinate has one bound.
    inside = np.where(
        np.isinf(high),
        norm.logsf((low - loading * z) / own),
        norm.logcdf((high - loading * z) / own),
    )
    density = norm.logpdf(z[:, 0]) + inside.sum(axis=1)
    return density.max() + np.log(np.exp(density - density.max()).sum() * 1e-3)


HARD = [(2, 0.99, 1.0), (5, 0.99, 1.0), (10, 0.99, 0.0), (20, 0.5, 0.0)]


@pytest.mark.parametrize(("d", "correlation", "bound"), HARD)
def test_tilted_proposals_agree_on_the_mass(d, correlation, bound):
    """Each weight estimates the mass; without tilting, 3 % of the first ones count."""
    low, high = alternating(d, bound)
    cholesky = np.linalg.cholesky(np.linalg.inv(one_factor(correlation, d)))[None]
    limits = low[None], high[None]
    tilting = truncated._tilting(cholesky, *limits, d)
    rng = np.random.default_rng(0)
    _, log_weight = truncated._propose(cholesky, *limits, tilting, 4000, d, rng)
    top = log_weight.max()
    weight = np.exp(log_weight[:, 0] - top)
    assert weight.sum() ** 2 / (weight**2).sum() > 0.8 * weight.size
    exact = log_mass_by_quadrature(correlation, low, high)
    assert_allclose(top + np.log(weight.mean()), exact, atol=0.03)


@pytest.mark.parametrize(("d", "bound"), [(2, 1.0), (5, 0.5)])
def test_components_where_little_mass_is_within_bounds(d, bound):
    """Weights that make both components equally probable; an unbounded column tells them apart."""
    correlations = (0.99, 0.8)
    low, high = alternating(d, bound)
    log_mass = np.array([log_mass_by_quadrature(r, low, high) for r in correlations])
    weights = np.exp(log_mass.min() - log_mass)
    covariances = np.stack([np.eye(d + 1)] * 2)
    for covariance, correlation in zip(covariances, correlations, strict=True):
        covariance[:d, :d] = one_factor(correlation, d)
    means = np.zeros((2, d + 1))
    means[1, d] = 100.0
    bounds = ([*low, -inf], [*high, inf])
    imputer = MissingDataImputerEM.from_parameters(
        means, covariances, weights=weights / weights.sum(), bounds=bounds
    )
    drawn = draw([nan] * (d + 1), 5000, imputer)
    assert abs((drawn[:, d] < 50.0).mean() - 0.5) < 0.025


def test_strongly_correlated_columns_in_the_tail_against_quadrature():
    """Two columns with correlation .99, one above 3 and one below 2."""
    imputer = MissingDataImputerEM.from_parameters(
        np.zeros(2), one_factor(0.99, 2), bounds=([3.0, -inf], [inf, 2.0])
    )
    drawn = draw([nan, nan], 20000, imputer)
    x = 3.0 + np.linspace(0.0, 0.5, 200_001)
    edge = (2.0 - 0.99 * x) / np.sqrt(1.0 - 0.99**2)
    density = np.exp(norm.logpdf(x) + norm.logcdf(edge) - norm.logpdf(3.0) - norm.logcdf(edge[0]))
    cumulative = np.cumsum(density) / density.sum()
    uniform = np.interp(drawn[:, 0], x, cumulative)
    assert kstest(uniform, "uniform").pvalue > 1e-3
    center, deviation = 0.99 * drawn[:, 0], np.sqrt(1.0 - 0.99**2)
    given = norm.logcdf((drawn[:, 1] - center) / deviation)
    given -= norm.logcdf((2.0 - center) / deviation)
    assert kstest(np.exp(given), "uniform").pvalue > 1e-3


def test_nearly_singular_models_within_bounds_draw():
    covariance = np.array([[1.0, 1.0, 0.5], [1.0, 1.0 + 1e-11, 0.5], [0.5, 0.5, 1.0]])
    imputer = MissingDataImputerEM.from_parameters(np.zeros(3), covariance, bounds=(2.0, 2.5))
    drawn = draw(np.full(3, nan), 300, imputer)
    assert ((drawn >= 2.0) & (drawn <= 2.5)).all()
    assert_allclose(drawn[:, 0], drawn[:, 1], atol=1e-4)
