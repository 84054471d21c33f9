"""Multiple imputation, Rubin's rules and Little's test."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.impute import (
    MissingDataImputerEM,
    little_mcar_test,
    multiple_imputation,
    pool_estimates,
)

nan = np.nan


@pytest.mark.parametrize("name", ["apple", "cholesterol"])
def test_published_values_of_littles_test(reference, name):
    published = reference(name)
    result = little_mcar_test(np.array(published["data"], dtype=float))
    assert_allclose(result.statistic, published["little_d2"], rtol=1e-6)
    assert result.df == published["little_df"]
    assert_allclose(result.pvalue, published["little_p"], rtol=1e-5)
    assert result.n_patterns == 2


def test_littles_test_holds_its_level_and_has_power():
    rng = np.random.default_rng(0)
    cov = 0.5 * np.eye(3) + 0.5
    pvalues = []
    for _ in range(100):
        X = rng.multivariate_normal(np.zeros(3), cov, size=150)
        X[rng.random(X.shape) < 0.15] = nan
        pvalues.append(little_mcar_test(X).pvalue)
    assert np.mean(np.array(pvalues) < 0.05) < 0.12
    assert 0.35 < np.mean(pvalues) < 0.65
    X = rng.multivariate_normal(np.zeros(3), cov, size=150)
    X[X[:, 0] > 0.3, 2] = nan
    assert little_mcar_test(X).pvalue < 1e-6
    complete = little_mcar_test(rng.normal(size=(20, 2)))
    assert complete.df == 0
    assert complete.pvalue == 1.0
    assert little_mcar_test([[1.0, nan], [1.0, 2.0]]).pvalue == 1.0


def test_rubins_rules_by_hand():
    estimates, variances = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.5, 0.8])
    pooled = pool_estimates(estimates, variances, df_complete=20, confidence=0.9)
    within, between = 0.6, 1.0
    total = within + 4 / 3 * between
    share = 4 / 3 * between / total
    old = 2 / share**2
    observed = 21 / 23 * 20 * (1 - share)
    df = 1 / (1 / old + 1 / observed)
    assert_allclose(pooled.estimate, [2.0])
    assert_allclose(pooled.standard_error, [total**0.5])
    assert_allclose(pooled.df, [df])
    r = 4 / 3 * between / within
    assert_allclose(pooled.fraction_missing_information, [(r + 2 / (df + 3)) / (r + 1)])
    from scipy.stats import t

    assert_allclose(pooled.interval[0], t.interval(0.9, df, 2.0, total**0.5))
    assert_allclose(pooled.pvalue, [2 * t.sf(2.0 / total**0.5, df)])
    assert_allclose(pool_estimates(estimates, variances).df, [old])


def test_pooling_without_any_spread():
    pooled = pool_estimates([[1.0, 0.0]] * 3, [[4.0, 0.0]] * 3)
    assert_array_equal(pooled.standard_error, [2.0, 0.0])
    assert_array_equal(pooled.fraction_missing_information, [0.0, 0.0])
    assert np.isfinite(pooled.interval).all()
    assert_array_equal(pooled.interval[1], [0.0, 0.0])
    with_df = pool_estimates([[1.0, 0.0]] * 3, [[4.0, 0.0]] * 3, df_complete=10)
    assert np.isfinite(with_df.interval).all()
    certain = pool_estimates([1.0, 2.0], [0.0, 0.0], df_complete=10)
    assert_array_equal(certain.fraction_missing_information, [1.0])
    assert_array_equal(certain.interval, [[-np.inf, np.inf]])
    assert_array_equal(certain.pvalue, [1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0]), "At least 2"),
        (([1.0, 2.0], [1.0]), "differ in shape"),
        (([1.0, nan], [1.0, 1.0]), "estimates contains NaN"),
        (([1.0, 2.0], [1.0, -1.0]), "negative"),
        ((np.ones((2, 2, 2)), np.ones((2, 2, 2))), "must have shape"),
        ((["a", "b"], [1.0, 1.0]), "estimates"),
        (([1j, 2.0], [1.0, 1.0]), "estimates"),
        (([1.0, 2.0], [[1.0], [1.0, 2.0]]), "variances"),
        ((np.ma.array([1.0, 2.0], mask=[0, 1]), [1.0, 1.0]), "estimates contains NaN"),
        (([1e300, -1e300], [1.0, 1.0]), "squares overflow"),
    ],
)
def test_pooling_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        pool_estimates(*arguments)
    with pytest.raises(ValueError, match="df_complete"):
        pool_estimates([1, 2], [1, 1], df_complete=0)
    with pytest.raises(ValueError, match="confidence"):
        pool_estimates([1, 2], [1, 1], confidence=95)
    with pytest.raises(ValueError, match="confidence"):
        pool_estimates([1, 2], [1, 1], confidence="95%")
    with pytest.raises(ValueError, match="df_complete"):
        pool_estimates([1, 2], [1, 1], df_complete="10")


def test_imputations_are_reproducible_and_carry_uncertainty():
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([0, 1], [[1, 0.7], [0.7, 1]], size=100)
    X[:40, 1] = nan
    runs = [
        np.array(list(multiple_imputation(MissingDataImputerEM(), X, n_imputations=8,
                                          random_state=1, n_jobs=n_jobs)))
        for n_jobs in (None, 2)
    ]  # fmt: skip
    assert_array_equal(*runs)
    tables = runs[0]
    assert tables.shape == (8, 100, 2)
    assert_array_equal(tables[:, 40:], np.broadcast_to(X[40:], (8, 60, 2)))
    spread = tables[:, :40, 1].std(axis=0, ddof=1)
    assert 0.4 < spread.mean() < 1.1


def test_imputations_keep_the_container_and_the_imputer():
    pd = pytest.importorskip("pandas")
    scaling = pd.DataFrame({"a": [1.0, 2.0, nan, 4.0, 5.0], "b": [2.0, 4.1, 6.0, nan, 9.7]})
    imputer = MissingDataImputerEM(bounds=(0, None)).set_output(transform="pandas")
    first = next(multiple_imputation(imputer, scaling, n_imputations=2, random_state=0))
    assert list(first.columns) == ["a", "b"]
    assert not first.isna().any().any()
    assert not hasattr(imputer, "means_")


def test_multiple_imputation_refuses():
    X = np.array([[1.0, nan], [2.0, nan], [3.0, 1.0]])
    with pytest.raises(TypeError, match="must be a MissingDataImputerEM"):
        next(multiple_imputation("mean", X))
    with pytest.raises(ValueError, match="n_imputations"):
        next(multiple_imputation(MissingDataImputerEM(), X, n_imputations=0))
