"""M2 and C2 against mirt and against covariances of all patterns."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import ncx2, norm

from emlearn import ItemResponseEM
from emlearn.irt import model_fit


def test_lsat_like_mirt(lsat):
    estimator, X, counts = lsat
    # mirt 1.47: M2(m)
    for statistic in ("C2", "M2"):
        fit = model_fit(estimator, X, sample_weight=counts, statistic=statistic)
        assert fit.df == 5
        np.testing.assert_allclose(fit.statistic, 4.738383935, rtol=1e-8)
        np.testing.assert_allclose(fit.p_value, 0.44863493, rtol=1e-7)
        np.testing.assert_allclose(fit.srmsr, 0.0213221898, rtol=1e-7)
        np.testing.assert_allclose(fit.tli, 1.009210152, rtol=1e-8)
        assert (fit.rmsea, fit.cfi, fit.n_persons) == (0.0, 1.0, 1000.0)


def test_common_slope_like_mirt(lsat):
    _, X, counts = lsat
    estimator = ItemResponseEM("1pl", tol=1e-12).fit(X, sample_weight=counts)
    fit = model_fit(estimator, X, sample_weight=counts)
    # mirt 1.47, as printed: M2 of the 2PL with equal slopes
    assert fit.df == 9
    np.testing.assert_allclose([fit.statistic, fit.p_value], [5.291, 0.808], atol=6e-4)
    np.testing.assert_allclose([fit.srmsr, fit.tli], [0.022, 1.073], atol=6e-4)


def test_graded_items_like_mirt(science):
    estimator, X, counts = science
    # mirt 1.47: M2(m, type='C2')
    fit = model_fit(estimator, X, sample_weight=counts)
    assert fit.df == 2
    np.testing.assert_allclose(fit.statistic, 19.17692212, rtol=1e-7)
    np.testing.assert_allclose(fit.rmsea, 0.148207198, rtol=1e-7)
    np.testing.assert_allclose(fit.rmsea_interval, [0.0923319290, 0.2116269426], rtol=2e-3)
    np.testing.assert_allclose(fit.srmsr, 0.07259057432, rtol=1e-7)
    np.testing.assert_allclose([fit.cfi, fit.tli], [0.9100441349, 0.7301324047], rtol=1e-6)
    with pytest.raises(ValueError, match=r"10 moments cannot test a model of 16 parameters"):
        model_fit(estimator, X, sample_weight=counts, statistic="M2")


def probabilities_3pl(vector, theta, codes):
    n = codes.shape[1]
    a, c, g = vector[:n], vector[n : 2 * n], expit(vector[2 * n :])
    p = g[:, None] + (1 - g[:, None]) * expit(a[:, None] * theta + c[:, None])
    return np.prod(np.where(codes[:, :, None] == 1, p, 1 - p), axis=1)


def probabilities_gpcm(vector, theta, codes):
    n = codes.shape[1]
    a, c = vector[:n], vector[n:].reshape(n, 2)
    heights = np.concatenate([np.zeros((n, 1)), np.cumsum(c, axis=1)], axis=1)
    p = softmax(np.arange(3)[:, None] * a[:, None, None] * theta + heights[:, :, None], axis=1)
    return np.prod(p[np.arange(n), codes], axis=1)


def enumerated(probabilities, vector, codes, counts, statistic):
    """The quadratic form with the covariance of all patterns, and numerical derivatives."""
    theta = np.linspace(-6, 6, 121)
    density = norm.pdf(theta) / norm.pdf(theta).sum()
    n_items, top = codes.shape[1], codes.max()
    first = [codes[:, j] for j in range(n_items)]
    if statistic == "C2":
        first = [codes[:, j] == k for j in range(n_items) for k in range(1, top + 1)]
    second = [codes[:, i] * codes[:, j] for i, j in itertools.combinations(range(n_items), 2)]
    rows = np.array([*first, *second], float)

    def moments(v):
        return rows @ (probabilities(v, theta, codes) @ density)

    pi = probabilities(vector, theta, codes) @ density
    covariance = (rows * pi) @ rows.T - np.outer(rows @ pi, rows @ pi)
    steps = 1e-5 * np.eye(len(vector))
    delta = np.array([(moments(vector + s) - moments(vector - s)) / 2e-5 for s in steps]).T
    residual = rows @ (counts / counts.sum() - pi)
    inverse = np.linalg.inv(covariance)
    middle = np.linalg.inv(delta.T @ inverse @ delta)
    weight = inverse - inverse @ delta @ middle @ delta.T @ inverse
    return counts.sum() * residual @ weight @ residual


def test_three_parameters_like_all_patterns(bank):
    rng = np.random.default_rng(1)
    codes = np.array(list(itertools.product([0, 1], repeat=6)))
    a, c = rng.uniform(0.8, 2.0, 6), rng.normal(size=6)
    g = rng.uniform(0.1, 0.3, 6)
    counts = rng.integers(1, 20, len(codes)).astype(float)
    vector = np.concatenate([a, c, np.log(g / (1 - g))])
    expected = enumerated(probabilities_3pl, vector, codes, counts, "M2")
    fit = model_fit(bank("3pl", a, c, g), codes, sample_weight=counts)
    assert fit.df == 21 - 18
    np.testing.assert_allclose(fit.statistic, expected, rtol=1e-5)


@pytest.mark.parametrize("statistic", ["C2", "M2"])
def test_partial_credit_like_all_patterns(bank, statistic):
    rng = np.random.default_rng(2)
    n_items = 6 if statistic == "M2" else 4
    codes = np.array(list(itertools.product(range(3), repeat=n_items)))
    a, c = rng.uniform(0.8, 2.0, n_items), rng.normal(size=(n_items, 2))
    counts = rng.integers(1, 20, len(codes)).astype(float)
    vector = np.concatenate([a, c.ravel()])
    expected = enumerated(probabilities_gpcm, vector, codes, counts, statistic)
    fit = model_fit(bank("gpcm", a, c), codes, sample_weight=counts, statistic=statistic)
    assert fit.df == {"M2": 21 - 18, "C2": 8 + 6 - 12}[statistic]
    np.testing.assert_allclose(fit.statistic, expected, rtol=1e-5)


def test_items_of_several_widths(bank):
    rng = np.random.default_rng(3)
    fitted = bank("grm", [1.0, 1.5, 0.8, 1.2], [[1.0, -0.5]] * 4, n_categories=[2, 3, 3, 2])
    p = fitted.item_probabilities(rng.normal(size=500))
    X = np.sum(np.cumsum(p, axis=2) < rng.random((500, 4, 1)), axis=2)
    fit = model_fit(fitted, X)
    assert fit.df == 2 + 4 + 6 - 10
    assert np.isfinite([fit.statistic, fit.rmsea, fit.srmsr, fit.cfi, fit.tli]).all()


def test_limits_of_the_interval_have_the_level(science):
    estimator, X, counts = science
    fit = model_fit(estimator, X, sample_weight=counts)
    for limit, level in zip(fit.rmsea_interval, (0.95, 0.05), strict=True):
        noncentrality = limit**2 * fit.df * (counts.sum() - 1.0)
        np.testing.assert_allclose(ncx2.cdf(fit.statistic, fit.df, noncentrality), level, rtol=1e-6)


def test_a_second_trait_is_found():
    rng = np.random.default_rng(4)
    traits = rng.normal(size=(1000, 2)) @ [[1.0, 0.4], [0.0, 0.9]]
    X = (rng.logistic(size=(1000, 10)) < 1.5 * np.repeat(traits, 5, axis=1)).astype(float)
    fit = model_fit(ItemResponseEM("2pl").fit(X), X)
    assert fit.p_value < 1e-6
    assert fit.rmsea > 0.05
    assert fit.cfi < 0.9


def test_messages(lsat):
    estimator, X, counts = lsat
    missing = X.copy()
    missing[3, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 32 rows have missing answers, the first is row 3"):
        model_fit(estimator, missing, sample_weight=counts)
    with pytest.raises(ValueError, match="statistic"):
        model_fit(estimator, X, statistic="chi2")
    with pytest.raises(ValueError, match="answer of category 1 to column 0"):
        model_fit(estimator, X[:16], sample_weight=counts[:16])
    grouped = ItemResponseEM("1pl").fit(X, sample_weight=counts, groups=np.arange(32) % 2)
    with pytest.raises(ValueError, match="one population, and this one has groups"):
        model_fit(grouped, X)
