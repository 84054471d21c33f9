"""Projections of several images at the angles of one view, in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.blocks import Threads
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.kernels import compiled
from emlearn.kernels.projections import N_IMAGES, Projection, backproject_lines, project_lines
from emlearn.tomography._detector import DetectorBlur
from emlearn.tomography._views import Mirror, View

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

    def forward(self, images: Array, rays: Array) -> None:
        """Write the projections at the angles of the view.

        Parameters
        ----------
        images : ndarray of shape (n_images, n_rows, n_columns)
            Images.
        rays : ndarray of shape (n_images, n_angles, n_bins)
            Projections; those of the view are overwritten.
        """
        self._over_images(self._forward, images, rays)

    def back(self, rays: Array, images: Array) -> None:
        """Add the transpose of `forward` to the images."""
        self._over_images(self._back, rays, images)

    def _over_images(
        self, function: Callable[[Array, Array, int], None], source: Array, target: Array
    ) -> None:
        """Work on as many images as, with their mirrors, the kernels take at a time.

        Threads work on some images each, if there are enough of them, or else on parts of the
        projections.
        """
        size = N_IMAGES[-1] // len(self.view.mirrors)
        chunks = [slice(i, i + size) for i in range(0, len(source), size)]
        work = len(source) * len(self.view.angles) * self._shape[0] * self._shape[1]
        # Parts of images round as the whole only in the kernels.
        most = 1 if compiled is None else available_threads()
        n_threads = max(1, min(most, work // _WORTH))
        outside = n_threads if len(chunks) >= n_threads else 1
        inside = n_threads // outside

        def work_on(few: slice) -> None:
            function(source[few], target[few], inside)

        _in_threads(work_on, chunks, outside)

    def _forward(self, images: Array, rays: Array, n_threads: int) -> None:
        stacked = self._room(len(images), *self._shape)
        for lanes, _, mirror in self._lanes(len(images)):
            stacked[..., lanes] = mirror.apply(images).transpose(1, 2, 0)

        def project(block: slice) -> None:
            seen = self._blur.forward(project_lines(self._projection.at(block), stacked))
            for lanes, angles, _ in self._lanes(len(images)):
                rays[:, angles[block]] = seen[..., lanes].transpose(2, 0, 1)

        _in_threads(project, self._blocks(stacked.shape[2], n_threads), n_threads)

    def _back(self, rays: Array, images: Array, n_threads: int) -> None:
        stacked = self._room(len(rays), len(self.view.angles), self._projection.n_bins)
        for lanes, angles, _ in self._lanes(len(rays)):
            stacked[..., lanes] = rays[:, angles].transpose(1, 2, 0)
        sums = np.empty((*self._shape, stacked.shape[2]))
        for block in self._blocks(stacked.shape[2], 1):
            layers = np.ascontiguousarray(self._blur.back(stacked[block]))
            backproject = partial(self._backproject, block, layers, sums)
            _in_threads(backproject, _divide(self._shape[0], n_threads), n_threads)
            for lanes, _, mirror in self._lanes(len(rays)):
                images += mirror.undo(sums[..., lanes].transpose(2, 0, 1))

    def _backproject(self, block: slice, layers: Array, sums: Array, lines: slice) -> None:
        backproject_lines(self._projection.at(block), layers, sums, lines.start, lines.stop)

    def _room(self, n_images: int, *shape: int) -> Array:
        """Zeros for images and their mirrors, as many as the kernels take."""
        needed = n_images * len(self.view.mirrors)
        return np.zeros((*shape, next(size for size in N_IMAGES if size >= needed)))

    def _lanes(self, n_images: int) -> Iterator[tuple[slice, NDArray[np.intp], Mirror]]:
        """For each mirror: where its images are, its angles, and itself."""
        for m, mirror in enumerate(self.view.mirrors):
            yield slice(m * n_images, (m + 1) * n_images), self.view.angles[:, m], mirror

    def _blocks(self, n_lanes: int, n_threads: int) -> list[slice]:
        """Angles at a time: few enough for the memory, and blocks for all threads."""
        n_angles = len(self.view.angles)
        numbers = n_angles * self._projection.n_bins * n_lanes * self._blur.numbers_of_a_bin
        return _divide(n_angles, max(n_threads, -(-numbers // _MOST)))


def _divide(n: int, n_blocks: int) -> list[slice]:
    edges = np.linspace(0, n, min(n, n_blocks) + 1).astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def _in_threads(function: Callable[[slice], Any], items: Sequence[slice], n_threads: int) -> None:
    threads = Threads(n_threads)
    with blas_limited(), threads.over(lambda item, _: function(item), items) as each:
        each(None)
