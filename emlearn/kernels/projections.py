"""Projections of images along parallel rays, in scipy and in the compiled kernels.

Images are lines of square pixels, and their values at a pixel lie one after another: (n_lines,
n_pixels, n_images). A pixel casts a shadow on the bins of the detector, which is a trapezoid, and
a bin sees the part of the shadow that is above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from emlearn.kernels import compiled

Array = NDArray[np.float64]

#: Numbers of images that can be projected at a time.
N_IMAGES = (1, 4, 8)


class Projection(NamedTuple):
    """Angles at which images of one shape are projected.

    Attributes
    ----------
    geometry : ndarray of shape (n_angles, 6)
        Numbers `start`, `along`, `across`, `depth`, `depth_along` and `depth_across` of each
        angle. The center of pixel i of line l is at ``start + l across + i along`` on the
        detector, in bins from its edge, and in slab ``depth + l depth_across + i depth_along``,
        rounded down.
    factors : ndarray of shape (n_angles, n_lines, n_pixels) of float32 or None
        What of each pixel arrives.
    scale : float
        Factor of all.
    n_slabs, n_bins : int
        Numbers of slabs, which are kept apart, and of bins of the detector.
    """

    geometry: Array
    factors: NDArray[np.float32] | None
    scale: float
    n_slabs: int
    n_bins: int

    def at(self, angles: slice) -> Projection:
        """The projection at some of the angles."""
        factors = None if self.factors is None else self.factors[angles]
        return self._replace(geometry=self.geometry[angles], factors=factors)


def project_lines(projection: Projection, images: Array) -> Array:
    """Projections of images.

    Parameters
    ----------
    projection : Projection
        The angles.
    images : ndarray of shape (n_lines, n_pixels, n_images)
        Images, as many as one of `N_IMAGES`.

    Returns
    -------
    rays : ndarray of shape (n_angles, n_slabs, n_bins, n_images)
        What each bin sees of each slab.
    """
    geometry, factors, scale, n_slabs, n_bins = projection
    n_images = images.shape[2]
    rays = np.empty((len(geometry), n_slabs, n_bins, n_images))
    if compiled is not None:
        compiled.project_lines(images, geometry, factors, scale, rays)
        return rays
    values = images.reshape(-1, n_images)
    for own, matrix in zip(rays, angle_matrices(projection, images.shape[:2]), strict=True):
        own[...] = np.asarray(matrix @ values).reshape(own.shape)
    return rays


def backproject_lines(
    projection: Projection, rays: Array, images: Array, first: int, last: int
) -> None:
    """The transpose of `project_lines`, of some of the lines.

    Parameters
    ----------
    projection : Projection
        The angles.
    rays : ndarray of shape (n_angles, n_slabs, n_bins, n_images)
        A number for each bin and slab.
    images : ndarray of shape (n_lines, n_pixels, n_images)
        Images, of which the lines from `first` to before `last` are overwritten.
    first, last : int
        The lines.
    """
    geometry, factors, scale, n_slabs, n_bins = projection
    if compiled is not None:
        compiled.backproject_lines(rays, geometry, factors, scale, first, last, images)
        return
    lines = geometry.copy()
    lines[:, 0] += first * geometry[:, 2]
    lines[:, 3] += first * geometry[:, 5]
    part = projection._replace(
        geometry=lines, factors=None if factors is None else factors[:, first:last]
    )
    images[first:last] = 0.0
    matrices = angle_matrices(part, (last - first, images.shape[1]))
    for own, matrix in zip(rays, matrices, strict=True):
        flat = own.reshape(n_slabs * n_bins, -1)
        images[first:last] += (matrix.T @ flat).reshape(last - first, *images.shape[1:])


def angle_matrices(
    projection: Projection, shape: tuple[int, ...]
) -> Iterator[sparse.csc_array[np.float64]]:
    """System matrices of the angles, (n_slabs n_bins, n_lines n_pixels) each.

    Parameters
    ----------
    projection : Projection
        The angles.
    shape : tuple of int
        Numbers of lines and of pixels of a line.
    """
    geometry, factors, scale, n_slabs, n_bins = projection
    line, pixel = np.indices(shape)
    for a, (start, along, across, depth, depth_along, depth_across) in enumerate(geometry):
        center = (start + line * across + pixel * along).ravel()
        slab = np.clip(depth + line * depth_across + pixel * depth_along, 0, n_slabs - 1)
        sides = sorted((abs(along), abs(across)))
        reach = int(np.ceil(sum(sides))) + 1
        first = np.floor(center - 0.5 * sum(sides))[:, None]
        edges = first + np.arange(1, reach)
        below = _area_below(edges - center[:, None], *sides)
        parts = scale * np.diff(below, axis=1, prepend=0.0, append=1.0)
        if factors is not None:
            parts *= factors[a].reshape(-1, 1)
        bins = (first + np.arange(reach)).astype(np.int64)
        parts[(bins < 0) | (bins >= n_bins)] = 0.0
        rows = slab.astype(np.int64).reshape(-1, 1) * n_bins + np.clip(bins, 0, n_bins - 1)
        starts = np.arange(len(center) + 1) * reach
        yield sparse.csc_array(
            (parts.ravel(), rows.ravel(), starts), shape=(n_slabs * n_bins, len(center))
        )


def _area_below(distance: Array, short: float, long: float) -> Array:
    """The part of a shadow up to this distance from its center.

    The shadow is a box of width `long`, smoothed by one of width `short`.
    """
    inside = np.clip(0.5 * (long + short) - np.abs(distance), 0.0, short)
    rest = np.maximum(0.5 * (long - short) - np.abs(distance), 0.0)
    bend = np.square(inside) / (2.0 * long * short) if short else 0.0
    tail = bend + rest / long
    return np.where(distance < 0.0, tail, 1.0 - tail)
