"""Kinds of noise covariances: full, diagonal, and one variance for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.constrained import scoring
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Curved, Entries, Part, Symmetric
from emlearn.statespace._system import as_matrix

Array = NDArray[np.float64]
KindName = Literal["full", "diag", "scalar"]

# Steps of scoring in one M-step.
_STEPS = 3
# How much of the floor a covariance at the floor is above it, so that it has a logarithm.
_ABOVE = 1e-10
# Coordinates beyond which a covariance is out of range.
_STEEPEST, _LONGEST = 1e8, 300.0
_TINY = float(np.finfo(np.float64).tiny)


class CovarianceKind(ABC):
    """Strategy for a covariance; diagonal ones are vectors."""

    @abstractmethod
    def estimate(self, squares: Array, count: Array | float, floor: Array | None) -> Array:
        """The covariance that maximizes the expected objective.

        Parameters
        ----------
        squares : ndarray of shape (d, d) or (d,)
            Sums of squares.
        count : float or ndarray of shape (d,)
            Weighted numbers of rows.
        floor : ndarray of shape (d,) or None
            Least variances. A full covariance is at least the diagonal matrix of these.
        """

    @abstractmethod
    def estimate_held(
        self, squares: Array, count: Array | float, floor: Array | None, held: Array, now: Array
    ) -> Array:
        """As `estimate`, with the entries of a matrix held; NaN where free. `now` has them."""

    @abstractmethod
    def compress(self, matrix: Array) -> Array:
        """What stands for a covariance matrix."""

    @abstractmethod
    def structural(self, size: int) -> Callable[[Array], Array]:
        """What is 0 in a change of the matrix that keeps it of this kind, as a function of it."""

    @abstractmethod
    def part(self, axes: tuple[str, str], size: int) -> Part:
        """What the published matrix is."""

    @abstractmethod
    def to_vector(self, covariance: Array, floor: Array | None = None) -> Array:
        """What the covariance is above the floor as an unconstrained vector."""

    @abstractmethod
    def from_vector(self, vector: Array, size: int, floor: Array | None = None) -> Array:
        """Inverse of `to_vector`."""

    @abstractmethod
    def pull(
        self,
        covariance: Array,
        slope: Array,
        total: Array | float,
        floor: Array | None = None,
    ) -> tuple[Array, Array]:
        """Derivatives by the entries of the vector, and what complete data tell of each.

        Parameters
        ----------
        covariance : ndarray
            The covariance.
        slope : ndarray of shape (d, d)
            Derivatives by the entries of the matrix.
        total : float or ndarray of shape (d,)
            Weighted numbers of rows.
        floor : ndarray of shape (d,), default=None
            Least variances.

        Returns
        -------
        gradient, information : ndarray of shape (n_entries,)
            Derivatives, and minus the expected second ones.
        """

    @abstractmethod
    def n_entries(self, size: int) -> int:
        """Length of the vector."""


class FullCovariance(CovarianceKind):
    """Any covariance matrix."""

    def estimate(self, squares: Array, count: Array | float, floor: Array | None) -> Array:
        """See `CovarianceKind`; eigenvalues in units of the floor are at least 1."""
        found = squares / count
        found = 0.5 * (found + found.T)
        if floor is None:
            return found
        unit = np.sqrt(floor)
        values, vectors = np.linalg.eigh(found / unit[:, None] / unit)
        if values[0] >= 1.0:
            return found
        found = (vectors * np.maximum(values, 1.0)) @ vectors.T
        return 0.5 * (found + found.T) * unit[:, None] * unit

    def estimate_held(
        self, squares: Array, count: Array | float, floor: Array | None, held: Array, now: Array
    ) -> Array:
        """See `CovarianceKind`: steps of scoring."""
        if not np.isnan(held).any():
            return held
        target = squares / count
        return scoring(0.5 * (target + target.T), now, np.isnan(held), _STEPS)

    def compress(self, matrix: Array) -> Array:
        """See `CovarianceKind`."""
        return matrix

    def structural(self, size: int) -> Callable[[Array], Array]:
        """See `CovarianceKind`: nothing."""
        return lambda change: np.empty(0)

    def part(self, axes: tuple[str, str], size: int) -> Part:
        """See `CovarianceKind`."""
        return Symmetric(axes)

    def to_vector(self, covariance: Array, floor: Array | None = None) -> Array:
        """See `CovarianceKind`: the Cholesky factor, with logarithms on the diagonal."""
        above = covariance if floor is None else covariance - np.diag((1.0 - _ABOVE) * floor)
        size = np.sqrt(np.maximum(np.diagonal(above), _TINY))
        try:
            root = size[:, None] * np.linalg.cholesky(above / size[:, None] / size)
        except np.linalg.LinAlgError:
            if floor is None:
                raise DegenerateModelError("a covariance is not positive definite") from None
            root = self._rounded_root(above, floor)
        diagonal = np.diagonal(root).copy()
        if not (diagonal > 0.0).all():
            raise DegenerateModelError("a covariance is not positive definite")
        root = root / diagonal
        return np.concatenate((np.log(diagonal), root[np.tril_indices(len(root), -1)]))

    @staticmethod
    def _rounded_root(above: Array, floor: Array) -> Array:
        """Cholesky factor of a matrix that rounding made indefinite."""
        unit = np.sqrt(floor)
        values, vectors = np.linalg.eigh(above / unit[:, None] / unit)
        half = vectors * np.sqrt(np.maximum(values, _ABOVE))
        root = np.asarray(np.linalg.qr(half.T)[1], np.float64).T
        return unit[:, None] * root * np.where(np.diagonal(root) < 0.0, -1.0, 1.0)

    def from_vector(self, vector: Array, size: int, floor: Array | None = None) -> Array:
        """See `CovarianceKind`."""
        if (np.abs(vector[size:]) > _STEEPEST).any():
            raise DegenerateModelError("a covariance is out of range")
        root = np.eye(size)
        root[np.tril_indices(size, -1)] = vector[size:]
        root = root * _exponential(vector[:size])
        found = root @ root.T
        return found if floor is None else found + np.diag(floor)

    def pull(
        self,
        covariance: Array,
        slope: Array,
        total: Array | float,
        floor: Array | None = None,
    ) -> tuple[Array, Array]:
        """See `CovarianceKind`: of the root, then of its diagonal and of what is below."""
        size = len(covariance)
        vector = self.to_vector(covariance, floor)
        diagonal = np.exp(vector[:size])
        below = np.tril_indices(size, -1)
        root = np.eye(size)
        root[below] = vector[size:]
        by_root = (slope + slope.T) @ (root * diagonal)
        by_diagonal = (by_root * root).sum(axis=0) * diagonal
        precision = np.linalg.inv(covariance)
        moved = precision @ root
        along = (root * moved).sum(axis=0)
        both = np.diagonal(precision)[:, None] * along + moved**2
        # The second term is that of a root which is short: moving it adds its square.
        added = np.maximum(-2.0 * np.diagonal(slope), 0.0)[:, None] * diagonal**2
        information = (total * both * diagonal**4 + added)[below]
        found = np.concatenate((by_diagonal, (by_root * diagonal)[below]))
        every = np.concatenate((2.0 * total * (along * diagonal**2) ** 2, information))
        return found, np.maximum(every, np.abs(found))

    def n_entries(self, size: int) -> int:
        """See `CovarianceKind`."""
        return size * (size + 1) // 2


class DiagonalCovariance(CovarianceKind):
    """A variance for each column, uncorrelated."""

    def estimate(self, squares: Array, count: Array | float, floor: Array | None) -> Array:
        """See `CovarianceKind`."""
        own = np.diagonal(squares) if squares.ndim == 2 else squares
        return np.maximum(own / count, _TINY if floor is None else floor)

    def estimate_held(
        self, squares: Array, count: Array | float, floor: Array | None, held: Array, now: Array
    ) -> Array:
        """See `CovarianceKind`."""
        own = np.diagonal(held)
        return np.where(np.isnan(own), self.estimate(squares, count, floor), own)

    def compress(self, matrix: Array) -> Array:
        """See `CovarianceKind`."""
        return np.diagonal(matrix).copy()

    def structural(self, size: int) -> Callable[[Array], Array]:
        """See `CovarianceKind`: what is off the diagonal."""
        return lambda change: change[np.triu_indices(size, 1)]

    def part(self, axes: tuple[str, str], size: int) -> Part:
        """See `CovarianceKind`."""
        return DiagonalEntries(axes, lower=0.0)

    def to_vector(self, covariance: Array, floor: Array | None = None) -> Array:
        """See `CovarianceKind`: logarithms."""
        return np.log(_excess(covariance, floor))

    def from_vector(self, vector: Array, size: int, floor: Array | None = None) -> Array:
        """See `CovarianceKind`."""
        found = _exponential(vector)
        return found if floor is None else found + floor

    def pull(
        self,
        covariance: Array,
        slope: Array,
        total: Array | float,
        floor: Array | None = None,
    ) -> tuple[Array, Array]:
        """See `CovarianceKind`."""
        excess = _excess(covariance, floor)
        found = np.diagonal(slope) * excess
        return found, np.maximum(0.5 * total * (excess / covariance) ** 2, np.abs(found))

    def n_entries(self, size: int) -> int:
        """See `CovarianceKind`."""
        return size


class ScalarCovariance(CovarianceKind):
    """One variance for all columns, uncorrelated."""

    def estimate(self, squares: Array, count: Array | float, floor: Array | None) -> Array:
        """See `CovarianceKind`."""
        own = np.diagonal(squares) if squares.ndim == 2 else squares
        every = np.broadcast_to(np.asarray(count, float), own.shape)
        least = _TINY if floor is None else float(floor.max())
        return np.full(len(own), max(float(own.sum() / every.sum()), least))

    def estimate_held(
        self, squares: Array, count: Array | float, floor: Array | None, held: Array, now: Array
    ) -> Array:
        """See `CovarianceKind`: it is held as a whole."""
        own = np.diagonal(held)
        return self.estimate(squares, count, floor) if np.isnan(own).any() else own

    def compress(self, matrix: Array) -> Array:
        """See `CovarianceKind`."""
        return np.full(len(matrix), np.diagonal(matrix).mean())

    def structural(self, size: int) -> Callable[[Array], Array]:
        """See `CovarianceKind`: what is off the diagonal, and differences on it."""
        return lambda change: np.concatenate(
            (change[np.triu_indices(size, 1)], np.diff(np.diagonal(change)))
        )

    def part(self, axes: tuple[str, str], size: int) -> Part:
        """See `CovarianceKind`."""
        return Curved(
            lambda matrix: np.log(np.diagonal(matrix)[:1]),
            lambda vector: np.exp(vector[0]) * np.eye(size),
            1,
            axes,
            symmetric=True,
        )

    def to_vector(self, covariance: Array, floor: Array | None = None) -> Array:
        """See `CovarianceKind`: the logarithm."""
        return np.log(_excess(covariance[:1], None if floor is None else floor.max(keepdims=True)))

    def from_vector(self, vector: Array, size: int, floor: Array | None = None) -> Array:
        """See `CovarianceKind`."""
        least = 0.0 if floor is None else float(floor.max())
        return np.full(size, _exponential(vector)[0] + least)

    def pull(
        self,
        covariance: Array,
        slope: Array,
        total: Array | float,
        floor: Array | None = None,
    ) -> tuple[Array, Array]:
        """See `CovarianceKind`."""
        every = np.broadcast_to(np.asarray(total, np.float64), covariance.shape)
        excess = _excess(covariance[:1], None if floor is None else floor.max(keepdims=True))
        found = np.trace(slope) * excess
        information = 0.5 * every.sum() * (excess / covariance[:1]) ** 2
        return found, np.maximum(information, np.abs(found))

    def n_entries(self, size: int) -> int:
        """See `CovarianceKind`."""
        return 1


class DiagonalEntries(Entries):
    """Diagonal matrices, whose other entries are 0."""

    def _free(self, fixed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return ~fixed & np.eye(fixed.shape[-1], dtype=bool)

    def check(self, fixed: Array, name: str) -> Array:
        """See `Part`."""
        super().check(fixed, name)
        diagonal = np.eye(len(fixed), dtype=bool)
        if (np.nan_to_num(fixed[~diagonal]) != 0.0).any():
            raise ValueError(
                f"fixed[{name!r}] has entries off the diagonal, but the noise is diagonal."
            )
        if (fixed[diagonal] <= 0.0).any():
            raise ValueError(f"fixed[{name!r}] has variances that are not positive.")
        return np.where(diagonal, fixed, 0.0)

    def shown(self, at: Array) -> NDArray[np.bool_]:
        """See `Part`: the diagonal."""
        return np.eye(len(at), dtype=bool)


KINDS: dict[str, CovarianceKind] = {
    "full": FullCovariance(),
    "diag": DiagonalCovariance(),
    "scalar": ScalarCovariance(),
}


def gradient(covariance: Array, squares: Array, count: Array | float) -> tuple[Array, Array]:
    """Precision, and derivatives of the expected objective by the entries of the covariance.

    Parameters
    ----------
    covariance : ndarray of shape (d, d) or (d,)
        The covariance, or its diagonal.
    squares, count
        See `CovarianceKind.estimate`.

    Returns
    -------
    precision, gradient : ndarray of shape (d, d)
        Both as matrices; diagonal covariances have a diagonal gradient.
    """
    if covariance.ndim == 1:
        own = np.diagonal(squares) if squares.ndim == 2 else squares
        return np.diag(1.0 / covariance), np.diag(0.5 * (own - count * covariance) / covariance**2)
    try:
        precision = np.asarray(np.linalg.inv(covariance), np.float64)
    except np.linalg.LinAlgError:
        raise DegenerateModelError("a covariance is singular") from None
    slope: Array = 0.5 * precision @ (as_matrix(squares) - count * covariance) @ precision
    return precision, slope


def _excess(variances: Array, floor: Array | None) -> Array:
    """Variances above the floor; a little where they are at it."""
    if floor is None:
        return np.maximum(variances, _TINY)
    return np.maximum(variances - floor, _ABOVE * floor)


def _exponential(vector: Array) -> Array:
    if (np.abs(vector) > _LONGEST).any():
        raise DegenerateModelError("a covariance is out of range")
    return np.exp(vector)
