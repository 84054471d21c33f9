"""The number of factors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn import FactorAnalysisEM
from emlearn.factors import parallel_analysis, select_n_factors


def test_parallel_analysis_of_known_factors(scores, make):
    found = parallel_analysis(scores)
    assert found.n_factors == 3
    assert_allclose(found.eigenvalues, np.linalg.eigvalsh(np.corrcoef(scores.T))[::-1])
    assert_allclose(found.eigenvalues.sum(), 9.0)
    noise = np.random.default_rng(0).normal(size=(400, 8))
    assert parallel_analysis(noise).n_factors == 0
    assert parallel_analysis(make(500, 20, 4), n_draws=30).n_factors == 4


def test_parallel_analysis_of_missing_entries(make):
    X = make(500, 16, 3, missing=0.1)
    assert parallel_analysis(X, n_draws=30).n_factors == 3
    assert parallel_analysis(X, kind="factors", n_draws=30).n_factors >= 3


def test_thresholds_are_quantiles_of_eigenvalues_of_noise():
    """Marchenko and Pastur: the largest is close to (1 + sqrt(d / n))^2."""
    X = np.random.default_rng(0).normal(size=(2000, 40))
    found = parallel_analysis(X, n_draws=20)
    assert abs(found.thresholds[0] - (1 + np.sqrt(40 / 2000)) ** 2) < 0.05
    assert (np.diff(found.thresholds) < 0).all()


def test_table(scores):
    table = select_n_factors(scores, [1, 2, 3])
    assert table.best_bic == 3
    for i, k in enumerate(table.n_components):
        fit = FactorAnalysisEM(k).fit(scores)
        assert_allclose(table.log_likelihood[i], fit.log_likelihood_)
        assert_allclose(table.bic[i], fit.bic(scores))
        assert_allclose(table.pvalue[i], fit.chi_square_test(scores).pvalue)
    assert str(table).count("\n") == 3
    weighted = select_n_factors(scores, [1], sample_weight=np.full(301, 2.0))
    assert_allclose(weighted.log_likelihood, 2 * table.log_likelihood[:1])


def test_default_numbers_are_testable(scores):
    table = select_n_factors(scores)
    assert table.n_components.tolist() == [1, 2, 3, 4, 5]
    assert table.heywood.any()
    assert "Heywood" in str(table)
    small = select_n_factors(scores[:, :3])
    assert small.n_components.tolist() == [1]
    assert small.df.tolist() == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "both"}, "kind must be"),
        ({"n_draws": 0}, "n_draws must be"),
        ({"quantile": 1.0}, "quantile must be"),
    ],
)
def test_bad_input(options, message, scores):
    with pytest.raises(ValueError, match=message):
        parallel_analysis(scores, **options)
    X = scores.copy()
    X[:, 1] = 2.0
    with pytest.raises(ValueError, match="Column 1 of X is constant"):
        parallel_analysis(X)
    with pytest.raises(ValueError, match="n_components has no number"):
        select_n_factors(scores, [])
    with pytest.raises(ValueError, match=r"n_components must be a list of numbers .*, got 2\.5"):
        select_n_factors(scores, 2.5)


def test_units_and_a_single_number(scores):
    expected = parallel_analysis(scores, n_draws=10)
    found = parallel_analysis(scores * 10.0 ** np.linspace(-200, 200, 9), n_draws=10)
    assert_allclose(found.eigenvalues, expected.eigenvalues)
    assert found.n_factors == expected.n_factors
    assert select_n_factors(scores, 2).bic == select_n_factors(scores, [2]).bic
