"""Patterns of missing entries, and means by missingness, against scipy and t.test of R."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ttest_ind

from emlearn.impute import compare_patterns, missing_patterns

nan = np.nan


def air_quality():
    known = json.loads((Path(__file__).parents[1] / "reference" / "airquality.json").read_text())
    return np.array(known["rows"], dtype=float), known["columns"]


def test_patterns_of_air_quality():
    """The table of md.pattern in mice: 111, 35, 5 and 2 rows."""
    X, _ = air_quality()
    patterns = missing_patterns(X)
    assert_array_equal(patterns.counts, [111, 35, 5, 2])
    assert_array_equal(patterns.mask[:, :2], [[0, 0], [1, 0], [0, 1], [1, 1]])
    assert not patterns.mask[:, 2:].any()
    assert_array_equal(patterns.missing_counts, [37, 7, 0, 0, 0, 0])
    assert str(patterns).splitlines()[-1].split() == [
        "missing",
        "37",
        "7",
        "0",
        "0",
        "0",
        "0",
        "44",
    ]


def test_welch_of_air_quality_as_r():
    """t.test(x[is.na(y)], x[!is.na(y)]) of R 4.2.2; t, df, p."""
    X, columns = air_quality()
    pd = pytest.importorskip("pandas")
    frame = compare_patterns(pd.DataFrame(X, columns=columns)).to_frame()
    frame = frame.set_index(["missing", "compared"])[["statistic", "df", "pvalue"]]
    known = {
        ("Ozone", "Month"): (-4.009235917, 92.07487386, 0.0001236439507),
        ("Ozone", "Solar.R"): (0.2745676315, 58.99513516, 0.7846076487),
        ("Solar.R", "Day"): (-2.194102551, 6.680270067, 0.06611655191),
        ("Solar.R", "Ozone"): (0.0526955049, 4.491743815, 0.9602364269),
    }
    for pair, values in known.items():
        assert_allclose(frame.loc[pair].to_numpy(), values, rtol=1e-8)
    assert len(frame) == 10


def test_all_pairs_as_scipy():
    rng = np.random.default_rng(0)
    X = 1e6 + rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))
    X[rng.random(X.shape) < 0.25] = nan
    result = compare_patterns(X)
    assert result.pvalue.size == 12
    for i in range(12):
        by, other = int(result.missing[i][1]), int(result.compared[i][1])
        hole, values = np.isnan(X[:, by]), X[:, other]
        groups = [part[~np.isnan(part)] for part in (values[hole], values[~hole])]
        t, p = ttest_ind(*groups, equal_var=False)
        assert_allclose([result.statistic[i], result.pvalue[i]], [t, p], rtol=1e-6)
        assert_allclose(result.mean_missing[i], groups[0].mean(), rtol=1e-13)
        gap = (groups[0].mean() - groups[1].mean()) / np.nanstd(values, ddof=1)
        assert_allclose(result.difference[i], gap, rtol=1e-6)
        assert (result.n_missing[i], result.n_observed[i]) == (groups[0].size, groups[1].size)
    # Holm by its definition: the first hypotheses rejected at each level.
    adjusted = [max((12 - j) * result.pvalue[j] for j in range(i + 1)) for i in range(12)]
    assert_allclose(result.adjusted_pvalue, np.minimum(adjusted, 1.0))
    assert (np.diff(result.pvalue) >= 0).all()


def test_weights_are_copies_and_markers_are_holes():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 3))
    X[rng.random(X.shape) < 0.3] = nan
    weight = rng.integers(0, 4, size=50)
    copied, weighted = (
        compare_patterns(np.repeat(X, weight, axis=0)),
        compare_patterns(X, sample_weight=weight),
    )
    for name, values in vars(copied).items():
        if values.dtype == object:
            assert_array_equal(getattr(weighted, name), values)
        else:
            assert_allclose(getattr(weighted, name), values, rtol=1e-9)
    marked = compare_patterns(np.where(np.isnan(X), -9, X), missing_values=-9)
    assert_array_equal(marked.pvalue, compare_patterns(X).pvalue)
    patterns = missing_patterns(X, sample_weight=weight)
    assert patterns.counts.sum() == weight.sum()
    assert_array_equal(patterns.counts, missing_patterns(np.repeat(X, weight, axis=0)).counts)


def test_what_cannot_be_compared_is_left_out():
    X = np.array([[1.0, 5, nan], [2, 5, nan], [4, 5, 1], [4.5, 5, nan], [6, 5, 3], [6, nan, 4]])
    result = compare_patterns(X)
    assert [*zip(result.missing, result.compared, strict=True)] == [("x2", "x0")]
    assert np.isfinite(result.statistic).all()
    empty = compare_patterns([[1.0, 2.0], [3.0, 4.0]])
    assert empty.pvalue.size == 0
    assert str(empty).startswith("missing  compared")
    assert compare_patterns(np.full((4, 2), nan)).pvalue.size == 0


def test_tables_are_printed_without_pandas(monkeypatch):
    X, _ = air_quality()
    found = compare_patterns(X)
    monkeypatch.setitem(sys.modules, "pandas", None)
    lines = str(found).splitlines()
    assert lines[1].split() == [
        "x0",
        "x4",
        "t",
        "37",
        "6.351",
        "116",
        "7.198",
        "-0.5979",
        "0.001236",
    ]
    with pytest.raises(ImportError):
        found.to_frame()
