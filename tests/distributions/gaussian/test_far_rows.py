"""Rows far away from all components."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.kernels.softmax import to_responsibilities

ALL = sorted(STRUCTURES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_rows_far_away(kernels, name, dtype, table, problem):
    """Finite, ever lower, and in the end told apart by direction, with holes or without."""
    X = (table(100, 3, 0.0) - 1e4) / np.logspace(0, 2, 3)
    X[50] = 0.0
    family, spec, _, params = problem(name, X)
    precomputed = family.precompute(params, spec)
    reach = np.logspace(2, np.log10(np.finfo(dtype).max) - 0.1, 60)
    for direction in ([1.0, 1.0, -1.0], [0.3, np.nan, 1.0], [np.nan, np.nan, -1.0]):
        far = (reach[:, None] * direction).astype(dtype)
        out = np.zeros((3, 60))
        family.log_density(family.encode(far, spec), precomputed, out)
        assert np.isfinite(out).all()
        assert (np.diff(out.max(axis=0)) <= 0.0).all()
        assert len(set(out.argmax(axis=0)[30:])) == 1
        joint = out.copy()
        to_responsibilities(joint, None)
        assert_allclose(joint.sum(axis=0), 1.0)


def test_a_row_is_scored_alike_near_and_just_beyond_the_end_of_precision(table, problem):
    family, spec, _, params = problem("full", table(100, 3, 0.0) / np.logspace(0, 2, 3))
    precomputed = family.precompute(params, spec)
    scale = spec.scaling.scale
    edge = np.outer([0.999e7, 1.001e7], scale * [1.0, -0.5, 0.25]) + spec.scaling.center
    out = np.zeros((3, 2))
    family.log_density(family.encode(edge, spec), precomputed, out)
    assert_allclose(out[:, 0] / out[0, 0], out[:, 1] / out[0, 1], rtol=1e-5)
    assert_allclose(out[:, 1] / out[:, 0], (1.001 / 0.999) ** 2, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_distances_of_single_precision_are_taken_in_double(name, table, problem):
    """Squares of 1e4 have lost the differences between components in single precision."""
    X = (table(100, 3, 0.0) - 1e4) / np.logspace(0, 2, 3)
    X[50] = 0.0
    family, spec, _, params = problem(name, X.astype(np.float32))
    precomputed = family.precompute(params, spec)
    far = (1e4 * np.random.default_rng(0).normal(size=(50, 3))).astype(np.float32)
    single, double = np.zeros((3, 50)), np.zeros((3, 50))
    family.log_density(family.encode(far, spec), precomputed, single)
    family.log_density(family.encode(far.astype(np.float64), spec), precomputed, double)
    assert_allclose(single, double, rtol=1e-13)
