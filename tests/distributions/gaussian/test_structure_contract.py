"""Structures keep their contract, and the kit finds those that do not."""

import numpy as np
import pytest

from emlearn.distributions.gaussian.structures import (
    STRUCTURES,
    DiagonalCovariance,
    FullCovariance,
    RotatedCovariance,
    SphericalCovariance,
    TiedCovariance,
)
from emlearn.testing import check_covariance_structure


@pytest.mark.parametrize(("n_components", "n_features"), [(3, 4), (1, 3), (2, 1), (4, 2)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_keep_their_contract(name, n_components, n_features):
    check_covariance_structure(
        STRUCTURES[name], n_components=n_components, n_features=n_features, random_state=1
    )


def change(base, **methods):
    """A structure of which some methods are others."""
    return type("Broken", (base,), methods)()


def twice(base, method):
    """A structure of which one method returns twice what it should."""
    original = getattr(base, method)
    return change(base, **{method: lambda self, *args: 2.0 * original(self, *args)})


def in_place(base, method, position=0):
    """A structure of which one method writes to an argument."""
    original = getattr(base, method)

    def changed(self, *args):
        result = original(self, *args)
        args[position][...] += 1.0
        return result

    return change(base, **{method: changed})


def forgets_the_scatter(self, z, root, k, out):
    out[k] = (z * root) @ (z * root).T
    return z @ np.square(root)


def off_by_the_mean(self, weight, shift, second, ridge):
    return FullCovariance.estimate(self, weight, 0.0 * shift, second, ridge)


def without_ridge(self, weight, shift, second, ridge):
    return FullCovariance.estimate(self, weight, shift, second, 0.0 * ridge)


def shrunk(self, weight, shift, second, ridge):
    return FullCovariance.estimate(self, weight + 0.01, shift, second, ridge)


def first_orientation(self, weight, shift, second, ridge):
    values = np.linalg.eigvalsh(RotatedCovariance.estimate(self, weight, shift, second, ridge))
    return values[:, :, None] * np.eye(shift.shape[1])


def unchecked(self, vector, like):
    return vector.reshape(like.shape)


def raw_value_error(self, vector, like):
    if not (vector > 0.0).all():
        raise ValueError("negative")
    return vector.reshape(like.shape)


def own_volume(self, covariances, k, weights):
    return FullCovariance.with_average(self, covariances, k, weights)


def random_factor(self, covariances, n_features, floor):
    covariances = covariances * (1.0 + 1e-12 * np.random.default_rng().random())
    return FullCovariance.factor(self, covariances, n_features, floor)


def dead_are_zero(self, nonempty, weight, shift, second, ridge, before):
    weight = np.where(nonempty, weight, 1.0)
    return FullCovariance.estimate(self, weight, shift, second, 0.0 * ridge)


def bent(covariances, like):
    """Covariances that leave the structure far from `like` only."""
    far = np.abs(np.log(np.abs(covariances[0] / like[0]))).max() > 5.0
    covariances[0] *= 1.0 + 0.01 * far
    return covariances


BROKEN = {
    "new_scatter": (
        change(FullCovariance, new_scatter=lambda self, k, d: np.ones((k, d, d))),
        "new_scatter is not zero",
    ),
    "scatter": (change(FullCovariance, scatter=forgets_the_scatter), "must add to `out`"),
    "from_kernel": (twice(TiedCovariance, "from_kernel"), "from_kernel is off by"),
    "unpack": (twice(FullCovariance, "unpack"), "unpack is off by"),
    "shape": (change(DiagonalCovariance, shape=lambda self, k, d: (k,)), "of shape"),
    "is_diagonal": (change(DiagonalCovariance, is_diagonal=False), "from_kernel"),
    "is_shared": (change(FullCovariance, is_shared=True), "is_shared is true"),
    "precision": (twice(FullCovariance, "precision"), "precision is off"),
    "kernel_cholesky": (twice(SphericalCovariance, "kernel_cholesky"), "kernel_cholesky is off"),
    "covariance_cholesky": (
        twice(TiedCovariance, "covariance_cholesky"),
        "covariance_cholesky is off",
    ),
    "inverse": (twice(FullCovariance, "covariance_from_precision"), "the inverse is off"),
    "deviation": (
        change(
            DiagonalCovariance,
            conditional_deviation=lambda self, root, shape: 100.0 / root,
        ),
        "conditional deviations are off",
    ),
    "singular": (
        change(
            SphericalCovariance,
            factor=lambda self, v, d, floor: SphericalCovariance.factor(
                self, np.where(v > 0.0, v, 1.0), d, floor
            ),
        ),
        "multiplied by 0.0 have a factor",
    ),
    "distance": (twice(TiedCovariance, "squared_distance"), "squared_distance is off"),
    "natural": (
        change(
            DiagonalCovariance,
            natural=lambda self, f, m: (f.precision_diagonal * m, -f.precision_diagonal),
        ),
        "the moment form is off",
    ),
    "means": (change(FullCovariance, estimate=off_by_the_mean), "is higher by"),
    "ridge": (change(FullCovariance, estimate=without_ridge), "is higher by"),
    "shrunk": (change(FullCovariance, estimate=shrunk), "is higher by"),
    "orientation": (change(RotatedCovariance, estimate=first_orientation), "is higher by"),
    "average": (change(RotatedCovariance, with_average=own_volume), "with_average returned"),
    "nonempty": (change(FullCovariance, estimate_nonempty=dead_are_zero), "estimate_nonempty"),
    "dead": (
        change(RotatedCovariance, estimate_nonempty=FullCovariance.estimate_nonempty),
        "estimate_nonempty returned",
    ),
    "rescale": (
        change(FullCovariance, rescale=lambda self, c, scale: c * scale[:, None]),
        "rescale is off",
    ),
    "units": (change(RotatedCovariance, scales_by_column=True), "rescaled covariances"),
    "cholesky": (twice(FullCovariance, "rescale_cholesky"), "rescale_cholesky, times"),
    "to_vector": (twice(DiagonalCovariance, "to_vector"), "from_vector of to_vector"),
    "n_parameters": (
        change(TiedCovariance, n_parameters=lambda self, k, d: d * d),
        "move in 10 independent directions as the 10 coordinates change, but n_parameters is 16",
    ),
    "coordinates": (
        change(
            RotatedCovariance,
            to_vector=FullCovariance.to_vector,
            from_vector=FullCovariance.from_vector,
        ),
        "move in 30 independent directions as the 30 coordinates change, but n_parameters is 22",
    ),
    "off the set": (
        change(
            RotatedCovariance,
            from_vector=lambda self, vector, like: bent(
                RotatedCovariance.from_vector(self, vector, like), like
            ),
        ),
        "are not in the structure",
    ),
    "unchecked": (change(DiagonalCovariance, from_vector=unchecked), "without a factor"),
    "error": (change(DiagonalCovariance, from_vector=raw_value_error), "raised ValueError"),
    "arguments": (in_place(FullCovariance, "rescale_cholesky"), "changed its arguments"),
    "random": (change(FullCovariance, factor=random_factor), "when called again"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_found(what):
    structure, message = BROKEN[what]
    with pytest.raises(AssertionError, match=r"^Broken: .*Look at") as caught:
        check_covariance_structure(structure)
    assert message in str(caught.value)
