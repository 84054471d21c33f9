"""Kinships: how the levels of a grouping factor are related."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, eigvalsh
from scipy.linalg.lapack import dpstrf
from scipy.sparse import issparse

from emlearn.data.arrays import is_foreign
from emlearn.data.frames import columns_of, eager, is_pandas, is_polars, whole_block
from emlearn.data.names import at_start
from emlearn.data.values import is_absent, to_floats

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Self = TypeVar("Self", bound="Kinship")

# A dense matrix of this size has 800 MB.
_MOST_SPARSE_LEVELS = 10_000

_NAMES = "If a column of a frame names the rows, make it the index: set_index."


class Kinship(ABC):
    """Covariance of the random effects of levels, up to a variance.

    There are two kinds: those with a `square_root`, which is dense, and those that also have a
    sparse `precision`. `has_precision` says which. Kinships are immutable: `copy.deepcopy` and
    `sklearn.base.clone` return the same object, without a copy of its data.
    """

    has_precision: bool = False

    @property
    @abstractmethod
    def levels(self) -> NDArray[Any]:
        """Identifiers of all levels, also of those without observations, (n_levels,)."""

    @abstractmethod
    def square_root(self) -> Array:
        """F with ``F @ F.T`` the covariance, (n_levels, rank)."""

    @abstractmethod
    def diagonal(self) -> Array:
        """Diagonal of the covariance, (n_levels,)."""

    def precision(self) -> Any:
        """Inverse of the covariance as a sparse CSC matrix."""
        raise NotImplementedError

    def log_det_precision(self) -> float:
        """Logarithm of the determinant of the precision."""
        raise NotImplementedError

    @property
    def rank(self) -> int:
        """Largest rank that the covariance can have."""
        return self.square_root().shape[1]

    def covariance(self, rows: Index, columns: Index) -> Array:
        """Covariance of some levels with others, dense.

        Parameters
        ----------
        rows, columns : ndarray of int of shape (n,) and (m,)
            Positions of the levels.

        Returns
        -------
        covariance : ndarray of shape (n, m)
            A copy.
        """
        root = self.square_root()
        left = root[rows]
        # Of a product with itself, numpy computes one half.
        right = left if columns is rows else root[columns]
        return left @ right.T

    def relationship(self) -> Array:
        """The covariance of the levels, dense.

        Returns
        -------
        relationship : ndarray of shape (n_levels, n_levels)
            The covariance.
        """
        root = self.square_root()
        return root @ root.T

    def positions(self, identifiers: NDArray[Any]) -> Index:
        """Position of each identifier among the levels.

        Parameters
        ----------
        identifiers : ndarray of shape (n,)
            Identifiers.

        Returns
        -------
        positions : ndarray of int of shape (n,)
            Their positions; -1 where one is unknown.
        """
        known = {level: i for i, level in enumerate(self.levels.tolist())}
        return np.array([known.get(value, -1) for value in identifiers.tolist()], np.intp)

    def __deepcopy__(self: Self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_levels={len(self.levels)})"


class KernelKinship(Kinship):
    """A kinship given by its covariance.

    Parameters
    ----------
    levels : ndarray of shape (n_levels,)
        Identifiers of the levels.
    root : ndarray of shape (n_levels, rank)
        Square root of the covariance.
    """

    def __init__(self, levels: NDArray[Any], root: Array):
        self._levels = levels
        self._root = read_only(root)

    @property
    def levels(self) -> NDArray[Any]:
        """Identifiers of the levels, (n_levels,)."""
        return self._levels

    def square_root(self) -> Array:
        """F with ``F @ F.T`` the covariance, (n_levels, rank)."""
        return self._root

    def diagonal(self) -> Array:
        """Diagonal of the covariance, (n_levels,)."""
        return np.einsum("ij,ij->i", self._root, self._root)


def as_kinship(kinship: Any, name: str) -> Kinship:
    """A kinship from what a user gives: a matrix, a frame, a `Kinship`.

    Parameters
    ----------
    kinship : Kinship, DataFrame, sparse matrix or array-like of shape (n_levels, n_levels)
        Rows and columns of a frame are named by the levels; the columns may be in another order
        than the rows. A frame of polars, which has no index, names the rows in an additional
        first column, or else its rows are in the order of its columns. The levels of an array
        are numbered: 0, 1, 2 ...
    name : str
        Name of the term, for messages.

    Returns
    -------
    kinship : Kinship
        The kinship. Small negative eigenvalues that are due to rounding count as 0.

    Raises
    ------
    ValueError
        If it is not square, symmetric, finite and positive semi-definite, or if names are
        repeated or differ between rows and columns.
    """
    if isinstance(kinship, Kinship):
        return kinship
    if isinstance(kinship, type) and issubclass(kinship, Kinship):
        raise TypeError(f"The kinship of {name!r} is the class {kinship.__name__}, not an object.")
    where = f"the kinship of {name!r}"
    kinship = eager(kinship)
    if is_pandas(kinship) or is_polars(kinship):
        levels, matrix = _of_frame(kinship, where)
    else:
        matrix = _of_array(kinship, where)
        levels = read_only(np.arange(len(matrix)))
    precision = np.finfo(matrix.dtype).eps if matrix.dtype.kind == "f" else np.finfo(float).eps
    covariance = _symmetric(matrix.astype(np.float64), np.sqrt(precision), levels, where)
    return KernelKinship(levels, root_of(covariance, np.sqrt(precision), where))


# ---- matrices and frames ---------------------------------------------------------------


def _of_array(kinship: Any, where: str) -> NDArray[Any]:
    sparse: bool = issparse(kinship)
    if sparse:
        if max(kinship.shape) > _MOST_SPARSE_LEVELS:
            raise ValueError(
                f"{at_start(where)} is a sparse matrix of shape {kinship.shape}. Sparse matrices "
                f"become dense, so at most {_MOST_SPARSE_LEVELS} levels are taken; a Pedigree "
                "stays sparse."
            )
        kinship = kinship.toarray()
    if is_foreign(kinship):
        raise TypeError(f"{at_start(where)} is a {type(kinship).__name__}. Pass a NumPy array.")
    if isinstance(kinship, str) or not hasattr(kinship, "__len__"):
        raise TypeError(
            f"{at_start(where)} is a {type(kinship).__name__}. Pass a matrix or a DataFrame (of a "
            "kernel, its values at all levels), a Pedigree or Genotypes."
        )
    try:
        matrix = np.asarray(kinship)
    except ValueError:
        raise ValueError(
            f"{at_start(where)} is a list whose rows differ in length. Pass a square matrix."
        ) from None
    _require_square(matrix.shape, where)
    if matrix.dtype.kind in "biuf":
        return to_floats(matrix, where, str)
    return matrix_of(list(matrix.T), range(len(matrix)), where, _NAMES)


def _of_frame(frame: Any, where: str) -> tuple[NDArray[Any], NDArray[Any]]:
    columns = list(frame.columns)
    values = None if is_polars(frame) else whole_block(frame)
    if is_polars(frame):
        named = frame.shape[1] == frame.shape[0] + 1
        rows = frame.to_series(0).to_list() if named else columns
        frame, columns = (frame[:, 1:], columns[1:]) if named else (frame, columns)
    else:
        rows = frame.index.tolist()
    _require_square(frame.shape, where)
    levels = distinct(rows, f"rows of {where}")
    columns = distinct(columns, f"columns of {where}").tolist()
    order = _order(levels.tolist(), columns, where)
    if values is None:
        values = matrix_of(columns_of(frame), columns, where, _NAMES)
    return levels, to_floats(values, where, str)[:, order]


def matrix_of(
    values: list[NDArray[Any]], names: Sequence[Any], where: str, advice: str
) -> NDArray[Any]:
    """Matrix of the columns with the given names; `advice` is what to do about text."""
    columns = []
    for value, name in zip(values, names, strict=True):
        place = f"column {name!r} of {where}"
        columns.append(to_floats(value, place, partial(_row, place), advice))
    return np.column_stack(columns)


def _row(place: str, row: int) -> str:
    return f"{place}, row {row}"


def _order(rows: list[Any], columns: list[Any], where: str) -> list[int]:
    """Where each level is among the columns, which files can only name by text."""
    if all(isinstance(column, str) for column in columns):
        rows = [str(row) for row in rows]
    places = {column: j for j, column in enumerate(columns)}
    missing = [row for row in rows if row not in places]
    if missing:
        raise ValueError(
            f"Rows and columns of {where} are not the same levels: row {missing[0]!r} has no "
            "column. Name both by the levels."
        )
    return [places[row] for row in rows]


def _require_square(shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(
            f"{at_start(where)} has shape {shape}, but it needs one row and one column for each "
            f"level. {_NAMES} Parents are read by Pedigree.from_frame, markers by Genotypes."
        )
    if not shape[0]:
        raise ValueError(f"{at_start(where)} is empty.")


def _symmetric(matrix: Array, tolerance: float, levels: NDArray[Any], where: str) -> Array:
    """The symmetric part of a finite matrix that is symmetric up to rounding."""
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise ValueError(
            f"{at_start(where)} has {matrix[i, j]} in row {_show(levels[i])}, column "
            f"{_show(levels[j])}. All its entries must be finite."
        )
    size = np.abs(matrix).max()
    if size == 0:
        raise ValueError(f"{at_start(where)} has only zeros. Leave out the term instead.")
    with np.errstate(over="ignore"):
        gaps = np.abs(matrix - matrix.T)
    i, j = np.unravel_index(np.argmax(gaps), gaps.shape)
    if gaps[i, j] > tolerance * size:
        a, b = _show(levels[i]), _show(levels[j])
        raise ValueError(
            f"{at_start(where)} is not symmetric: it is {matrix[i, j]:.6g} in row {a}, column {b} "
            f"and {matrix[j, i]:.6g} in row {b}, column {a}. Pass (K + K.T) / 2 if that is right."
        )
    return matrix / 2 + matrix.T / 2


# ---- square roots ----------------------------------------------------------------------


def root_of(covariance: Array, tolerance: float, where: str) -> Array:
    """F with ``F @ F.T`` equal to a positive semi-definite matrix, (n, rank).

    By Cholesky factorization with complete pivoting. Where rounding leaves it in doubt whether
    the matrix is positive semi-definite, its eigenvalues decide.

    Parameters
    ----------
    covariance : ndarray of shape (n, n)
        Symmetric matrix, not 0.
    tolerance : float
        Negative eigenvalues are taken for 0 down to this multiple of the largest one.
    where : str
        What the matrix is, for messages.

    Raises
    ------
    ValueError
        If the matrix is not positive semi-definite.

    References
    ----------
    Higham, N. J. (2002). Accuracy and Stability of Numerical Algorithms, 2nd ed., section 10.3.
    SIAM.
    """
    size, n = np.abs(covariance).max(), len(covariance)
    # The last pivot of a centered matrix is n times its smallest eigenvalue, which is rounding.
    small = n**2 * np.finfo(float).eps
    scaled = covariance / size
    factor, pivots, rank, _ = dpstrf(scaled, lower=1)
    order = pivots - 1
    lower = np.tril(factor)[:, :rank]
    last = order[rank:]
    left = scaled[np.ix_(last, last)] - lower[rank:] @ lower[rank:].T
    if rank and np.abs(left).max(initial=0.0) <= small:
        root = np.empty_like(lower)
        root[order] = lower
        return np.sqrt(size) * root
    _require_semidefinite(scaled, size, tolerance, where)
    values, vectors = eigh(scaled)
    kept = values > n * np.finfo(float).eps * values[-1]
    return np.sqrt(size) * vectors[:, kept] * np.sqrt(values[kept])


def _require_semidefinite(scaled: Array, size: float, tolerance: float, where: str) -> None:
    values = eigvalsh(scaled)
    if values[0] < -tolerance * values[-1]:
        raise ValueError(
            f"{at_start(where)} is not positive semi-definite: its smallest eigenvalue is "
            f"{size * values[0]:.3g}, its largest {size * values[-1]:.3g}. If this is rounding, "
            "add a small multiple of the identity: "
            f"K + {-1.1 * size * values[0]:.2g} * numpy.eye(n)."
        )


# ---- identifiers -----------------------------------------------------------------------


def listed(values: Any) -> list[Any]:
    """Identifiers in a column, an index, an array or a list, as Python objects."""
    for method in ("to_list", "tolist"):
        if hasattr(values, method):
            found = getattr(values, method)()
            break
    else:
        found = list(values)
    return [value.item() if isinstance(value, np.generic) else value for value in found]


def is_missing(value: Any) -> bool:
    """Whether an identifier is None, NaN, pandas.NA or pandas.NaT."""
    return is_absent(value) or (isinstance(value, float) and value != value)


def as_levels(identifiers: list[Any]) -> NDArray[Any]:
    """Array of identifiers: of integers if all are, else of objects."""
    if identifiers and all(type(value) is int for value in identifiers):
        return read_only(np.array(identifiers))
    levels = np.empty(len(identifiers), object)
    levels[:] = identifiers
    return read_only(levels)


def distinct(identifiers: list[Any], where: str) -> NDArray[Any]:
    """Array of identifiers that differ and are not missing."""
    identifiers = listed(identifiers)
    seen: set[Hashable] = set()
    for i, value in enumerate(identifiers):
        if is_missing(value):
            raise ValueError(f"Entry {i} of the names of the {where} is missing. Name all levels.")
        if value in seen:
            raise ValueError(f"Two {where} are named {value!r}. The names must differ.")
        seen.add(value)
    return as_levels(identifiers)


AnyArray = TypeVar("AnyArray", bound=NDArray[Any])


def read_only(array: AnyArray) -> AnyArray:
    """The array, which can no longer be changed."""
    array.flags.writeable = False
    return array


def _show(level: Any) -> str:
    """A level in messages."""
    return repr(level.item() if isinstance(level, np.generic) else level)
