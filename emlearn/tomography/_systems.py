"""What maps an image to the expected counts: the system matrix in its several forms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from emlearn.data import as_numbers

Array = NDArray[np.float64]

# Entries of a matrix that are worth a task of their own, and the largest number of parts.
_PART, _MOST_PARTS = 200_000, 16


class System(ABC):
    """A linear map from images to expected counts, with nonnegative entries.

    Images and counts are rows of arrays, and an image is flattened in C order. A projector
    defines `forward`, `back` and, if it can project only some of the rays, `subset` and `parts`.

    Parameters
    ----------
    n_rays : int
        Number of rays, the rows of the system matrix.
    n_pixels : int
        Number of pixels, the columns of the system matrix.
    image_shape : tuple of int, default=None
        Shape of the image, the product of which is `n_pixels`. None means that the pixels have no
        neighbors.
    n_views : int, default=None
        Number of views (angles), if the rays are in order of them and each has as many. Ordered
        subsets are sets of views. None means that each ray is a view.

    Attributes
    ----------
    n_rays, n_pixels : int
        Shape of the system matrix.
    image_shape : tuple of int or None
        Shape of the image.
    n_views : int
        Number of views.
    """

    def __init__(
        self,
        n_rays: int,
        n_pixels: int,
        image_shape: tuple[int, ...] | None = None,
        n_views: int | None = None,
    ) -> None:
        self.n_rays = n_rays
        self.n_pixels = n_pixels
        self.image_shape = image_shape
        self.n_views = n_rays if n_views is None else n_views

    @abstractmethod
    def forward(self, images: Array) -> Array:
        """Projections of images.

        Parameters
        ----------
        images : ndarray of shape (n_images, n_pixels)
            Images.

        Returns
        -------
        rays : ndarray of shape (n_images, n_rays)
            Expected counts without background.
        """

    @abstractmethod
    def back(self, rays: Array) -> Array:
        """Back projections: products with the exact transpose of the system matrix.

        Parameters
        ----------
        rays : ndarray of shape (n_images, n_rays)
            A number for each ray.

        Returns
        -------
        images : ndarray of shape (n_images, n_pixels)
            Images.
        """

    def sensitivity(self) -> Array:
        """Sums of the columns of the system matrix.

        Returns
        -------
        sensitivity : ndarray of shape (n_pixels,)
            Expected counts of a unit of each pixel.
        """
        return self.back(np.ones((1, self.n_rays)))[0]

    def subset(self, rays: NDArray[np.intp]) -> System:
        """The system of some of the rays.

        By default, the whole system is projected and some of its rays are taken.

        Parameters
        ----------
        rays : ndarray of shape (n_chosen,) of int
            Numbers of the rays, in their new order.

        Returns
        -------
        system : System
            System with these rays.
        """
        return _ChosenRays(self, rays)

    def parts(self) -> Sequence[tuple[slice, System]]:
        """Parts of the rays on which threads can work, in order; by default, one of all.

        Returns
        -------
        parts : sequence of (slice, System)
            Rays, and the system of these. The division may not depend on the number of threads.
        """
        return ((slice(0, self.n_rays), self),)


class _ChosenRays(System):
    """Some rays of a system that can only project all of them."""

    def __init__(self, whole: System, rays: NDArray[np.intp]) -> None:
        super().__init__(len(rays), whole.n_pixels, whole.image_shape)
        self._whole = whole
        self._rays = rays

    def forward(self, images: Array) -> Array:
        return self._whole.forward(images)[:, self._rays]

    def back(self, rays: Array) -> Array:
        all_rays = np.zeros((self._whole.n_rays, len(rays)))
        np.add.at(all_rays, self._rays, rays.T)
        return self._whole.back(all_rays.T)

    def subset(self, rays: NDArray[np.intp]) -> System:
        return self._whole.subset(self._rays[rays])


class MatrixSystem(System):
    """A system matrix in memory, dense or in compressed sparse rows.

    Parameters
    ----------
    matrix : ndarray or sparse array of shape (n_rays, n_pixels)
        System matrix.
    image_shape : tuple of int, default=None
        Shape of the image.
    """

    def __init__(self, matrix: Any, image_shape: tuple[int, ...] | None = None) -> None:
        n_rays, n_pixels = matrix.shape
        super().__init__(n_rays, n_pixels, image_shape)
        self.matrix = matrix

    def forward(self, images: Array) -> Array:
        """See `System.forward`."""
        return np.ascontiguousarray((self.matrix @ images.T).T)

    def back(self, rays: Array) -> Array:
        """See `System.back`."""
        return np.ascontiguousarray((self.matrix.T @ rays.T).T)

    def subset(self, rays: NDArray[np.intp]) -> System:
        """See `System.subset`."""
        return MatrixSystem(self.matrix[rays], self.image_shape)

    def parts(self) -> Sequence[tuple[slice, System]]:
        """See `System.parts`; the parts share the memory of the whole."""
        size = self.matrix.nnz if _is_sparse(self.matrix) else self.matrix.size
        n_parts = max(1, min(size // _PART, _MOST_PARTS, self.n_rays))
        edges = np.linspace(0, self.n_rays, n_parts + 1).astype(int).tolist()
        return [
            (slice(a, b), MatrixSystem(_rows(self.matrix, a, b), self.image_shape))
            for a, b in pairwise(edges)
        ]


class OperatorSystem(System):
    """A `scipy.sparse.linalg.LinearOperator` as a system; it must have an adjoint.

    Parameters
    ----------
    operator : LinearOperator of shape (n_rays, n_pixels)
        System matrix as a function.
    image_shape : tuple of int, default=None
        Shape of the image.
    """

    def __init__(self, operator: LinearOperator, image_shape: tuple[int, ...] | None = None):
        n_rays, n_pixels = operator.shape
        super().__init__(n_rays, n_pixels, image_shape)
        self._operator = operator
        try:
            operator.rmatmat(np.zeros((n_rays, 1)))
        except (TypeError, NotImplementedError):
            raise TypeError(
                "system_matrix is a LinearOperator without an adjoint; give it rmatvec or rmatmat, "
                "the products with the transpose."
            ) from None

    def forward(self, images: Array) -> Array:
        """See `System.forward`."""
        return np.ascontiguousarray(self._operator.matmat(images.T).T, dtype=np.float64)

    def back(self, rays: Array) -> Array:
        """See `System.back`."""
        return np.ascontiguousarray(self._operator.rmatmat(rays.T).T, dtype=np.float64)


def _is_sparse(matrix: Any) -> bool:
    return bool(sparse.issparse(matrix))


def _rows(matrix: Any, start: int, stop: int) -> Any:
    """Neighboring rows of a matrix, without a copy."""
    if not _is_sparse(matrix):
        return matrix[start:stop]
    matrix = sparse.csr_array(matrix)
    a, b = matrix.indptr[start], matrix.indptr[stop]
    entries = (matrix.data[a:b], matrix.indices[a:b], matrix.indptr[start : stop + 1] - a)
    return sparse.csr_array(entries, shape=(stop - start, matrix.shape[1]), copy=False)


def as_system(
    system_matrix: ArrayLike | sparse.spmatrix | LinearOperator | System,
    image_shape: Sequence[int] | None = None,
) -> System:
    """A system from any of the forms in which a system matrix can be given.

    Parameters
    ----------
    system_matrix : array-like, sparse, LinearOperator or System, of shape (n_rays, n_pixels)
        System matrix. The entries of one in memory are checked.
    image_shape : sequence of int, default=None
        Shape of the image. None takes that of a `System`, or leaves it unknown.

    Returns
    -------
    system : System
        The system.

    Raises
    ------
    ValueError
        If the matrix has the wrong number of dimensions or pixels, or entries that are negative
        or not finite.
    TypeError
        If an operator has no adjoint.
    """
    if isinstance(system_matrix, System):
        system = system_matrix
        shape = system.image_shape if image_shape is None else _read_shape(image_shape)
        if shape != system.image_shape:
            raise ValueError(
                f"image_shape={shape} differs from that of the system, {system.image_shape}; "
                "leave image_shape out."
            )
        return system
    shape = None if image_shape is None else _read_shape(image_shape)
    if isinstance(system_matrix, LinearOperator):
        system = OperatorSystem(system_matrix, shape)
    else:
        system = MatrixSystem(_read_matrix(system_matrix), shape)
    if shape is not None and prod(shape) != system.n_pixels:
        raise ValueError(
            f"image_shape={shape} has {prod(shape)} pixels, but system_matrix has "
            f"{system.n_pixels} columns, one for each pixel."
        )
    return system


def _read_shape(image_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(image_shape)
    if not shape or not all(isinstance(size, Integral) and size >= 1 for size in shape):
        raise ValueError(
            f"image_shape must have positive sizes, all integers, got {image_shape!r}."
        )
    return tuple(int(size) for size in shape)


def _read_matrix(given: Any) -> Any:
    if _is_sparse(given):
        if given.dtype.kind == "c":
            raise ValueError("system_matrix must have real numbers, but has complex ones.")
        matrix: Any = sparse.csr_array(given, dtype=np.float64)
        entries = matrix.data
    else:
        matrix = entries = as_numbers(given, "system_matrix")
    if matrix.ndim != 2:
        raise ValueError(
            "system_matrix must have two dimensions, (n_rays, n_pixels), got "
            f"{matrix.ndim} with shape {matrix.shape}."
        )
    if 0 in matrix.shape:
        raise ValueError(f"system_matrix is empty: its shape is {matrix.shape}.")
    for wrong, what in ((~np.isfinite(entries), "not finite"), (entries < 0.0, "negative")):
        if wrong.any():
            row, column = _first_place(matrix, wrong)
            raise ValueError(
                f"system_matrix has {what} entries, the first at row {row}, column {column}. "
                "Entries are expected counts of a unit of a pixel, so they cannot be negative."
            )
    return matrix


def _first_place(matrix: Any, wrong: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the first entry that is wrong."""
    if wrong.ndim == 2:
        row, column = np.argwhere(wrong)[0]
        return int(row), int(column)
    entry = int(np.flatnonzero(wrong)[0])
    row = np.searchsorted(matrix.indptr, entry, side="right") - 1
    return int(row), int(matrix.indices[entry])
