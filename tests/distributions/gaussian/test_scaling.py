"""Centers and scales of columns with missing entries."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.scaling import summarize_columns
from emlearn.distributions.gaussian.structures import STRUCTURES

ALL = sorted(STRUCTURES)


@pytest.mark.usefixtures("all_kernels")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [True, False])
def test_scaling(dtype, weighted):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(700, 5)) * 3.0 + 100.0).astype(dtype)
    missing = rng.random(X.shape) < 0.3
    X[missing] = np.nan
    weight = rng.integers(0, 3, size=700).astype(float) if weighted else None
    w = np.ones((700, 1)) if weight is None else weight[:, None]
    summary = summarize_columns(X, weight)
    scaling = summary.scaling
    seen = ~missing * w
    assert_allclose(summary.weight, seen.sum(axis=0))
    center = np.nansum(X * w, axis=0, dtype=np.float64) / seen.sum(axis=0)
    # The center is a number of the precision of the data.
    assert_allclose(scaling.center, center.astype(dtype), rtol=1e-12)
    deviation = np.sqrt(np.nansum((X - center) ** 2 * w, axis=0) / seen.sum(axis=0))
    assert (np.abs(np.log2(scaling.scale / deviation)) <= 0.5 + 1e-9).all()
    order, share = rng.permutation(700)[:300], rng.uniform(size=300)
    Z = scaling.standardize(X, order, share)
    expected = np.where(missing, 0.0, (X - scaling.center) / scaling.scale)[order]
    assert_allclose(Z, expected * share[:, None], rtol=1e-13, atol=1e-14)
    assert_allclose(scaling.standardize(X)[order], expected, rtol=1e-13, atol=1e-14)
    out, values = X.copy(), rng.normal(size=(300, 5))
    scaling.restore_missing(values, order, missing[order], out)
    wanted = X.copy()
    wanted[order] = np.where(missing[order], values * scaling.scale + scaling.center, X[order])
    assert_allclose(out, wanted, rtol=1e-6 if dtype == np.float32 else 1e-14)
    assert_array_equal(out[~missing], X[~missing])


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_units_of_columns(offset, scale):
    x = np.random.default_rng(0).normal(size=1000)
    X = np.column_stack((scale * (x + offset), x))
    X[:10, 0] = np.nan
    summary = summarize_columns(X)
    assert_allclose(summary.scaling.center[0], np.nanmean(x[10:] + offset) * scale, rtol=1e-14)
    assert 0.5 < summary.scaling.scale[0] / scale < 2.0
    assert np.log2(summary.scaling.scale[0]) % 1.0 == 0.0


def test_columns_that_cannot_be_learned(table):
    X = table(50, 3, 0.1)
    X[:, 1] = np.nan
    with pytest.raises(ValueError, match="Column 1 of X has no observed value"):
        Gaussian().column_spec(X)
    weight = np.ones(50)
    X[:, 1] = 1.0
    X[:2, 1], weight[:2] = np.nan, 0.0
    X[2:, 1] = np.nan
    X[0, 1] = 5.0
    with pytest.raises(ValueError, match="Column 1 of X has no observed value"):
        Gaussian().column_spec(X, weight)
    with pytest.raises(ValueError, match=r"Column 0 of X must be in other units.*beyond the range"):
        Gaussian().column_spec(np.array([[1e300, 1.0], [-1e300, 2.0], [3.0, 1.5]]))


@pytest.mark.parametrize("kind", ["numpy", "compiled"])
def test_rows_of_weight_zero_do_not_count(kind, monkeypatch, table):
    from emlearn.distributions.gaussian import scaling

    if kind == "numpy":
        monkeypatch.setattr(scaling, "compiled", None)
    X = table(40, 2, 0.1)
    wild = np.vstack([X, np.full((3, 2), 1e155)])
    weight = np.r_[np.ones(40), np.zeros(3)]
    for found, wanted in zip(
        scaling.summarize_columns(wild, weight), scaling.summarize_columns(X), strict=True
    ):
        assert_allclose(found, wanted)


def test_a_huge_constant_column_has_no_nan():
    X = np.column_stack([np.full(30, 1e300), np.arange(30.0)])
    for name in ALL:
        family = Gaussian(name)
        spec = family.column_spec(X)
        for value in (*spec.scaling, spec.variance, spec.prior.ridge):
            assert np.isfinite(value).all()
