"""Angles between 0 and 45 degrees that stand for all others, by the symmetries of a square grid.

An image that is seen at any angle looks like a mirrored one at an angle between 0 and 45 degrees.
So lines of pixels are rows, and neighbors in them are at least 0.7 pixels apart on the detector.
Angles that are mirror images of each other share the shadows of the pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Decimals of the sine by which angles are known to mirror each other.
_DECIMALS = 12
# Pixels on the border of two layers are in the same one for all rounding errors.
_TIE = 1e-9


class Mirror(NamedTuple):
    """How the image is mirrored: left to right, upside down, and then at the antidiagonal."""

    sideways: bool
    upside_down: bool
    swapped: bool

    @property
    def turns_depth(self) -> bool:
        """Whether the detector is on the other side of the mirrored image."""
        return self.sideways ^ self.upside_down ^ self.swapped

    def apply(self, images: NDArray[np.floating]) -> NDArray[np.floating]:
        """Mirror images, the last two dimensions of an array."""
        images = images[..., ::-1] if self.sideways else images
        images = images[..., ::-1, :] if self.upside_down else images
        return images[..., ::-1, ::-1].swapaxes(-1, -2) if self.swapped else images

    def undo(self, images: NDArray[np.floating]) -> NDArray[np.floating]:
        """Mirror them back."""
        images = images[..., ::-1, ::-1].swapaxes(-1, -2) if self.swapped else images
        images = images[..., ::-1, :] if self.upside_down else images
        return images[..., ::-1] if self.sideways else images


@dataclass(frozen=True)
class View:
    """Angles that are worked on together.

    Attributes
    ----------
    mirrors : tuple of Mirror
        How the image is mirrored.
    angles : ndarray of shape (n_standing, n_mirrors) of int
        Number of the angle that each angle between 0 and 45 degrees stands for, by mirror.
    cosines, sines : ndarray of shape (n_standing,)
        Of the angles between 0 and 45 degrees.
    """

    mirrors: tuple[Mirror, ...]
    angles: NDArray[np.intp]
    cosines: Array
    sines: Array

    def mirrored_shape(self, image_shape: tuple[int, int]) -> tuple[int, int]:
        """Shape of the mirrored images."""
        rows, columns = image_shape
        return (columns, rows) if self.mirrors[0].swapped else (rows, columns)

    def geometry(self, shape: tuple[int, int], size: float, n_bins: int, depth: float) -> Array:
        """Numbers for `emlearn.kernels.projections`.

        Parameters
        ----------
        shape : tuple of int
            Shape of the mirrored images.
        size : float
            Width of a pixel in bins.
        n_bins : int
            Number of bins.
        depth : float
            Depth of all layers together, in pixels.
        """
        right, up = 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)
        side = -1.0 if self.mirrors[0].turns_depth else 1.0
        return np.stack(
            [
                0.5 * n_bins + size * (up * self.sines - right * self.cosines),
                size * self.cosines,
                -size * self.sines,
                0.5 * depth + _TIE + side * (right * self.sines + up * self.cosines),
                -side * self.sines,
                -side * self.cosines,
            ],
            axis=1,
        )


def find_views(angles: Array, *, square: bool, shared: bool) -> list[View]:
    """Group angles by the mirrors that lead to them.

    Parameters
    ----------
    angles : ndarray of shape (n_angles,)
        Angles in radians.
    square : bool
        Whether the image is square, so that swapped images have the same shape.
    shared : bool
        Whether angles that mirror each other may be worked on together.
    """
    cosines, sines = np.cos(angles), np.sin(angles)
    low = np.minimum(np.abs(cosines), np.abs(sines))
    mirrors = [
        Mirror(bool(c < 0.0), bool(s < 0.0), bool(abs(s) > abs(c)))
        for c, s in zip(cosines, sines, strict=True)
    ]
    families: dict[Hashable, dict[Mirror, int]] = defaultdict(dict)
    for number, (mirror, sine) in enumerate(zip(mirrors, low, strict=True)):
        key = number if not shared else (round(float(sine), _DECIMALS), square or mirror.swapped)
        # An angle that is there twice is in a family of its own.
        key = number if mirror in families[key] else key
        families[key][mirror] = number
    by_mirrors: dict[tuple[Mirror, ...], list[list[int]]] = defaultdict(list)
    for family in families.values():
        order = tuple(sorted(family))
        by_mirrors[order].append([family[mirror] for mirror in order])
    views = []
    for order, numbers in by_mirrors.items():
        found = np.array(numbers, np.intp)
        sine = low[found[:, 0]]
        high = np.maximum(np.abs(cosines), np.abs(sines))[found[:, 0]]
        views.append(View(order, found, high, sine))
    return views
