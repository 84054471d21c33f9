"""The mean field of a Potts model, with and without the kernels, against direct formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax, xlogy

from emlearn.kernels import potts

SHAPES = {
    "volume": (3, 5, 6, 9),
    "slice": (2, 1, 7, 33),
    "line": (4, 1, 1, 20),
    "columns": (3, 6, 5, 1),
    "a voxel": (2, 1, 1, 1),
}
COUPLING = np.array([0.4, 0.9, 0.7])


@pytest.fixture(params=["base", "v3", "v4", "numpy"])
def chosen(request, modules, monkeypatch):
    """The functions with one module of kernels after another, and without any."""
    found = {module.__name__.rpartition("_")[2]: module for module in modules}
    found["numpy"] = None
    if request.param not in found:
        pytest.skip("this processor has not the instructions")
    monkeypatch.setattr(potts, "compiled", found[request.param])
    return potts


def field(shape, masked, seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape[1:]) < 0.7 if masked else None
    joint = 2.0 * rng.normal(size=shape)
    q = np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)
    return joint, np.ascontiguousarray(q * (1.0 if mask is None else mask)), mask


def around(q, at, coupling):
    """Sums over the neighbors of a voxel, one after another."""
    total = np.zeros(len(q))
    for axis in range(3):
        for step in (-1, 1):
            other = list(at)
            other[axis] += step
            if 0 <= other[axis] < q.shape[1 + axis]:
                total += coupling[axis] * q[(slice(None), *other)]
    return total


def bound(joint, q, coupling):
    edges = sum(
        c * (np.take(q, range(1, n), axis) * np.take(q, range(n - 1), axis)).sum()
        for axis, (c, n) in enumerate(zip(coupling, q.shape[1:], strict=True), 1)
    )
    return (q * joint - xlogy(q, q)).sum() + edges


each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_mask = pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])


@each_mask
@each_shape
def test_neighbor_sums_are_those_of_a_loop(shape, masked):
    _, q, _ = field(shape, masked)
    expected = np.empty_like(q)
    for at in np.ndindex(shape[1:]):
        expected[(slice(None), *at)] = around(q, at, COUPLING)
    assert_allclose(potts.neighbor_sums(q, COUPLING), expected, atol=1e-15)


@each_mask
@each_shape
def test_a_sweep_updates_one_color_and_then_the_other(chosen, shape, masked):
    joint, q, mask = field(shape, masked)
    expected = q.copy()
    for color in (0, 1):
        for at in np.ndindex(shape[1:]):
            if sum(at) % 2 == color and (mask is None or mask[at]):
                own = (slice(None), *at)
                expected[own] = softmax(joint[own] + around(expected, at, COUPLING))
    value = chosen.sweep(joint, q, mask, COUPLING)
    assert_allclose(q, expected, rtol=1e-12, atol=1e-15)
    inside = True if mask is None else mask
    assert_allclose(value, bound(np.where(inside, joint, 0.0), q, COUPLING), rtol=1e-12)


@each_shape
def test_single_precision(chosen, shape):
    joint, q, mask = field(shape, True)
    single = q.astype(np.float32)
    value = chosen.sweep(joint.astype(np.float32), single, mask, COUPLING)
    assert_allclose(value, chosen.sweep(joint, q, mask, COUPLING), rtol=1e-5)
    assert_allclose(single, q, atol=1e-6)


@each_mask
def test_no_sweep_lowers_the_bound(chosen, masked):
    joint, q, mask = field((3, 6, 7, 8), masked)
    values = [chosen.sweep(joint, q, mask, 2.0 * COUPLING) for _ in range(30)]
    assert (np.diff(values) >= -1e-10).all()


def test_excluded_classes_stay_excluded(chosen):
    joint, q, mask = field((3, 2, 3, 4), True)
    joint[1] = -np.inf
    value = chosen.sweep(joint, q, mask, COUPLING)
    assert np.isfinite(value)
    assert_array_equal(q[1], 0.0)
    assert_allclose(q.sum(axis=0), mask, atol=1e-15)


def test_the_coupling_has_three_axes(kernels):
    joint, q, mask = field((2, 1, 2, 3), False)
    with pytest.raises(ValueError, match="three couplings"):
        kernels.potts_sweep(joint, q, mask, np.ones(2))
