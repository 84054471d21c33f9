"""Factor analyses of rows that are read block by block, against the same fits in memory."""

import numpy as np
import pytest

from emlearn import FactorAnalysisEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.distributions.gaussian.incomplete import table as module
from emlearn.engine import blockwise


def simulate(n, d, holes):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + rng.normal(size=(n, d)) + 50.0
    X[rng.random(X.shape) < holes] = np.nan
    return X


def blocks(X):
    return ArrayBlocks(X, block_rows=100)


@pytest.mark.parametrize("holes", [0.0, 0.1])
@pytest.mark.parametrize(("n", "d"), [(600, 8), (400, 140)])
@pytest.mark.parametrize("noise", ["diag", "isotropic"])
def test_fits(n, d, holes, noise):
    X = simulate(n, d, holes)
    weight = np.random.default_rng(0).integers(0, 3, n).astype(float)
    array = FactorAnalysisEM(2, noise=noise).fit(X, sample_weight=weight)
    found = FactorAnalysisEM(2, noise=noise).fit(blocks(X), sample_weight=weight)
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(found.components_, array.components_, atol=1e-5)
    np.testing.assert_allclose(found.transform(blocks(X)), array.transform(X), atol=1e-5)
    expected = array.score(X, sample_weight=weight)
    assert found.score(blocks(X), sample_weight=weight) == pytest.approx(expected)
    assert found.bic(blocks(X)) == pytest.approx(array.bic(X))


def test_patterns_that_are_not_compressed(monkeypatch):
    X = simulate(500, 6, 0.1)
    array = FactorAnalysisEM(2).fit(X)
    monkeypatch.setattr(module, "_KEPT_NUMBERS", 0)
    monkeypatch.setattr(blockwise, "_KEPT_BYTES", 0)
    found = FactorAnalysisEM(2).fit(blocks(X))
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-9)


def test_scores_with_deviations():
    X = simulate(300, 8, 0.1)
    fitted = FactorAnalysisEM(2).fit(X)
    for found, array in zip(
        fitted.transform(blocks(X), return_std=True),
        fitted.transform(X, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(found, array)


def test_invalid_tables():
    X = simulate(300, 4, 0.0)
    X[:, 2] = 1.0
    with pytest.raises(ValueError, match="Column 2 of X is constant"):
        FactorAnalysisEM(1).fit(blocks(X))
    X[2:] = np.nan
    with pytest.raises(ValueError, match="need more rows"):
        FactorAnalysisEM(3).fit(blocks(X))
