"""A simulated magnetic resonance image of a head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_scalar

Array = NDArray[np.float32]

# Intensities of fluid, gray matter and white matter.
_TISSUES = (50.0, 110.0, 150.0)
_RADII = (0.84, 0.95, 0.84)


def make_brain_phantom(
    shape: tuple[int, ...] = (60, 72, 60),
    *,
    noise: float = 0.03,
    bias: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate an image of three tissues, like a T1-weighted image of a brain.

    Folded gray matter between white matter and fluid, with ventricles. A voxel on a boundary has
    a mean of the intensities of its tissues. A smooth field multiplies the intensities, and noise
    is that of the magnitude of a complex number (Rician).

    Parameters
    ----------
    shape : tuple of int, default=(60, 72, 60)
        Size of the image along two or three axes. Two are a slice through the middle.
    noise : float, default=0.03
        Standard deviation of the noise, as a fraction of the intensity of white matter.
    bias : float, default=0.2
        Range of the field: 0.2 is from 0.9 to 1.1.
    random_state : int, RandomState instance or None, default=None
        Determines the noise; an int for the same image at each call. All else is always the same.

    Returns
    -------
    phantom : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        image : ndarray of shape `shape`, dtype float32
            Intensities; background has noise only.
        labels : ndarray of shape `shape`, dtype int32
            Tissue that most of a voxel is: 0 fluid, 1 gray matter, 2 white matter; -1 outside.
        mask : ndarray of shape `shape`, dtype bool
            Voxels inside of the head.
        bias_field : ndarray of shape `shape`, dtype float32
            The field.
        target_names : list of str
            Names of the tissues.
        DESCR : str
            Description.

    Raises
    ------
    ValueError
        If a size is less than 8, the noise is negative, or the range of the field is not within
        0 and 1.

    References
    ----------
    C. A. Cocosco, V. Kollokian, R. K.-S. Kwan and A. C. Evans (1997). "BrainWeb: online
    interface to a 3D MRI simulated brain database". NeuroImage 5(4), S425. Its images have noise
    of 0 to 9 % and fields of 0 to 40 %.

    Examples
    --------
    >>> from emlearn.datasets import make_brain_phantom
    >>> phantom = make_brain_phantom((40, 48), noise=0.05, random_state=0)
    >>> [float(phantom.image[phantom.labels == k].mean().round()) for k in range(3)]
    [58.0, 114.0, 152.0]
    """
    if len(shape) not in (2, 3) or min(shape) < 8:
        raise ValueError(f"shape={shape!r} must have two or three sizes of at least 8.")
    check_scalar(noise, "noise", (int, float), min_val=0.0)
    check_scalar(bias, "bias", (int, float), min_val=0.0, max_val=1.0)
    rng = check_random_state(random_state)
    fractions, inside = _tissues(shape)
    clean = np.tensordot(np.array(_TISSUES, np.float32), fractions, axes=1)
    field = _field(shape, bias)
    clean *= field
    sigma = noise * _TISSUES[-1]
    image = np.hypot(clean + sigma * rng.standard_normal(shape), sigma * rng.standard_normal(shape))
    labels = np.where(inside, fractions.argmax(axis=0), -1).astype(np.int32)
    return Bunch(
        image=image.astype(np.float32),
        labels=labels,
        mask=inside,
        bias_field=field,
        target_names=["fluid", "gray matter", "white matter"],
        DESCR="A simulated image of a brain; see emlearn.datasets.make_brain_phantom.",
    )


def _grid(shape: tuple[int, ...]) -> list[Array]:
    """Coordinates from -1 to 1 along three axes, of which a slice has the first at 0."""
    axes = [np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in shape]
    if len(shape) == 2:
        axes.insert(0, np.zeros(1, np.float32))
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def _tissues(shape: tuple[int, ...]) -> tuple[Array, NDArray[np.bool_]]:
    """Fractions (3, *shape) of the tissues in the voxels, and which voxels are inside."""
    x, y, z = _grid(shape)
    radius = np.sqrt(sum((u / size) ** 2 for u, size in zip((x, y, z), _RADII, strict=True)))
    # Deep folds of two wavelengths.
    folds = np.sin(15 * x + 1.5) * np.sin(17 * y + 0.4) + np.sin(16 * y - 8 * z) * np.cos(
        14 * z + x
    )
    fine = np.sin(27 * x + 9 * y + 1.0) * np.cos(29 * z - 11 * y)
    surface = _share(0.91 + 0.05 * folds + 0.02 * fine - radius, shape)
    core = _share(0.74 + 0.10 * folds + 0.06 * fine - radius, shape)
    side = (np.abs(z) - 0.17) / 0.10
    ventricle = _share(0.1 * (1.0 - np.sqrt((x / 0.2) ** 2 + (y / 0.4) ** 2 + side**2)), shape)
    white = core * (1.0 - ventricle)
    gray = np.maximum(surface * (1.0 - ventricle) - white, 0.0)
    fractions = np.stack([1.0 - gray - white, gray, white]).astype(np.float32)
    inside = radius < 1.0
    fractions *= inside
    return fractions.reshape(3, *shape), inside.reshape(shape)


def _share(level: Any, shape: tuple[int, ...]) -> Any:
    """Share of a voxel in which a function is positive, by its slope there."""
    steps = [2.0 / (n - 1) for n in shape]
    slopes = np.gradient(level.reshape(shape), *steps)
    width = sum(np.abs(slope) * step for slope, step in zip(slopes, steps, strict=True))
    return np.clip(0.5 + level / np.maximum(width, 1e-6).reshape(level.shape), 0.0, 1.0)


def _field(shape: tuple[int, ...], bias: float) -> Array:
    """A smooth field around 1."""
    x, y, z = _grid(shape)
    wave = np.sin(1.3 * x + 0.9 * y + 0.4) + 0.8 * np.cos(1.7 * z - 0.6 * y) + 0.3 * x * y
    wave = (wave - wave.min()) / (wave.max() - wave.min())
    return (1.0 + bias * (wave - 0.5)).astype(np.float32).reshape(shape)
