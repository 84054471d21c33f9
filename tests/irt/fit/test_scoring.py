"""Scores against mirt, direct maximization, and numerical integrals."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from emlearn import ItemResponseEM
from emlearn.irt import person_scores
from emlearn.irt._fitted import read_fitted


def curves_of(fitted):
    return read_fitted(fitted, "test").curves


NAN = np.nan
LSAT_ROWS = [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 1, NAN, NAN, 1]]
SCIENCE_ROWS = [[0, 0, 0, 0], [3, 3, 3, 3], [0, 1, 2, 3], [2, NAN, NAN, 1]]


# mirt 1.47: fscores(m, method=..., response.pattern=..., quadpts=201); limits of its grid +-6.
@pytest.mark.parametrize(
    ("method", "score", "error"),
    [
        (
            "eap",
            [-1.8967699393, 0.6456208800, -0.3483455853, -0.3935820396],
            [0.8012765456, 0.8590066357, 0.8222962090, 0.9063225515],
        ),
        (
            "map",
            [-1.8952596385, 0.6063335928, -0.3723944049, -0.4213743595],
            [0.7955245844, 0.8546140479, 0.8147667177, 0.9051107845],
        ),
        ("ml", [None, None, -1.064657014, -1.907514171], [None, None, 1.333030953, 1.716382457]),
        # Its standard errors of WLE have another definition.
        ("wle", [-5.703901518, 1.649730522, -1.137407990, -2.110678305], [None] * 4),
    ],
)
def test_lsat_like_mirt(lsat, method, score, error):
    found = person_scores(lsat[0], LSAT_ROWS, method=method)
    for values, expected in ((found.score, score), (found.standard_error, error)):
        known = [value is not None for value in expected]
        wanted = [value for value in expected if value is not None]
        np.testing.assert_allclose(values[known], wanted, atol=2e-5)
    assert found.n_answered.tolist() == [5, 5, 5, 3]


@pytest.mark.parametrize(
    ("method", "score"),
    [
        ("eap", [-2.7487963447, 1.8532101738, -0.3494397362, -0.5521838895]),
        ("map", [-2.7019936950, 1.7803812830, -0.3700192357, -0.5748748520]),
        ("ml", [-6.0, 6.0, -0.574427252, -1.487056833]),
        ("wle", [-5.7028760431, 3.3099523897, -0.6682193457, -1.5662840614]),
    ],
)
def test_graded_items_like_mirt(science, method, score):
    found = person_scores(science[0], SCIENCE_ROWS, method=method)
    np.testing.assert_allclose(found.score, score, atol=1e-5)
    assert found.at_limit.tolist() == [method == "ml"] * 2 + [False] * 2


def random_bank(bank, kind, rng, n_items=12):
    slopes = rng.uniform(0.6, 2.2, n_items)
    if kind in ("2pl", "3pl"):
        guessing = rng.uniform(0.05, 0.3, n_items) if kind == "3pl" else None
        return bank(kind, slopes, rng.normal(size=n_items), guessing)
    n_categories = rng.integers(2, 5, n_items)
    intercepts = np.sort(1.5 * rng.normal(size=(n_items, 3)), axis=1)[:, ::-1]
    return bank(kind, slopes, intercepts, n_categories=n_categories)


def random_answers(fitted, rng, n_persons=15):
    p = curves_of(fitted).probabilities(rng.normal(size=n_persons))
    u = rng.random((p.shape[0], 1, p.shape[2]))
    codes = np.sum(np.cumsum(p, axis=1) < u, axis=1).T.astype(float)
    codes[rng.random(codes.shape) < 0.2] = NAN
    return codes


def log_likelihood(fitted, row, theta):
    table = curves_of(fitted).table(np.array([theta]))[:, :, 0]
    return sum(table[j, int(x)] for j, x in enumerate(row) if not np.isnan(x))


KINDS = ["2pl", "3pl", "grm", "gpcm"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["ml", "map"])
def test_modes_maximize_the_objective(bank, kind, method):
    rng = np.random.default_rng(3)
    fitted = random_bank(bank, kind, rng)
    X = random_answers(fitted, rng)
    found = person_scores(fitted, X, method=method, limits=(-5.0, 5.0))

    def loss(theta, row):
        prior = 0.5 * theta**2 if method == "map" else 0.0
        return prior - log_likelihood(fitted, row, theta)

    grid = np.linspace(-5.0, 5.0, 51)
    for row, score, at_limit in zip(X, found.score, found.at_limit, strict=True):
        values = [loss(theta, row) for theta in grid]
        best = grid[int(np.argmin(values))]
        if at_limit:
            assert abs(score) == 5.0
            assert loss(score, row) <= min(values) + 1e-9
        else:
            bounds = (max(best - 0.2, -5.0), min(best + 0.2, 5.0))
            direct = minimize_scalar(
                loss, bounds=bounds, args=(row,), method="bounded", options={"xatol": 1e-10}
            )
            np.testing.assert_allclose(score, direct.x, atol=2e-5)


def warm_objective(fitted, row, step=1e-4):
    """Slope of the weighted likelihood, by differences of probabilities only."""
    present = np.flatnonzero(~np.isnan(row))

    def slope(theta):
        before, at, after = (
            curves_of(fitted).probabilities(np.array([theta + d]))[present, :, 0]
            for d in (-step, 0.0, step)
        )
        first = (after - before) / (2.0 * step)
        second = (after - 2.0 * at + before) / step**2
        there = at > 1e-12
        information = np.sum(first[there] ** 2 / at[there])
        bias = np.sum(first[there] * second[there] / at[there])
        codes = row[present].astype(int)
        score = np.sum(first[np.arange(len(codes)), codes] / at[np.arange(len(codes)), codes])
        return score + bias / (2.0 * information)

    return slope


@pytest.mark.parametrize("kind", KINDS)
def test_weighted_likelihood_estimates_solve_the_equation_of_warm(bank, kind):
    rng = np.random.default_rng(5)
    fitted = random_bank(bank, kind, rng)
    X = random_answers(fitted, rng, 15)
    found = person_scores(fitted, X, method="wle")
    for row, score in zip(X[~found.at_limit], found.score[~found.at_limit], strict=True):
        slope = warm_objective(fitted, row)
        root = brentq(slope, score - 0.02, score + 0.02, xtol=1e-10)
        np.testing.assert_allclose(score, root, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_posterior_means_are_integrals(bank, kind):
    rng = np.random.default_rng(6)
    fitted = random_bank(bank, kind, rng)
    X = random_answers(fitted, rng, 3)
    found = person_scores(fitted, X)
    for row, score, error in zip(X, found.score, found.standard_error, strict=True):

        def density(theta, power, row=row):
            return theta**power * norm.pdf(theta) * np.exp(log_likelihood(fitted, row, theta))

        total, first, second = (
            quad(density, -8, 8, args=(k,), points=[score])[0] for k in range(3)
        )
        np.testing.assert_allclose(score, first / total, atol=1e-7)
        np.testing.assert_allclose(error, np.sqrt(second / total - (first / total) ** 2), atol=1e-7)


def test_narrow_posteriors_of_long_tests_are_integrated(bank):
    rng = np.random.default_rng(8)
    slopes = np.full(400, 4.0)
    fitted = bank("2pl", slopes, slopes * rng.normal(size=400))
    X = random_answers(fitted, rng, 20)
    mean, mode = person_scores(fitted, X), person_scores(fitted, X, method="map")
    assert np.max(mean.standard_error) < 0.2
    np.testing.assert_allclose(mean.score, mode.score, atol=0.02)


def test_no_answers_give_the_prior(lsat):
    X = [[NAN] * 5, [1, 1, 0, 0, 1]]
    for method in ("eap", "map"):
        found = person_scores(lsat[0], X, method=method)
        np.testing.assert_allclose(found.score[0], 0.0, atol=1e-9)
        np.testing.assert_allclose(found.standard_error[0], 1.0, atol=1e-6)
    for method in ("ml", "wle"):
        with pytest.raises(ValueError, match=r"at least one answer of each person; rows 0 have"):
            person_scores(lsat[0], X, method=method)


def test_groups_and_covariates_are_priors():
    rng = np.random.default_rng(11)
    z = rng.normal(size=(400, 1))
    trait = z + rng.normal(size=(400, 1))
    X = (rng.logistic(size=(400, 6)) < 1.2 * trait).astype(float)
    fitted = ItemResponseEM("2pl", random_state=0).fit(X, covariates=z)
    empty = np.full((2, 6), NAN)
    expected = fitted.transform(empty, covariates=[[1.0], [-2.0]])[:, 0]
    for method in ("eap", "map"):
        found = person_scores(fitted, empty, covariates=[[1.0], [-2.0]], method=method)
        np.testing.assert_allclose(found.score, expected, atol=1e-6)
    np.testing.assert_allclose(expected[0] - expected[1], 3.0 * fitted.coefficients_[0, 0])
    with pytest.raises(ValueError, match="fitted with covariates"):
        person_scores(fitted, X)
    assert np.isfinite(person_scores(fitted, X, method="wle").score).all()
    group = (z[:, 0] > 0).astype(int)
    grouped = ItemResponseEM("2pl", random_state=0).fit(X, groups=group)
    found = person_scores(grouped, X, groups=group)
    trait, deviation = grouped.transform(X, groups=group, return_std=True)
    np.testing.assert_allclose(found.score, trait[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.standard_error, deviation[:, 0], atol=1e-5)


def test_each_person_is_scored_alone(bank):
    rng = np.random.default_rng(9)
    fitted = random_bank(bank, "3pl", rng)
    X = random_answers(fitted, rng, 30)
    order = rng.permutation(30)
    for method in ("eap", "map", "ml", "wle"):
        whole = person_scores(fitted, X, method=method).score
        part = person_scores(fitted, X[order[:7]], method=method).score
        np.testing.assert_allclose(part, whole[order[:7]], atol=1e-8)


def test_the_higher_of_two_maxima_is_found(bank):
    # With guessing, solving only the hardest item can be luck or knowledge.
    fitted = bank("3pl", [3.0, 3.0, 3.0], [6.0, 0.0, -6.0], [0.3, 0.3, 0.3])
    row = np.array([[0.0, 1.0, 1.0]])
    found = person_scores(fitted, row, method="ml", limits=(-4, 4))
    grid = np.linspace(-4, 4, 2001)
    values = [log_likelihood(fitted, row[0], theta) for theta in grid]
    np.testing.assert_allclose(found.score[0], grid[int(np.argmax(values))], atol=5e-3)


@pytest.mark.parametrize("limits", [(1.0,), (2.0, 1.0), (0.0, np.inf), "wide"])
def test_limits_are_checked(lsat, limits):
    with pytest.raises(ValueError, match="limits must be"):
        person_scores(lsat[0], LSAT_ROWS, method="ml", limits=limits)


def test_scores_at_flat_curves_have_an_error(bank):
    fitted = bank("3pl", [5.0, 6.0], [0.0, -2.0], [0.25, 0.2])
    found = person_scores(fitted, [[0, 0], [1, 1]], method="ml")
    assert found.at_limit.all()
    np.testing.assert_array_equal(found.standard_error, 12.0)


def test_items_without_information_are_named(bank):
    fitted = bank("2pl", [0.0, 1.0], [0.3, -0.2])
    with pytest.raises(ValueError, match="rows 1 answered say nothing"):
        person_scores(fitted, [[1, 0], [1, NAN]], method="wle")
