"""Centre and scale of columns, and blocks of rows."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.distributions.gaussian.blocks import RowBlock
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.engine.workspace import Workspace


def column_scaling(X, weight, *, by_column):
    summary = summarize_columns(X, weight, by_column=by_column)
    return summary.scaling, summary.variance


def rows(n=300, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("offset", [0.0, 1e8, -1e12])
@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e-7, 1e7, 1e150])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_scaled_columns(offset, scale, weighted):
    X = (rows() + offset) * scale
    weight = np.random.default_rng(1).random(len(X)) if weighted else None
    scaling, variance = column_scaling(X, weight, by_column=True)
    assert_array_equal(np.log2(scaling.scale) % 1.0, 0.0)
    z = scaling.to_scaled(X)
    assert_allclose(np.average(z, axis=0, weights=weight), 0.0, atol=0.3)
    assert (variance > 0.4).all()
    assert (variance < 2.1).all()
    centered = z - np.average(z, axis=0, weights=weight)
    assert_allclose(variance, np.average(centered**2, axis=0, weights=weight), rtol=1e-7)
    assert_allclose(scaling.to_units(z), X, rtol=1e-15, atol=1e-15 * np.abs(X).max())


@pytest.mark.parametrize("value", [0.0, 0.1, 7.0, 1e300, -1e12, 1e-300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_columns(value, dtype):
    with np.errstate(over="ignore", under="ignore"):
        value = dtype(value)
    if not np.isfinite(value):
        pytest.skip("not a number of this precision")
    X = rows().astype(dtype)
    X[:, 1] = value
    scaling, variance = column_scaling(X, None, by_column=True)
    assert variance[1] == 0.0
    assert scaling.scale[1] == 1.0
    assert scaling.center[1] == value
    assert variance[0] > 0.4


def test_common_scale():
    X = rows() * [1.0, 100.0, 1e-3]
    scaling, variance = column_scaling(X, None, by_column=False)
    assert len(set(scaling.scale)) == 1
    assert variance.max() < 2.1
    assert_allclose(variance * scaling.scale**2, X.var(axis=0), rtol=1e-9)


def test_weights_are_copies():
    X, counts = rows(40), np.random.default_rng(0).integers(0, 4, size=40)
    a = column_scaling(X, counts.astype(float), by_column=True)
    b = column_scaling(np.repeat(X, counts, axis=0), None, by_column=True)
    assert_allclose(a[1], b[1])
    assert_allclose(a[0].center, b[0].center, atol=1e-12)
    assert_array_equal(a[0].scale, b[0].scale)


def test_many_rows_are_taken_in_chunks():
    X = rows(200_001, 2) + 1e6
    scaling, variance = column_scaling(X.astype(np.float32), None, by_column=True)
    exact = X.astype(np.float32).astype(np.float64)
    assert_allclose(scaling.center, exact.mean(axis=0), rtol=1e-7)
    assert_allclose(variance * scaling.scale**2, exact.var(axis=0), rtol=1e-6)


def test_log_jacobian():
    scaling = ColumnScaling(np.zeros(2), np.array([2.0, 8.0]))
    assert scaling.log_jacobian == pytest.approx(-np.log(16.0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_block_is_features_major_and_scaled(dtype, order):
    X = np.asarray(rows(20) * 10.0 + 5.0, dtype=dtype, order=order)
    X.flags.writeable = False
    scaling, _ = column_scaling(X, None, by_column=True)
    block = RowBlock(X, scaling, np.full(20, 0.5), Workspace())
    assert block.n_rows == 20
    assert block.total_weight == pytest.approx(10.0)
    assert block.dtype == dtype
    x = block.scaled()
    assert x.shape == (3, 20)
    assert x.dtype == dtype
    assert_allclose(x.T, scaling.to_scaled(X), rtol=1e-5, atol=1e-5)


def test_workspace_uses_memory_again_and_travels_empty():
    workspace = Workspace()
    first = workspace.array("a", (3, 4), np.float64)
    assert np.shares_memory(first, workspace.array("a", (2, 3), np.float64))
    assert not np.shares_memory(first, workspace.array("b", (3, 4), np.float64))
    assert workspace.array("a", (50, 4), np.float32).dtype == np.float32
    workspace.array("a", (1000, 1000), np.float64)
    assert len(pickle.dumps(workspace)) < 200
