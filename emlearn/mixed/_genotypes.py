"""Relationships of individuals by their genotypes at markers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lstsq, qr, solve_triangular

from emlearn.data.arrays import as_matrix
from emlearn.data.frames import columns_of, eager, is_pandas, is_polars, whole_block
from emlearn.data.names import at_start, label
from emlearn.mixed._kinship import (
    Index,
    Kinship,
    as_levels,
    distinct,
    listed,
    matrix_of,
    read_only,
    root_of,
)

Array = NDArray[np.float64]

# Entries of the blocks of markers that become float64 at a time (64 MB).
_BLOCK = 1 << 23
# Whole numbers up to here, and sums of such, are exact in float32.
_EXACT = 1 << 24

_COUNT = (
    "count the copies of an allele, 0, 1 or 2. A column of identifiers is named by individuals=."
)


class Genotypes(Kinship):
    """Genomic relationships of individuals (GBLUP).

    The covariance of the individuals is ``W @ W.T``, with W the genotypes, centered and scaled.
    A mixed model with this kinship is the same as one with an effect of each marker, all with
    one variance; `marker_effects` gives these effects. All individuals that are to be predicted
    must be in the table, with or without observations.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n_individuals, n_markers)
        Number of copies of one of the two alleles (0, 1, 2), or expected numbers. NaN and None
        are missing genotypes: the mean of the marker takes their place. The table is not copied
        if it has one numeric dtype, also a small one such as int8; do not change it afterwards.
    scaling : {"vanraden", "standardized"}, default="vanraden"
        "vanraden": all markers are divided by ``sqrt(sum(2 p (1 - p)))``, with p the frequency of
        the allele in the table [1]_. "standardized": each marker is divided by its standard
        deviation and the square root of the number of markers, so that rare alleles count as
        much as others; any numbers are allowed.
    individuals : array-like of shape (n_individuals,) or str, default=None
        Identifiers of the individuals, or the column of the DataFrame that has them. By default,
        the index of a DataFrame of pandas, else 0, 1, 2 ...

    Attributes
    ----------
    polymorphic : ndarray of bool of shape (n_markers,)
        Markers that are used: those whose known genotypes are not all the same.

    Raises
    ------
    ValueError
        If identifiers are repeated, if all markers are constant, if a genotype is infinite or,
        with scaling="vanraden", not between 0 and 2.

    See Also
    --------
    Pedigree : Relationships by a pedigree.

    Notes
    -----
    ``levels`` has the identifiers of the individuals.

    With more markers than individuals, only the matrix of relationships is formed, from one block
    of markers after the other, and never a matrix of pairs of markers.

    References
    ----------
    .. [1] VanRaden, P. M. (2008). Efficient methods to compute genomic predictions. Journal of
       Dairy Science, 91(11), 4414-4423.

    Examples
    --------
    >>> from emlearn.mixed import Genotypes
    >>> genotypes = Genotypes([[0, 1, 2], [1, 1, 0], [2, 1, 1]], individuals=["a", "b", "c"])
    >>> genotypes
    Genotypes(n_individuals=3, n_markers=3)
    >>> genotypes.relationship().tolist()
    [[2.0, -1.0, -1.0], [-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]
    >>> genotypes.polymorphic.tolist()
    [True, False, True]
    """

    def __init__(
        self,
        table: Any,
        *,
        scaling: Literal["vanraden", "standardized"] = "vanraden",
        individuals: Any = None,
    ):
        if scaling not in ("vanraden", "standardized"):
            raise ValueError(f"scaling must be 'vanraden' or 'standardized', not {scaling!r}.")
        self._table, self._levels, names = _read(table, individuals)
        self._means, lowest, highest = self._summary(names)
        self.polymorphic = read_only(highest > lowest)
        if not self.polymorphic.any():
            raise ValueError("All markers are constant, so they say nothing about relationships.")
        self._scales = np.zeros(len(names))
        if scaling == "vanraden":
            _require_counts(lowest, highest, names)
            frequencies = self._means[self.polymorphic] / 2
            self._scales[self.polymorphic] = (2 * frequencies * (1 - frequencies)).sum() ** -0.5
        else:
            deviations = np.concatenate(
                [np.sqrt(np.square(block).mean(axis=0)) for _, block in self._centered()]
            )
            self._scales[self.polymorphic] = deviations.size**-0.5 / deviations
        self._has_counts = scaling == "vanraden" and self._is_whole(lowest, highest)

    @property
    def levels(self) -> NDArray[Any]:
        """Identifiers of the individuals, (n_individuals,)."""
        return self._levels

    @property
    def rank(self) -> int:
        """The number of individuals or of used markers, whichever is smaller."""
        return min(len(self.levels), int(np.count_nonzero(self.polymorphic)))

    def relationship(self) -> Array:
        """The relationships of the individuals.

        Returns
        -------
        relationship : ndarray of shape (n_individuals, n_individuals)
            The covariance, read-only.
        """
        return self._products

    def covariance(self, rows: Index, columns: Index) -> Array:
        """Covariance of some individuals with others, dense.

        Parameters
        ----------
        rows, columns : ndarray of int of shape (n,) and (m,)
            Positions of the individuals.

        Returns
        -------
        covariance : ndarray of shape (n, m)
            A copy.
        """
        if self._is_wide:
            return self._products[np.ix_(rows, columns)]
        return super().covariance(rows, columns)

    def square_root(self) -> Array:
        """F with ``F @ F.T`` the relationships.

        Returns
        -------
        root : ndarray of shape (n_individuals, rank)
            The centered and scaled markers if they are at most as many as individuals, else a
            Cholesky factor of the relationships.
        """
        return self._root

    def diagonal(self) -> Array:
        """Relationships of individuals with themselves.

        Returns
        -------
        diagonal : ndarray of shape (n_individuals,)
            The diagonal of the relationships.
        """
        if self._is_wide:
            return np.diagonal(self._products)
        return np.einsum("ij,ij->i", self._root, self._root)

    def marker_effects(self, effects: Any) -> Array:
        """Effects of the markers from those of the individuals.

        Of all effects of scaled markers that add up to the effects of the individuals, those
        with the smallest sum of squares. If `effects` are the BLUP of the individuals, these are
        the BLUP of the markers.

        Parameters
        ----------
        effects : array-like of shape (n_individuals,) or (n_individuals, n_effects)
            Effects of the individuals, in the order of ``levels``.

        Returns
        -------
        marker_effects : ndarray of shape (n_markers,) or (n_markers, n_effects)
            Effect of a unit of each column of the table; 0 for those that are not used. The
            effects of individuals are ``(table - means) @ marker_effects``.

        Raises
        ------
        ValueError
            If the shape is wrong, or if an effect is not finite.
        """
        wanted = np.asarray(effects, dtype=np.float64)
        if wanted.ndim not in (1, 2) or len(wanted) != len(self.levels):
            raise ValueError(
                f"effects has shape {wanted.shape}, but needs {len(self.levels)} rows: one for "
                "each of the levels, in their order."
            )
        if not np.isfinite(wanted).all():
            raise ValueError("effects has NaN or infinity. Give a finite effect of each level.")
        if self._is_wide:
            dual = _dual(self._root, wanted)
            found = np.concatenate([block.T @ dual for _, block in self._blocks()])
        else:
            found = _minimum_norm(self._root, wanted)
        by_marker = np.zeros((len(self.polymorphic), *found.shape[1:]))
        by_marker[self.polymorphic] = found
        return (by_marker.T * self._scales).T

    def __repr__(self) -> str:
        n, p = self._table.shape
        return f"Genotypes(n_individuals={n}, n_markers={p})"

    @property
    def _is_wide(self) -> bool:
        return bool(np.count_nonzero(self.polymorphic) > len(self.levels))

    @cached_property
    def _root(self) -> Array:
        if not self._is_wide:
            return read_only(np.hstack([block for _, block in self._blocks()]))
        rounding = np.sqrt(np.finfo(float).eps)
        return read_only(root_of(self._products, rounding, "the matrix of genomic relationships"))

    @cached_property
    def _products(self) -> Array:
        """The relationships."""
        n = len(self.levels)
        if not self._has_counts:
            return read_only(_sum_of_products((block for _, block in self._blocks()), n))
        # All markers have one scale: centering is that of rows and columns, afterwards.
        products = _sum_of_products(self._counts(), n, np.float32).astype(np.float64)
        means = products.mean(axis=0)
        products -= means
        products -= (means - means.mean())[:, None]
        products *= self._scales.max() ** 2
        return read_only(products)

    def _is_whole(self, lowest: Array, highest: Array) -> bool:
        """Whether products of counts are exact in float32, in which they are twice as fast."""
        table = self._table
        if table.dtype.kind not in "biu" or np.ma.is_masked(table):
            return False
        middle = np.rint(self._means)
        largest = np.maximum(highest - middle, middle - lowest)
        return bool(np.square(largest).sum() < _EXACT)

    def _counts(self) -> Iterator[NDArray[np.float32]]:
        """The used markers less the whole number next to their means, block by block."""
        for part, values in self._parts():
            used = self.polymorphic[part]
            middle = np.rint(self._means[part]).astype(np.float32)
            counts = np.subtract(values, middle, dtype=np.float32, casting="same_kind")
            yield counts if used.all() else counts[:, used]

    def _blocks(self) -> Iterator[tuple[slice, Array]]:
        """The used markers, centered and scaled, block by block."""
        for part, centered in self._centered():
            centered *= self._scales[part][self.polymorphic[part]]
            yield part, centered

    def _centered(self) -> Iterator[tuple[slice, Array]]:
        """The used markers less their means, 0 where they are missing."""
        for part, values in self._parts():
            used = self.polymorphic[part]
            centered = values[:, used] - self._means[part][used]
            if values.dtype.kind == "f":
                np.nan_to_num(centered, copy=False)
            yield part, centered

    def _parts(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Blocks of columns: whole numbers, or float64 with NaN where genotypes are missing."""
        n, p = self._table.shape
        width = max(1, _BLOCK // n)
        for start in range(0, p, width):
            part = slice(start, min(start + width, p))
            values = self._table[:, part]
            numbers = np.ma.getdata(values)
            if numbers.dtype.kind == "f" or np.ma.is_masked(values):
                numbers = numbers.astype(np.float64)
                numbers[np.ma.getmaskarray(values)] = np.nan
            yield part, numbers

    def _summary(self, names: Any) -> tuple[Array, ...]:
        """Means and extremes of the markers; NaN if nothing is known, but for means of 0."""
        found = np.zeros((3, self._table.shape[1]))
        for part, values in self._parts():
            lowest, highest = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
            _require_not_infinite(values, lowest, highest, names[part], self._levels)
            known: Any = ~np.isnan(values) if values.dtype.kind == "f" else True
            counts = len(values) if known is True else np.maximum(known.sum(axis=0), 1)
            means = values.sum(axis=0, dtype=np.float64, where=known) / counts
            found[:, part] = means, lowest, highest
        return tuple(found)


def _sum_of_products(
    blocks: Iterator[NDArray[Any]], n: int, dtype: type[np.floating] = np.float64
) -> NDArray[Any]:
    """Sum of ``block @ block.T`` over blocks with n rows."""
    syrk = blas.ssyrk if dtype is np.float32 else blas.dsyrk
    total = np.zeros((n, n), dtype, order="F")
    for block in blocks:
        # The transpose is in the order of Fortran, as the sum: nothing is copied.
        total = syrk(1.0, block.T, 1.0, total, trans=1, lower=1, overwrite_c=1)
    for i in range(n):
        total[i, i:] = total[i:, i]
    return total


def _minimum_norm(matrix: Array, right: Array) -> Array:
    """The shortest of the solutions by least squares."""
    rounding = max(matrix.shape) * np.finfo(float).eps
    # By a rank-revealing QR factorization: several times faster than singular values.
    solution: Array = lstsq(matrix, right, rounding, lapack_driver="gelsy", check_finite=False)[0]
    return solution


def _dual(root: Array, right: Array) -> Array:
    """``pinv(root @ root.T) @ right`` for a root of full column rank."""
    basis, triangle = qr(root, mode="economic", check_finite=False)
    half = solve_triangular(triangle, basis.T @ right)
    dual: Array = basis @ solve_triangular(triangle, half, trans="T")
    return dual


# ---- reading ---------------------------------------------------------------------------


def _read(table: Any, individuals: Any) -> tuple[NDArray[Any], NDArray[Any], Any]:
    """Matrix of a numeric dtype, identifiers of its rows, and names of its columns."""
    table = eager(table)
    matrix: NDArray[Any] | None
    if not (is_pandas(table) or is_polars(table)):
        matrix = as_matrix(table, sequences=False)
        names = np.arange(matrix.shape[1])
        if matrix.dtype.kind not in "biuf":
            matrix = matrix_of(list(matrix.T), names.tolist(), "the genotypes", _COUNT)
    else:
        if isinstance(individuals, str):
            table, individuals = _without(table, individuals)
        elif individuals is None and is_pandas(table):
            individuals = table.index
        names = as_levels(list(table.columns))
        matrix = whole_block(table)
        if matrix is None:
            matrix = matrix_of(columns_of(table), names.tolist(), "the genotypes", _COUNT)
    n, p = matrix.shape
    if not (n and p):
        raise ValueError(f"The table of genotypes is empty: its shape is {matrix.shape}.")
    identifiers = list(range(n)) if individuals is None else listed(individuals)
    if len(identifiers) != n:
        raise ValueError(
            f"individuals has {len(identifiers)} identifiers, but the table has {n} rows."
        )
    return matrix, distinct(identifiers, "individuals"), names


def _without(frame: Any, column: str) -> tuple[Any, Any]:
    if column not in list(frame.columns):
        raise ValueError(f"individuals={column!r} is not a column of the table.")
    others = frame.drop(columns=column) if is_pandas(frame) else frame.drop(column)
    return others, frame[column]


def _require_not_infinite(
    values: Array, lowest: Array, highest: Array, names: Any, levels: NDArray[Any]
) -> None:
    wrong = np.isinf(lowest) | np.isinf(highest)
    if wrong.any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"{at_start(label(names.tolist(), column))} of the genotypes is infinite in row "
            f"{levels.tolist()[row]!r}. Mark missing genotypes by NaN."
        )


def _require_counts(lowest: Array, highest: Array, names: Any) -> None:
    """Raise ValueError if genotypes are not numbers of copies of an allele."""
    wrong = np.flatnonzero((highest >= lowest) & ((lowest < 0) | (highest > 2)))
    if wrong.size:
        first = wrong[0]
        raise ValueError(
            f"{at_start(label(names.tolist(), first))} of the genotypes has values from "
            f"{lowest[first]:g} to {highest[first]:g}, but scaling='vanraden' needs numbers of "
            "copies of an allele, from 0 to 2. Mark missing genotypes by NaN, name a column of "
            "identifiers by individuals=, add 1 to the codes -1, 0, 1; or use "
            "scaling='standardized'."
        )
