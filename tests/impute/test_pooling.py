"""Pooling with names and covariances, joint tests, fits, and the information that is missing.

The expected values are those of R 4.2.2 with mice 3.15.0 and mitml 0.4-4:

    library(mice)
    imp <- mice(nhanes, m = 5, seed = 123, print = FALSE)  # tests/reference/nhanes.json
    fit1 <- with(imp, lm(bmi ~ age + hyp + chl)); fit0 <- with(imp, lm(bmi ~ age))
    pool(fit1); summary(pool(fit1), conf.int = TRUE)
    D1(fit1, fit0)$result; D2(fit1, fit0)$result; D3(fit1, fit0)$result
    D2(fit1, fit0, use = "likelihood")$result
    f1 <- as.mitml.result(fit1); f0 <- as.mitml.result(fit0)
    mitml::testModels(f1, f0, method = "D1")$test; mitml::testModels(f1, f0, method = "D3")$test
"""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.impute import (
    fit_each,
    n_imputations_needed,
    pool_chi2,
    pool_estimates,
    pool_fits,
    pool_likelihood_ratio,
)

NAMES = ("const", "age", "hyp", "chl")
LIKELIHOOD_RATIOS = [3.71793515043, 7.45557950175, 9.63859927112, 14.94453296265, 8.56911472578]


def regress(table, columns):
    """Least squares of bmi, with what results of statsmodels have."""
    n = len(table)
    design = np.column_stack((np.ones(n), table[:, columns]))
    target = table[:, 1]
    inverse = np.linalg.inv(design.T @ design)
    slopes = inverse @ design.T @ target

    def loglike(params):
        return -n / 2 * (np.log(2 * np.pi * np.mean((target - design @ params) ** 2)) + 1)

    variance = np.sum((target - design @ slopes) ** 2) / (n - len(slopes))
    return SimpleNamespace(
        params=dict(zip(NAMES, slopes, strict=False)),
        cov_params=lambda: variance * inverse,
        df_resid=n - len(slopes),
        model=SimpleNamespace(loglike=loglike),
    )


def listed(fit):
    fit.params = list(fit.params.values())
    return fit


@pytest.fixture
def tables(reference):
    return [np.array(table) for table in reference("nhanes")["tables"]]


@pytest.fixture
def fits(tables):
    return [regress(table, [0, 2, 3]) for table in tables]


@pytest.fixture
def null_fits(tables):
    return [regress(table, [0]) for table in tables]


def test_pooled_regression_of_mice(fits):
    pooled = pool_fits(fits)
    assert pooled.names == NAMES
    assert pooled.df_complete == 21
    expected = {
        "estimate": [20.87327795211, -3.24593704308, 1.72495498622, 0.04953387608],
        "standard_error": [4.44744382330, 1.06539146440, 2.09327979393, 0.02114029498],
        "df": [10.04120069, 18.09697942, 17.10622886, 15.08040184],
        "pvalue": [0.0008407364158, 0.0069107801364, 0.4212559734581, 0.0332407382143],
        "fraction_missing_information": [0.4167070799, 0.1395183197, 0.1749633600, 0.2414088925],
        "between_variance": [5.127070541, 4.672779972e-2, 3.061083150e-1, 5.476874758e-5],
        "within_variance": [13.62727191, 1.078985613, 4.014490318, 3.811895746e-4],
    }
    for name, values in expected.items():
        assert_allclose(getattr(pooled, name), values, rtol=1e-8)
    assert_allclose(pooled.interval[3], [0.004495318827, 0.09457243333], rtol=1e-8)


def test_joint_tests_of_mice(fits):
    pooled = pool_fits(fits)
    small = pooled.wald_test(["hyp", "chl"])
    assert small.method == "D1"
    found = [small.statistic, small.df, small.df_residual, small.pvalue, small.relative_increase]
    assert_allclose(found, [3.471938548, 2, 15.54165148, 0.05669090999, 0.1509025281], rtol=1e-8)
    large = pool_fits(fits, df_complete=None).wald_test([[0, 0, 1, 0], [0, 0, 0, 1]])
    assert_allclose(large.statistic, small.statistic)
    assert_allclose([large.df_residual, large.pvalue], [146.5681688, 0.03363449169], rtol=1e-8)
    wald = []
    for fit in fits:
        values, matrix = np.array(list(fit.params.values()))[2:], fit.cov_params()[2:, 2:]
        wald.append(values @ np.linalg.solve(matrix, values))
    for values, expected in (
        (wald, [1.848116501, 12.81002566, 0.1971590672, 0.831116741]),
        (LIKELIHOOD_RATIOS, [2.244429212, 19.39883591, 0.1327964752, 0.5843739662]),
    ):
        test = pool_chi2(values, 2)
        found = [test.statistic, test.df_residual, test.pvalue, test.relative_increase]
        assert_allclose(found, expected, rtol=1e-8)


def summary_of(test):
    return [test.statistic, test.df, test.df_residual, test.pvalue, test.relative_increase]


def test_likelihood_ratios_of_mice_and_mitml(tables, fits, null_fits):
    large = [list(fit.params.values()) for fit in fits]
    small = [list(fit.params.values()) for fit in null_fits]
    padded = [[*params, 0.0, 0.0] for params in small]
    designs = [np.column_stack((np.ones(25), np.delete(table, 1, axis=1))) for table in tables]

    def residual(params, i):
        return tables[i][:, 1] - designs[i] @ params

    # mice fits the intercept again, and the variance.
    def of_mice(params, i):
        return -25 / 2 * (np.log(2 * np.pi * residual(params, i).var()) + 1)

    test = pool_likelihood_ratio(large, padded, of_mice, df=2)
    expected = [3.2509669463, 2, 52.6263618182, 0.0466404985, 0.3016129969]
    assert_allclose(summary_of(test), expected, rtol=1e-8)

    # mitml pools the variance too.
    def with_variance(estimates):
        return [[*p, np.mean(residual(p, i) ** 2)] for i, p in enumerate(estimates)]

    def of_mitml(params, i):
        square = np.sum(residual(params[:-1], i) ** 2)
        return -25 / 2 * np.log(2 * np.pi * params[-1]) - square / (2 * params[-1])

    test = pool_likelihood_ratio(with_variance(large), with_variance(padded), of_mitml, df=2)
    expected = [2.519456733, 2, 24.23300451, 0.1013712267, 0.600453651]
    assert_allclose(summary_of(test), expected, rtol=1e-8)

    # Results have their own functions; the variance is at its maximum.
    def concentrated(params, i):
        return -25 / 2 * (np.log(2 * np.pi * np.mean(residual(params, i) ** 2)) + 1)

    test = pool_likelihood_ratio(map(listed, fits), map(listed, null_fits))
    by_function = pool_likelihood_ratio(large, padded, concentrated, df=2)
    assert_allclose(summary_of(test), summary_of(by_function))


def test_a_test_of_one_parameter_is_the_square_of_its_t():
    rng = np.random.default_rng(0)
    estimates, variances = rng.normal(1.0, 0.2, size=(6, 1)), np.full((6, 1, 1), 0.1)
    pooled = pool_estimates(estimates, variances)
    test = pooled.wald_test(value=0.3)
    assert_allclose(test.statistic, ((pooled.estimate - 0.3) / pooled.standard_error) ** 2)
    same = pool_estimates([[1.0, 2.0]] * 4, [np.eye(2)] * 4).wald_test()
    assert same.df_residual == np.inf
    assert_allclose(same.statistic, 2.5)
    assert_allclose(same.pvalue, 0.0820849986)  # exp(-5 / 2)


def test_names_are_kept_and_matched():
    rows = [{"a": 1.0, "b": 4.0}, {"b": 5.0, "a": 2.0}, {"a": 1.5, "b": 4.2}]
    plain = pool_estimates([[1.0, 4.0], [2.0, 5.0], [1.5, 4.2]], [[0.1, 0.4]] * 3)
    assert plain.names is None
    columns = {"a": [1.0, 2.0, 1.5], "b": [4.0, 5.0, 4.2]}
    for estimates in (rows, columns):
        pooled = pool_estimates(estimates, {"b": [0.4] * 3, "a": [0.1] * 3})
        assert pooled.names == ("a", "b")
        assert_array_equal(pooled.standard_error, plain.standard_error)
    text = pooled.summary()
    assert repr(text) == str(pooled) == text
    assert [line.split()[0] for line in text.splitlines()[1:3]] == ["a", "b"]
    with pytest.raises(ValueError, match="named"):
        pool_estimates([*rows, {"a": 1.0, "c": 1.0}], np.ones((4, 2)))
    with pytest.raises(ValueError, match="named"):
        pool_estimates(rows, {"a": [1.0] * 3, "c": [1.0] * 3})
    with pytest.raises(ValueError, match="numbers of imputations"):
        pool_estimates({"a": [1.0, 2.0], "b": [1.0]}, np.ones((2, 2)))
    with pytest.raises(ValueError, match="Some of estimates"):
        pool_estimates([rows[0], [1.0, 2.0]], np.ones((2, 2)))


def test_names_of_pandas():
    pd = pytest.importorskip("pandas")
    matrix = pd.DataFrame([[0.4, 0.1], [0.1, 0.2]], index=["b", "a"], columns=["b", "a"])
    series = [pd.Series({"a": 1.0, "b": 4.0}), pd.Series({"b": 5.0, "a": 2.0})]
    for estimates in (series, pd.DataFrame(series)):
        pooled = pool_estimates(estimates, [matrix, matrix])
        assert_allclose(pooled.within_variance, [0.2, 0.4])
        frame = pooled.to_frame()
        assert list(frame.index) == ["a", "b"]
        assert_allclose(frame["high"], pooled.interval[:, 1])
    test = pooled.wald_test("b")
    expected = (pooled.estimate[1] / pooled.standard_error[1]) ** 2
    assert_allclose(test.statistic, expected)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (["age", "weight"], "named 'weight'"),
        ([[1.0, 0.0]], "4 columns"),
        ([[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]], "linearly independent"),
    ],
)
def test_wald_test_refuses(fits, constraints, message):
    with pytest.raises(ValueError, match=message):
        pool_fits(fits).wald_test(constraints)
    with pytest.raises(ValueError, match="covariances"):
        pool_estimates([1.0, 2.0], [1.0, 1.0]).wald_test()


def test_pooling_refuses_what_is_no_covariance():
    with pytest.raises(ValueError, match="symmetric"):
        pool_estimates([[1.0, 2.0]] * 2, [[[1.0, 0.5], [0.0, 1.0]]] * 2)
    with pytest.raises(ValueError, match="differ in shape"):
        pool_estimates([[1.0, 2.0]] * 2, [np.eye(3)] * 2)
    for values, df in (([1.0], 1), ([1.0, -1.0], 1), ([1.0, np.nan], 1), ([1.0, 2.0], 0)):
        with pytest.raises(ValueError, match=r"statistics|df"):
            pool_chi2(values, df)
    with pytest.raises(ValueError, match="log_likelihood is needed"):
        pool_likelihood_ratio([[1.0]] * 2, [[0.0]] * 2)
    with pytest.raises(ValueError, match="df must be"):
        pool_likelihood_ratio([[1.0]] * 2, [[0.0]] * 2, lambda params, i: 0.0)
    with pytest.raises(TypeError, match="fit_each"):
        pool_fits([1, 2])


def test_results_of_statsmodels(tables):
    sm = pytest.importorskip("statsmodels.api")
    pd = pytest.importorskip("pandas")
    frames = [pd.DataFrame(table, columns=["age", "bmi", "hyp", "chl"]) for table in tables]

    def fit(columns):
        return [sm.OLS(f["bmi"], sm.add_constant(f[columns])).fit() for f in frames]

    pooled = pool_fits(fit(["age", "hyp", "chl"]))
    assert pooled.names == NAMES
    assert_allclose(pooled.df, [10.04120069, 18.09697942, 17.10622886, 15.08040184], rtol=1e-8)
    assert_allclose(pooled.wald_test(["hyp", "chl"]).pvalue, 0.05669090999, rtol=1e-8)
    ratio = pool_likelihood_ratio(fit(["age", "hyp", "chl"]), fit(["age"]))
    own = pool_likelihood_ratio(
        *([listed(regress(table, columns)) for table in tables] for columns in ([0, 2, 3], [0]))
    )
    assert_allclose(ratio.pvalue, own.pvalue, rtol=1e-8)


def test_the_interval_of_the_missing_information():
    # von Hippel (2020): logit(.39) -+ 1.96 sqrt(2 / 5); M = 1 + (.69 / .05)^2 / 2 = 96.
    rng = np.random.default_rng(0)
    pooled = pool_estimates(rng.normal(size=(5, 2)), np.full((5, 2), 1.0))
    low, high = pooled.fraction_missing_information_interval.T
    fraction = pooled.fraction_missing_information
    assert ((low < fraction) & (fraction < high)).all()
    expected = np.log(fraction / (1 - fraction)) + 1.959963985 * np.sqrt(0.4)
    assert_allclose(np.log(high / (1 - high)), expected)
    largest = np.argmax(fraction)
    assert n_imputations_needed(pooled) == np.ceil(1 + (high[largest] / 0.05) ** 2 / 2)
    assert n_imputations_needed(0.39, n_imputations=5) == 96
    assert n_imputations_needed([0.1, 0.3]) == 19
    assert n_imputations_needed(0.3, cv=0.1) == 6
    assert n_imputations_needed(0.0) == 2
    for options in ({"fraction": 1.5}, {"cv": 0}, {"confidence": 95}, {"n_imputations": 1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            n_imputations_needed(**{"fraction": 0.3, **options})


def test_regressions_fitted_to_each_table(tables):
    from sklearn.linear_model import BayesianRidge, LinearRegression

    model = fit_each(LinearRegression(), tables, 1)
    assert len(model.estimators_) == 5
    X = np.delete(tables[0], 1, axis=1)
    each = [
        LinearRegression().fit(np.delete(table, 1, axis=1), table[:, 1]).predict(X)
        for table in tables
    ]
    assert_allclose(model.predict(X), np.mean(each, axis=0))
    own = model.predict([np.delete(table, 1, axis=1) for table in tables])
    assert not np.allclose(own, model.predict(X))
    mean, error = fit_each(BayesianRidge(), tables, 1, n_jobs=2).predict(X, return_std=True)
    found = [
        e.predict(X, return_std=True) for e in fit_each(BayesianRidge(), tables, 1).estimators_
    ]
    values, errors = np.array(found).swapaxes(0, 1)
    total = np.mean(errors**2, axis=0) + 1.2 * values.var(axis=0, ddof=1)
    assert_allclose(mean, values.mean(axis=0))
    assert_allclose(error, np.sqrt(total))
    with pytest.raises(ValueError, match="5 estimators"):
        model.predict([X, X])
    with pytest.raises(ValueError, match="no column"):
        fit_each(LinearRegression(), tables, "bmi")
    with pytest.raises(ValueError, match="empty"):
        fit_each(LinearRegression(), [])


def test_classifiers_fitted_to_each_table(tables):
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    tables = [table[:, [0, 1, 3, 2]] for table in tables]
    weight = np.arange(25.0)
    model = fit_each(LogisticRegression(max_iter=5000), tables, -1, sample_weight=weight)
    X = tables[2][:, :3]
    each = [e.predict_proba(X) for e in model.estimators_]
    assert_allclose(model.predict_proba(X), np.mean(each, axis=0))
    assert_array_equal(model.predict(X), model.classes_[np.mean(each, axis=0).argmax(axis=1)])
    assert 0.5 < model.score(X, tables[2][:, 3]) <= 1.0
    votes = fit_each(LinearSVC(), [t / [3, 30, 200, 1] for t in tables], -1)
    found = np.array([e.predict(X / [3, 30, 200]) for e in votes.estimators_])
    expected = np.where((found == 2).sum(axis=0) >= 3, 2, 1)
    assert_array_equal(votes.predict(X / [3, 30, 200]), expected)


def test_classes_that_a_table_lacks():
    from sklearn.dummy import DummyClassifier

    tables = [np.array([[0.0, 1], [0, 2]]), np.array([[0.0, 2], [0, 3]])]
    model = fit_each(DummyClassifier(), tables, 1)
    assert_array_equal(model.classes_, [1, 2, 3])
    assert_allclose(model.predict_proba([[0.0]]), [[0.25, 0.5, 0.25]])


def test_the_target_can_be_a_column_of_frames(tables):
    pd = pytest.importorskip("pandas")
    from sklearn.linear_model import LinearRegression

    frames = [pd.DataFrame(table, columns=["age", "bmi", "hyp", "chl"]) for table in tables]
    model = fit_each(LinearRegression(), frames, "bmi")
    assert list(model.estimators_[0].feature_names_in_) == ["age", "hyp", "chl"]
    with pytest.raises(ValueError, match="'weight' is no column"):
        fit_each(LinearRegression(), frames, "weight")
