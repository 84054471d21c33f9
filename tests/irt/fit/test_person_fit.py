import numpy as np
import pytest

from emlearn.irt import person_fit
from emlearn.irt._fitted import read_fitted


def curves_of(fitted):
    return read_fitted(fitted, "test").curves


def test_lsat_like_mirt(lsat):
    # mirt 1.47: personfit(m, method='WLE'); its Zh is l_z.
    fit = person_fit(lsat[0], [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    np.testing.assert_allclose(fit.lz, [0.6352419579, 0.4414391933], atol=2e-5)
    np.testing.assert_allclose(fit.outfit, [0.09019506924, 0.55275078723], rtol=2e-5)
    np.testing.assert_allclose(fit.infit, [0.1316416503, 0.7752195568], rtol=2e-5)


def test_graded_items_like_mirt(science):
    fit = person_fit(science[0], [[3, 3, 2, 1], [2, 2, 2, 2], [2, 3, 3, 0]])
    np.testing.assert_allclose(fit.lz, [-1.406704184, 1.231561451, -2.942201112], atol=1e-5)
    outfit = [1.82959070889, 0.05125149381, 3.65671688762]
    np.testing.assert_allclose(fit.outfit, outfit, rtol=1e-5)
    infit = [1.97973352211, 0.04973377926, 4.48660562042]
    np.testing.assert_allclose(fit.infit, infit, rtol=1e-5)


def simulate(fitted, theta, rng):
    p = curves_of(fitted).probabilities(theta)
    u = rng.random((p.shape[0], 1, p.shape[2]))
    return np.sum(np.cumsum(p, axis=1) < u, axis=1).T.astype(float)


def binary_formulas(slopes, intercepts, row, theta, offset):
    """l_z* as in Snijders (2001), in his notation for two categories."""
    p = 1 / (1 + np.exp(-(slopes * theta + intercepts)))
    w, pq = np.log(p / (1 - p)), p * (1 - p)
    c = np.sum(slopes * pq * w) / np.sum(slopes * pq * slopes)
    tilde = w - c * slopes
    return (np.sum((row - p) * w) + c * offset(theta, slopes, p)) / np.sqrt(np.sum(tilde**2 * pq))


@pytest.mark.parametrize(
    ("method", "offset"),
    [
        ("ml", lambda theta, a, p: 0.0),
        ("map", lambda theta, a, p: -theta),
        (
            "wle",
            lambda theta, a, p: (
                np.sum(a**3 * p * (1 - p) * (1 - 2 * p)) / (2 * np.sum(a**2 * p * (1 - p)))
            ),
        ),
    ],
)
def test_corrected_statistic_as_in_snijders(bank, method, offset):
    rng = np.random.default_rng(0)
    slopes, intercepts = rng.uniform(0.7, 2.0, 15), rng.normal(size=15)
    fitted = bank("2pl", slopes, intercepts)
    X = simulate(fitted, rng.normal(size=20) * 0.5, rng)
    fit = person_fit(fitted, X, method=method)
    for row, score, value in zip(X, fit.score, fit.lz_star, strict=True):
        if abs(score) < 6.0:
            expected = binary_formulas(slopes, intercepts, row, score, offset)
            np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["2pl", "gpcm"])
def test_correction_restores_the_variance(bank, kind):
    rng = np.random.default_rng(1)
    n_items = 40
    slopes = rng.uniform(0.8, 2.0, n_items)
    intercepts = rng.normal(size=(n_items, 1 if kind == "2pl" else 2))
    fitted = bank(kind, slopes, intercepts)
    X = simulate(fitted, np.full(4000, 0.5), rng)
    fit = person_fit(fitted, X)
    assert abs(np.std(fit.lz_star) - 1.0) < 0.04
    assert abs(np.mean(fit.lz_star)) < 0.12
    assert np.std(fit.lz) < np.std(fit.lz_star)


def test_single_answers_have_no_fit(lsat):
    fit = person_fit(lsat[0], [[1, np.nan, np.nan, np.nan, np.nan]])
    for values in (fit.lz, fit.lz_star, fit.outfit, fit.infit):
        assert np.isfinite(values).all()
    assert fit.lz_star[0] == 0.0


def test_nothing_answered_is_an_error(lsat):
    with pytest.raises(ValueError, match="rows 0 have none"):
        person_fit(lsat[0], [[np.nan] * 5])
