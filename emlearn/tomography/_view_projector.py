"""Projections of several images at the angles of one view, in threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.blocks import Threads
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.kernels.projections import N_IMAGES, Projection, backproject_lines, project_lines
from emlearn.tomography._detector import DetectorBlur
from emlearn.tomography._views import View

Array = NDArray[np.float64]

# Numbers of what the detector sees that are in memory at a time, for each thread.
_MOST = 2**20
# Pixels, at all angles, that are worth a thread of their own: about half a millisecond.
_WORTH = 2**18


class ViewProjector:
    """Projections at the angles of one view, and their transpose.

    Parameters
    ----------
    view : View
        Angles and mirrors.
    projection : Projection
        Geometry of the mirrored images.
    shape : tuple of int
        Shape of the mirrored images.
    blur : DetectorBlur
        Blur of the detector.
    """

    def __init__(
        self, view: View, projection: Projection, shape: tuple[int, int], blur: DetectorBlur
    ) -> None:
        self.view = view
        self._shape = shape
        self._projection = projection
        self._blur = blur

    def forward(self, images: Array) -> Array:
        """Projections.

        Parameters
        ----------
        images : ndarray of shape (n_images, n_rows, n_columns)
            Images.

        Returns
        -------
        rays : ndarray of shape (n_images, n_standing, n_mirrors, n_bins)
            What the bins see at the angles ``view.angles``.
        """
        return np.concatenate([self._forward(images[few]) for few in self._chunks(len(images))])

    def back(self, rays: Array) -> Array:
        """The transpose of `forward`: images of the rays of this view."""
        return np.concatenate([self._back(rays[few]) for few in self._chunks(len(rays))])

    def _chunks(self, n_images: int) -> list[slice]:
        """As many images as, with their mirrors, the kernels take at a time."""
        size = N_IMAGES[-1] // len(self.view.mirrors)
        return [slice(i, i + size) for i in range(0, n_images, size)]

    def _forward(self, images: Array) -> Array:
        mirrored = np.stack([mirror.apply(images) for mirror in self.view.mirrors], axis=-1)
        stacked = _side_by_side(mirrored.transpose(1, 2, 0, 3))

        def project(block: slice) -> Array:
            return self._blur.forward(project_lines(self._projection.at(block), stacked))

        blocks = self._blocks(stacked.shape[2])
        seen = np.concatenate(_in_threads(project, blocks, self._n_threads))
        return _apart(seen, *mirrored.shape[::3]).transpose(2, 0, 3, 1)

    def _back(self, rays: Array) -> Array:
        mirrors = self.view.mirrors
        stacked = _side_by_side(rays.transpose(1, 3, 0, 2))
        shape = self._shape
        sums = np.empty((*shape, stacked.shape[2]))
        total: Any = 0.0
        for block in self._blocks(stacked.shape[2], n_threads=1):
            projection = self._projection.at(block)
            layers = np.ascontiguousarray(self._blur.back(stacked[block]))

            def backproject(
                part: slice, projection: Projection = projection, layers: Array = layers
            ) -> None:
                backproject_lines(projection, layers, sums, part.start, part.stop)

            lines = _divide(shape[0], self._n_threads)
            _in_threads(backproject, lines, self._n_threads)
            pixels = _apart(sums, len(rays), len(mirrors)).transpose(3, 2, 0, 1)
            for mirror, part in zip(mirrors, pixels, strict=True):
                total = total + mirror.undo(part)
        return np.asarray(total)

    @property
    def _n_threads(self) -> int:
        work = len(self.view.angles) * self._shape[0] * self._shape[1]
        return max(1, min(available_threads(), work // _WORTH))

    def _blocks(self, n_images: int, n_threads: int | None = None) -> list[slice]:
        """Angles at a time: few enough for the memory, and blocks for all threads."""
        n_angles = len(self.view.angles)
        numbers = n_angles * self._projection.n_bins * n_images * self._blur.numbers_of_a_bin
        n_blocks = max(n_threads or self._n_threads, -(-numbers // _MOST))
        return _divide(n_angles, n_blocks)


def _divide(n: int, n_blocks: int) -> list[slice]:
    edges = np.linspace(0, n, min(n, n_blocks) + 1).astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def _side_by_side(values: Array) -> Array:
    """The last two axes as one, with zeros to a number of images that the kernels take."""
    n = values.shape[2] * values.shape[3]
    room = next(size for size in N_IMAGES if size >= n)
    flat = np.zeros((*values.shape[:2], room))
    flat[..., :n] = values.reshape(*values.shape[:2], n)
    return flat


def _apart(flat: Array, *sizes: int) -> Array:
    """The inverse of `_side_by_side`."""
    return flat[..., : sizes[0] * sizes[1]].reshape(*flat.shape[:2], *sizes)


def _in_threads(
    function: Callable[[slice], Any], items: Sequence[slice], n_threads: int
) -> Sequence[Any]:
    threads = Threads(n_threads)
    with blas_limited(), threads.over(lambda item, _: function(item), items) as each:
        return each(None)
