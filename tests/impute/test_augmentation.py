"""Data augmentation against exact posterior distributions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from emlearn.impute import DataAugmentation, MissingDataImputerEM, multiple_imputation

nan = np.nan


def monotone(n=60, observed=40):
    rng = np.random.default_rng(1)
    X = rng.multivariate_normal([1, 2], [[1, 0.7], [0.7, 2]], size=n) * [1, 10]
    X[observed:, 1] = nan
    return X


def holes(n=100, d=4, rate=0.3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) + rng.normal(size=(n, 1))
    X[rng.random((n, d)) < rate] = nan
    return X


def flat_trace(chains):
    trace = chains.trace[:, chains.n_burn_ :]
    return trace.reshape(-1, trace.shape[2])


def test_posterior_of_nested_patterns():
    """Without a prior, variances are scaled inverse chi-squared, and the slope is a t.

    The prior |Sigma|^(-3/2) factors for x and for y given x: n - 2 and r - 1 degrees of freedom.
    """
    n, r = 60, 40
    X = monotone(n, r)
    chains = DataAugmentation(
        MissingDataImputerEM(alpha=0), X, random_state=0, n_burn=50, n_between=1500
    )
    chains.sample(8)
    mean_x, mean_y, s_xx, s_xy, s_yy = flat_trace(chains).T
    x, y = X[:r].T
    slope, intercept = np.polyfit(x, y, 1)
    residual = np.sum((y - intercept - slope * x) ** 2)
    scatter = np.sum((X[:, 0] - X[:, 0].mean()) ** 2)
    beta, left = s_xy / s_xx, s_yy - s_xy**2 / s_xx
    assert_allclose(s_xx.mean(), scatter / (n - 4), rtol=0.01)
    assert_allclose(left.mean(), residual / (r - 3), rtol=0.015)
    assert_allclose(left.var(), 2 * (residual / (r - 3)) ** 2 / (r - 5), rtol=0.1)
    variance = residual / (r - 3) / np.sum((x - x.mean()) ** 2)
    assert_allclose(beta.mean(), slope, atol=0.05 * np.sqrt(variance))
    assert_allclose(beta.var(), variance, rtol=0.06)
    assert_allclose(mean_x.var(), scatter / (n - 4) / n, rtol=0.06)
    expected = y.mean() + slope * (X[:, 0].mean() - x.mean())
    assert_allclose(mean_y.mean(), expected, atol=0.05 * mean_y.std())


@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_posterior_of_complete_rows(alpha):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 3)) @ rng.normal(size=(3, 3)) + 5
    chains = DataAugmentation(
        MissingDataImputerEM(alpha=alpha), X, random_state=0, n_burn=1, n_between=2500
    )
    assert chains.rate_ < 1e-6
    chains.sample(4)
    trace = flat_trace(chains)
    scatter = 12 * np.cov(X.T, ddof=0) + alpha * np.diag(X.var(axis=0))
    expected = scatter / (11 + alpha - 3 - 1)
    found = trace[:, 3:].mean(axis=0)
    deviation = np.sqrt(np.diagonal(expected))
    unit = np.outer(deviation, deviation)[np.triu_indices(3)]
    assert_allclose(found / unit, (expected / np.outer(deviation, deviation))[np.triu_indices(3)],
                    atol=0.04)  # fmt: skip
    assert_allclose(trace[:, :3].mean(axis=0), X.mean(axis=0), atol=0.02)
    assert_allclose(trace[:, :3].var(axis=0), np.diagonal(expected) / 12, rtol=0.12)


def test_the_rate_bounds_the_autocorrelation():
    chains = DataAugmentation(MissingDataImputerEM(), holes(), random_state=0, n_between=1000)
    chains.sample(8)
    found = chains.autocorrelation(3)
    assert_array_equal(found[:, 0], 1.0)
    assert found[:, 1].max() < chains.rate_ + 0.03
    assert found[:, 1].max() > 0.4 * chains.rate_
    assert found.shape == (14, 4)
    # The part of the rows whose second column is missing, where nothing else is.
    chains = DataAugmentation(MissingDataImputerEM(alpha=0), monotone(60, 40))
    assert 0.25 < chains.rate_ < 0.4


def test_imputations_do_not_depend_on_who_makes_them():
    X = holes()
    imputer = MissingDataImputerEM(random_state=3)
    chains = DataAugmentation(imputer, X)
    tables = np.array(chains.sample(6))
    assert chains.trace.shape == (4, chains.n_burn_ + chains.n_between_, 14)
    again = DataAugmentation(imputer, X, n_jobs=2)
    parts = [*again.sample(3), *again.sample(3)]
    assert_array_equal(parts, tables)
    assert_array_equal(again.trace, chains.trace)
    for n_jobs in (None, 2):
        found = multiple_imputation(imputer, X, n_imputations=6, method="da", n_jobs=n_jobs)
        assert_array_equal(list(found), tables)
    observed = ~np.isnan(X)
    assert_array_equal(tables[:, observed], np.broadcast_to(X[observed], (6, observed.sum())))
    assert (tables[0] != tables[1]).any()
    assert not hasattr(imputer, "means_")


def test_integer_weights_are_copies():
    X = holes(30)
    copies = np.arange(30) % 3
    options = {"random_state": 0, "n_burn": 5, "n_between": 5}
    weighted = DataAugmentation(MissingDataImputerEM(alpha=2), X, sample_weight=copies, **options)
    repeated = DataAugmentation(MissingDataImputerEM(alpha=2), np.repeat(X, copies, 0), **options)
    weighted.sample(4)
    repeated.sample(4)
    assert_allclose(weighted.trace, repeated.trace, rtol=1e-6, atol=1e-8)
    with pytest.raises(ValueError, match="integers only"):
        DataAugmentation(MissingDataImputerEM(), X, sample_weight=np.full(30, 0.5))


def test_names_constant_columns_and_relations():
    pd = pytest.importorskip("pandas")
    X = holes(d=2)
    total = X.sum(axis=1)
    X[::9, 0] = nan
    frame = pd.DataFrame({"a": X[:, 0], "one": 1.0, "b": X[:, 1], "total": total})
    chains = DataAugmentation(MissingDataImputerEM(), frame, random_state=0)
    # Rounding across the relation is no slow direction.
    assert chains.rate_ < 0.8
    assert chains.names_[:4] == ["mean[a]", "mean[b]", "mean[total]", "cov[a, a]"]
    for table in chains.sample(4):
        assert (table[:, 1] == 1.0).all()
        # Where one of three is missing it is determined; draws of several obey up to rounding.
        one = np.isnan(frame.to_numpy()).sum(axis=1) == 1
        assert_allclose(table[one, 0] + table[one, 2], table[one, 3], atol=1e-12)
        assert_allclose(table[:, 0] + table[:, 2], table[:, 3], atol=2e-3)


@pytest.mark.parametrize(
    ("imputer", "options", "message"),
    [
        (MissingDataImputerEM(2), {}, "one Gaussian"),
        (MissingDataImputerEM(n_factors=1), {}, "one Gaussian"),
        (MissingDataImputerEM(), {"n_chains": 0}, "n_chains"),
        (MissingDataImputerEM(), {"n_burn": 0}, "n_burn"),
        (MissingDataImputerEM(), {"n_between": 1.5}, "n_between"),
    ],
)
def test_refuses(imputer, options, message):
    with pytest.raises(ValueError, match=message):
        DataAugmentation(imputer, holes(), **options)
    if "n_chains" not in options:
        with pytest.raises(ValueError, match=message):
            multiple_imputation(imputer, holes(), method="da", **options)


def test_other_refusals():
    chains = DataAugmentation(MissingDataImputerEM(), holes(), random_state=0)
    assert chains.trace.shape == (4, 0, 14)
    with pytest.raises(ValueError, match="sample more"):
        chains.autocorrelation()
    with pytest.raises(ValueError, match="n_imputations"):
        chains.sample(0)
    with pytest.raises(TypeError, match="MissingDataImputerEM"):
        DataAugmentation("mean", holes())
    with pytest.raises(ValueError, match="rows are too few"):
        DataAugmentation(
            MissingDataImputerEM(alpha=0.1), np.random.default_rng(0).normal(size=(4, 5))
        )


@pytest.mark.filterwarnings("ignore:Columns that are never observed together")
def test_slow_chains_are_warned_of():
    X = holes(200, 2, 0.0)
    X[:100, 0], X[100:, 1] = nan, nan
    with pytest.warns(ConvergenceWarning, match="mix so slowly"):
        chains = DataAugmentation(MissingDataImputerEM(alpha=0.1), X)
    assert chains.n_between_ == chains.n_burn_ == 1000
