"""Designs of random-effects terms: what multiplies their effects in each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr, solve_triangular
from scipy.sparse import csr_array

from emlearn.mixed._covariance import blocks_of
from emlearn.mixed._gram import Array, Layout
from emlearn.mixed._kinship import Kinship
from emlearn.mixed._terms import Term

# Part of the largest eigenvalue of a kinship below which others are rounding errors, per row.
_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)
# Part of a column that does not depend on those before it, at least.
_DEPENDENT = 1e-8
# Part of the largest value of a column from which effects of levels are told by their rows.
_CLEAR = 1e-2


@dataclass(frozen=True)
class TermDesign:
    """The design of one term in units in which its effects are as large as the noise.

    Attributes
    ----------
    layout : Layout
        Number of levels and columns of the effects that are estimated.
    transform : ndarray of shape (n_columns, n_columns)
        The columns times this matrix are orthonormal over the rows, but for the blocks of effects
        that are independent of each other. So nothing depends on units and origins of slopes.
    index, basis : ndarray of shape (n_samples,) and (n_samples, n_columns), or None
        Level and transformed columns of each row, if each row has a single level.
    dense : ndarray of shape (n_samples, layout.size), or None
        The design, if not.
    kinship : Kinship or None
        If its precision is used.
    root : ndarray of shape (n_levels, layout.n_levels), or None
        What the effects of the levels are of those that are estimated; None: the same.
    dependent : tuple of int
        Columns that depend on others with which their effects are correlated.
    """

    layout: Layout
    transform: Array
    index: NDArray[np.intp] | None = None
    basis: Array | None = None
    dense: Array | None = None
    kinship: Kinship | None = None
    root: Array | None = None
    dependent: tuple[int, ...] = ()

    def weighted(self, effects: Array) -> Array:
        """The precision of the levels times their effects, (n_levels, k)."""
        return effects if self.kinship is None else np.asarray(self.kinship.precision() @ effects)

    def matrix(self) -> Any:
        """The design as a matrix of shape (n_samples, layout.size), sparse if possible."""
        if self.dense is not None:
            return self.dense
        assert self.index is not None and self.basis is not None
        n, q = self.basis.shape
        columns = (self.index[:, None] * q + np.arange(q)).ravel()
        starts = np.arange(n + 1) * q
        return csr_array((self.basis.ravel(), columns, starts), shape=(n, self.layout.size))


def term_design(
    term: Term, sqrt_weight: Array, n_observations: float, *, dense: bool
) -> TermDesign:
    """The design of a term, each row multiplied by the square root of its weight.

    Parameters
    ----------
    term : Term
        The term.
    sqrt_weight : ndarray of shape (n_samples,)
        Square roots of the weights.
    n_observations : float
        Number of observations that they stand for.
    dense : bool
        Whether a kinship is used by its square root even if it has a sparse precision.
    """
    if not term.grouped:
        basis = term.basis * sqrt_weight[:, None]
        scale = np.sqrt(np.square(basis).sum() / n_observations) or 1.0
        return TermDesign(
            Layout(basis.shape[1], 1), np.full((1, 1), 1.0 / scale), dense=basis / scale
        )
    kinship = term.kinship
    transform, basis, dependent = _transformed(term, sqrt_weight, n_observations)
    n_levels, q = len(term.levels), basis.shape[1]
    if kinship is None or (kinship.has_precision and not dense):
        rows = np.ascontiguousarray(basis)
        return TermDesign(
            Layout(n_levels, q), transform, term.index, rows, None, kinship, None, dependent
        )
    root = kinship.square_root()
    rows = root[term.index]
    if q > 1:
        rows = (rows[:, :, None] * basis[:, None, :]).reshape(len(rows), -1)
    else:
        rows *= basis
    return TermDesign(
        Layout(root.shape[1], q), transform, dense=rows, root=root, dependent=dependent
    )


def _transformed(
    term: Term, sqrt_weight: Array, n_observations: float
) -> tuple[Array, Array, tuple[int, ...]]:
    """Transform of the columns, these weighted and transformed, and those that are dependent."""
    basis = term.basis * sqrt_weight[:, None]
    size = basis / np.sqrt(n_observations)
    if term.kinship is not None:
        size *= np.sqrt(term.kinship.diagonal())[term.index, None]
    transform, dependent = _orthonormal(size, term.pattern)
    return transform, basis @ transform, dependent


def _orthonormal(columns: Array, pattern: NDArray[np.bool_]) -> tuple[Array, tuple[int, ...]]:
    """Matrix that makes the columns of each block orthonormal, and those that depend on others."""
    dependent: list[int] = []
    q = len(pattern)
    length = np.linalg.norm(columns, axis=0)
    length = np.where(length > 0.0, length, 1.0)
    found = np.zeros((q, q))
    for own in blocks_of(pattern):
        triangle = np.eye(len(own))
        upper = np.asarray(qr(columns[:, own] / length[own], mode="r")[0])[: len(own)]
        for j in range(len(upper)):
            if abs(upper[j, j]) > _DEPENDENT:
                triangle[: j + 1, j] = upper[: j + 1, j]
            else:
                dependent.append(int(own[j]))
        inverse = solve_triangular(triangle, np.eye(len(own)))
        found[np.ix_(own, own)] = inverse / length[own, None]
    return found, tuple(dependent)


def rotated(term: Term, sqrt_weight: Array, n_observations: float) -> tuple[TermDesign, Array]:
    """The design of a dense term of one column with orthogonal columns, and their squared lengths.

    The effects that no row depends on are left out: the rest of the covariance of the levels is
    as before the rows were seen.

    Parameters
    ----------
    term, sqrt_weight, n_observations
        See `term_design`.
    """
    if term.kinship is not None and len(sqrt_weight) <= term.kinship.rank:
        return _rotated_covariance(term, term.kinship, sqrt_weight, n_observations)
    design = term_design(term, sqrt_weight, n_observations, dense=True)
    rows = design.dense
    assert rows is not None
    if rows.shape[1] < rows.shape[0]:
        values, right = _eigenvectors(rows.T @ rows)
        left = rows @ right
    else:
        values, vectors = _eigenvectors(rows @ rows.T)
        left = vectors * np.sqrt(values)
        right = rows.T @ (left / values)
    root = right if design.root is None else design.root @ right
    layout = Layout(len(values), 1)
    return TermDesign(layout, design.transform, dense=left, root=root), values


def _rotated_covariance(
    term: Term, kinship: Kinship, sqrt_weight: Array, n_observations: float
) -> tuple[TermDesign, Array]:
    """The same from the covariance of the rows, without a square root of that of the levels."""
    transform, basis, dependent = _transformed(term, sqrt_weight, n_observations)
    size, index = basis[:, 0], term.index
    covariance = kinship.covariance(index, index)
    covariance *= size
    covariance *= size[:, None]
    values, left = _eigenvectors(covariance)
    left *= np.sqrt(values)
    # Effects of levels are those of their rows, but where these tell little of them.
    clear = np.abs(size) > _CLEAR * np.abs(size).max(initial=0.0)
    row = np.full(len(term.levels), -1)
    row[index[clear]] = np.flatnonzero(clear)
    root = left[row]
    root /= np.where(row >= 0, size[row], 1.0)[:, None]
    others = np.flatnonzero(row < 0)
    if others.size:
        root[others] = kinship.covariance(others, index) @ (left * size[:, None] / values)
    layout = Layout(len(values), 1)
    return TermDesign(layout, transform, dense=left, root=root, dependent=dependent), values


def _eigenvectors(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues of a positive semi-definite matrix that are not 0, and their vectors.

    The matrix is overwritten.
    """
    # Either triangle will do, and the transpose is in the order that LAPACK takes.
    # scipy 1.11 has no workspace for a single row.
    overwritten: Any = {"overwrite_a": True, "driver": "evd"} if len(matrix) > 1 else {}
    values, vectors = eigh(matrix.T, check_finite=False, **overwritten)
    kept = values > _ROUNDING * len(values) * values[-1]
    return (values, vectors) if kept.all() else (values[kept], vectors[:, kept])
