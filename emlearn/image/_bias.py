"""A smooth field that is added to the logarithms of intensities: its basis and its M-step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from emlearn.distributions.gaussian.forms import GaussianStatistics
from emlearn.distributions.gaussian.prior import in_layout
from emlearn.distributions.gaussian.structures import CovarianceStructure

Array = NDArray[Any]

_TINY = 1e-300


class FieldMoments(NamedTuple):
    """What the M-step needs of a field; additive.

    Attributes
    ----------
    basis : ndarray of shape (n_classes, n_basis)
        Sums of q phi.
    square : ndarray of shape (n_classes, n_basis, n_basis)
        Sums of q phi phi'.
    cross : ndarray of shape (n_classes, n_channels, n_basis)
        Sums of q r phi, where r is the residual of the mean of the class.
    """

    basis: Array
    square: Array
    cross: Array


@dataclass(frozen=True, eq=False)
class FieldBasis:
    """Products of Legendre polynomials along the axes, without the constant.

    Their means over the mask are subtracted, so that a field has the mean 0.

    Parameters
    ----------
    shape : tuple of int
        Shape of the grid.
    degree : int
        Largest total degree.
    mask : ndarray of shape `shape` or None, default=None
        Voxels that belong to the image; None means all.
    """

    shape: tuple[int, int, int]
    degree: int
    mask: NDArray[np.bool_] | None = None

    @cached_property
    def _along(self) -> list[Array]:
        """Polynomials along each axis, (size, degree + 1); fewer on short axes."""
        ends = [(-1.0, 1.0) if n > 1 else (0.0, 0.0) for n in self.shape]
        return [
            legendre.legvander(np.linspace(*end, n), min(self.degree, n - 1))
            for end, n in zip(ends, self.shape, strict=True)
        ]

    @cached_property
    def _degrees(self) -> tuple[Array, Array, Array]:
        """Degrees of each function along the axes."""
        degrees = np.indices([part.shape[1] for part in self._along]).reshape(3, -1)
        total = degrees.sum(axis=0)
        first, second, third = degrees[:, (total > 0) & (total <= self.degree)]
        return first, second, third

    @property
    def n_basis(self) -> int:
        """Number of functions."""
        return len(self._degrees[0])

    @cached_property
    def _means(self) -> Array:
        """Means of the functions over the mask."""
        inside = np.ones(self.shape) if self.mask is None else self.mask.astype(np.float64)
        found: Array = _contract(inside, self._along)[self._degrees] / inside.sum()
        return found

    def field(self, coefficients: Array) -> Array:
        """The field with these coefficients (n_basis,), on the grid."""
        first, second, third = self._along
        tensor = np.zeros([part.shape[1] for part in self._along])
        tensor[self._degrees] = coefficients
        planes = np.tensordot(first, tensor, axes=1)
        found: Array = np.matmul(second, planes) @ third.T
        return found - self._means @ coefficients

    def moments(self, q: Array, residuals: Iterable[Array]) -> FieldMoments:
        """Moments of voxels.

        Parameters
        ----------
        q : ndarray of shape (n_classes, n_planes, n_lines, length)
            Probabilities of the classes.
        residuals : iterable of ndarray of shape (n_channels, n_planes, n_lines, length)
            Intensities less the mean of each class.

        Returns
        -------
        moments : FieldMoments
            The sums.
        """
        pairs = [(p[:, :, None] * p[:, None, :]).reshape(len(p), -1) for p in self._along]
        shape = [part.shape[1] for part in self._along for _ in (0, 1)]
        a, b, c = self._degrees
        basis, square, cross = [], [], []
        mean = self._means
        for own, residual in zip(q, residuals, strict=True):
            products = _contract(own, pairs).reshape(shape)
            weight, sums = products[0, 0, 0, 0, 0, 0], products[a, 0, b, 0, c, 0]
            squares = products[a[:, None], a, b[:, None], b, c[:, None], c]
            basis.append(sums - weight * mean)
            square.append(squares - np.outer(mean, sums) - np.outer(basis[-1], mean))
            found = np.array([_contract(own * r, self._along) for r in residual])
            cross.append(found[:, a, b, c] - found[:, 0, 0, 0, None] * mean)
        return FieldMoments(np.array(basis), np.array(square), np.array(cross))


def _contract(values: Array, along: list[Array]) -> Array:
    """Sums of values times functions of each coordinate, for all triples of functions."""
    first, second, third = along
    kind = values.dtype
    planes = np.matmul(second.T.astype(kind), np.matmul(values, third.astype(kind)))
    # Sums over planes are in double precision.
    found: Array = np.tensordot(first, planes.astype(np.float64), axes=(0, 0))
    return found


def field_step(
    statistics: GaussianStatistics,
    moments: FieldMoments,
    precisions: Array,
    structure: CovarianceStructure,
    *,
    means_are_held: bool = False,
) -> tuple[Array, GaussianStatistics]:
    """Change of the field that maximizes the expected log-density, with the best means.

    Parameters
    ----------
    statistics : GaussianStatistics
        Statistics about the means, given the field so far.
    moments : FieldMoments
        Moments of the same residuals.
    precisions : ndarray of shape (n_classes, n_channels, n_channels)
        Inverses of the covariances.
    structure : CovarianceStructure
        Structure of the covariances.
    means_are_held : bool, default=False
        Whether the means stay as they are.

    Returns
    -------
    change : ndarray of shape (n_channels, n_basis)
        Added to the coefficients.
    moved : GaussianStatistics
        Statistics given the new field.
    """
    weight, first, second = statistics
    basis, square, cross = moments
    n_channels, n_basis = cross.shape[1:]
    left, right = square, cross
    if not means_are_held:
        # The means are best for each field: they are eliminated.
        mean = basis / np.maximum(weight, _TINY)[:, None]
        left = square - basis[:, :, None] * mean[:, None, :]
        right = cross - first[:, :, None] * mean[:, None, :]
    size = n_channels * n_basis
    left = np.einsum("kij,kmn->imjn", precisions, left).reshape(size, size)
    right = np.einsum("kij,kjm->im", precisions, right).ravel()
    change = np.linalg.lstsq(left, right, rcond=1e-10)[0].reshape(n_channels, n_basis)
    taken = cross @ change.T
    scatter = change @ square @ change.T - taken - taken.transpose(0, 2, 1)
    moved = GaussianStatistics(
        weight, first - basis @ change.T, second + in_layout(structure, scatter)
    )
    return change, moved
