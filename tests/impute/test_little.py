"""Little's test where there is too little to test, and what it refuses."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chi2

from emlearn.impute import little_mcar_test

nan = np.nan


def holes(n, d, rate, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.multivariate_normal(np.zeros(d), 0.5 * np.eye(d) + 0.5, size=n)
    X[rng.random((n, d)) < rate] = nan
    return X


def test_the_statistic_by_its_formula():
    X = holes(80, 2, 0.3)
    from emlearn.impute import MissingDataImputerEM

    model = MissingDataImputerEM(alpha=0, tol=1e-13).fit(X)
    total = 0.0
    for seen in ([True, True], [True, False], [False, True]):
        rows = X[(~np.isnan(X) == seen).all(axis=1)][:, seen]
        gap = rows.mean(axis=0) - model.mean_[seen]
        total += len(rows) * gap @ np.linalg.solve(model.covariance_[np.ix_(seen, seen)], gap)
    result = little_mcar_test(X)
    assert_allclose(result.statistic, total, rtol=1e-6)
    assert (result.df, result.n_patterns) == (2, 3)
    assert_allclose(result.pvalue, chi2.sf(total, 2), rtol=1e-5)


def test_air_quality_as_naniar():
    """naniar stops EM at a relative change of 1e-4, so its numbers have five or six digits."""
    known = json.loads((Path(__file__).parents[1] / "reference" / "airquality.json").read_text())
    result = little_mcar_test(known["rows"])
    assert_allclose(result.statistic, known["statistic"], rtol=3e-6)
    assert_allclose(result.pvalue, known["pvalue"], rtol=3e-5)
    assert (result.df, result.n_patterns) == (known["df"], known["n_patterns"])


def test_every_row_its_own_pattern_is_warned_of():
    X = holes(200, 20, 0.3)
    with pytest.warns(UserWarning, match=r"says nothing.*200 rows have \d+ patterns") as caught:
        result = little_mcar_test(X)
    assert caught[0].filename == __file__
    # What the warning says: the statistic does not depend on the data.
    assert_allclose(result.statistic, (~np.isnan(X)).sum(), rtol=1e-3)


def test_few_rows_for_a_pattern_are_warned_of_at_the_callers_line():
    with pytest.warns(UserWarning, match="few rows each") as caught:
        result = little_mcar_test(holes(100, 8, 0.3))
    assert caught[0].filename == __file__
    assert 0.0 < result.pvalue < 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        little_mcar_test(holes(300, 5, 0.2))


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_collinear_columns_are_refused_by_name(noise):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    scaling = pd.DataFrame({"a": x[:, 0], "b": x[:, 1]})
    scaling["twice"] = 2 * scaling["a"] + noise * rng.normal(size=200)
    scaling.loc[:40, "a"] = nan
    scaling.loc[30:70, "b"] = nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="columns depend on each other exactly") as error:
            little_mcar_test(scaling)
    if noise == 0.0:
        assert "'a', column 'twice'. Leave" in str(error.value)
    assert np.isfinite(little_mcar_test(scaling, alpha="auto").statistic)


def test_messages_name_only_its_own_parameters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 5))
    X[:3, 0] = nan
    with pytest.raises(ValueError, match="Little's test needs") as error:
        little_mcar_test(X)
    for name in ("max_iter", "tol", "n_components", "n_factors", "keep_empty"):
        assert name not in str(error.value)
    with pytest.raises(ValueError, match=r"'alpha' parameter of little_mcar_test"):
        little_mcar_test(X, alpha=None)
    with pytest.raises(ValueError, match=r"'alpha' parameter of little_mcar_test"):
        little_mcar_test(X, alpha="none")


def test_nothing_to_test():
    assert little_mcar_test(np.full((5, 2), nan)) == (0.0, 0, 1.0, 0)
    assert little_mcar_test([[1.0, nan], [1.0, 2.0]]) == (0.0, 0, 1.0, 0)
    assert little_mcar_test([[1.0, 3.0], [2.0, 5.0]]) == (0.0, 0, 1.0, 1)
    disjoint = np.array([[1.0, nan], [2.0, nan], [nan, 3.0], [nan, 5.0]])
    assert little_mcar_test(disjoint) == (0.0, 0, 1.0, 2)


def test_columns_without_information_and_empty_rows_change_nothing():
    X = holes(150, 3, 0.2)
    X = X[~np.isnan(X).all(axis=1)]
    more = np.column_stack((X, np.full(len(X), nan), np.full(len(X), 7.0)))
    more = np.vstack((more, np.full((2, 5), nan)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(little_mcar_test(more), little_mcar_test(X), rtol=1e-6)


def test_masked_entries_are_missing():
    X = holes(150, 3, 0.2)
    masked = np.ma.masked_invalid(X)
    masked.data[masked.mask] = -99.0
    assert little_mcar_test(masked) == little_mcar_test(X)


def test_weights_are_copies_and_markers_are_holes():
    X = holes(60, 3, 0.3)
    weight = np.random.default_rng(0).integers(0, 4, size=60)
    copied = little_mcar_test(np.repeat(X, weight, axis=0))
    weighted = little_mcar_test(X, sample_weight=weight)
    assert_allclose(weighted, copied, rtol=1e-6)
    assert weighted != little_mcar_test(X)
    marked = np.where(np.isnan(X), -9.0, X)
    assert little_mcar_test(marked, missing_values=-9.0) == little_mcar_test(X)


def test_a_row_of_weight_zero_does_not_count():
    X = holes(80, 3, 0.3)
    weight = np.ones(80)
    weight[X[:, 0] > 1.0] = 0.0
    X[weight == 0.0, 1] *= 1e6
    assert_allclose(
        little_mcar_test(X, sample_weight=weight), little_mcar_test(X[weight > 0.0]), rtol=1e-6
    )
    with pytest.raises(ValueError, match="sample_weight has shape"):
        little_mcar_test(X, sample_weight=[1.0, 2.0])
