"""The data of a mixed model: all that its E-step reads of the rows.

The fixed effects are an orthonormal basis of the columns of X, and the response is the residual
of ordinary least squares, divided by its standard deviation: nothing depends on the units of the
columns, nor on how far their means are from 0, and no digits cancel in cross-products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular
from scipy.sparse import csc_array, hstack

from emlearn.mixed._block_gram import BlockGram
from emlearn.mixed._designs import TermDesign, rotated, term_design
from emlearn.mixed._gram import Array, Gram, is_sparse
from emlearn.mixed._sparse_gram import SparseGram
from emlearn.mixed._terms import Term

# Effects of which a dense Schur complement is made.
_FEW_EFFECTS = 3000
# Size at which a column of X depends on the others.
_ALIASED = 1e-9
# Size of residuals whose squares are floating-point numbers.
_SMALLEST, _LARGEST = 1e-140, 1e140
# Residuals that are rounding errors, as a part of the largest response.
_EXACT = 1e-12


@dataclass(frozen=True)
class FixedBasis:
    """Orthonormal basis of the fixed effects.

    Attributes
    ----------
    kept : ndarray of int
        Columns that do not depend on those before them.
    triangle : ndarray of shape (n_kept, n_kept)
        R of the QR factorization of the weighted columns.
    least_squares : ndarray of shape (n_kept,)
        Coefficients of ordinary least squares.
    scale : float
        Standard deviation of the residuals; where these are rounding errors, the size of such.
    """

    kept: NDArray[np.intp]
    triangle: Array
    least_squares: Array
    scale: float

    @property
    def log_det(self) -> float:
        """``log|X' W X|``."""
        return 2.0 * float(np.log(np.abs(np.diagonal(self.triangle)).copy()).sum())

    def coefficients(self, basis: Array) -> Array:
        """Coefficients of the columns from those of the basis for the scaled residuals."""
        return self.least_squares + self.scale * self.from_basis(basis)

    def from_basis(self, vectors: Array) -> Array:
        """Coefficients of the columns with the same values as those of the basis."""
        found: Array = solve_triangular(self.triangle, vectors)
        return found

    def to_basis(self, columns: Array) -> Array:
        """Rows of X in terms of the basis, (n_kept, n_samples)."""
        found: Array = solve_triangular(self.triangle, columns[:, self.kept].T, trans="T")
        return found


@dataclass(frozen=True)
class MixedData:
    """What the E-step reads.

    Attributes
    ----------
    gram : Gram
        Cross-products of the random effects; terms are in the order `order`.
    designs : tuple of TermDesign
        The terms, in this order.
    order : tuple of int
        Number of each of them among the terms of the model.
    matrices : tuple of sparse matrix or ndarray of shape (n_samples, n_effects)
        Designs of the terms, ``sqrt(W) Z_j``.
    columns : ndarray of shape (n_samples, n_fixed)
        Basis of the fixed effects, ``sqrt(W) X``, orthonormal.
    response : ndarray of shape (n_samples,)
        Scaled residuals of least squares, ``sqrt(W) y``, orthogonal to the columns;
        exactly 0 if the fixed effects explain y.
    cross : ndarray of shape (m, n_fixed + 1)
        ``Z' W [X y]``.
    basis : FixedBasis
        The fixed effects.
    n_observations : float
        Number of observations: the sum of the weights, or the number of rows.
    log_weights : float
        Sum of the logarithms of the weights of the rows, if these are precisions.
    checksum : float
        Weighted mean of the absolute responses.
    """

    gram: Gram
    designs: tuple[TermDesign, ...]
    order: tuple[int, ...]
    matrices: tuple[Any, ...]
    columns: Array
    response: Array
    cross: Array
    basis: FixedBasis
    n_observations: float
    log_weights: float
    checksum: float

    @property
    def fingerprint(self) -> tuple[float, float, float]:
        """What two fits share if their likelihoods are of the same rows."""
        return self.n_observations, self.log_weights, self.checksum

    def fitted(self, effects: Array) -> Array:
        """``sqrt(W) Z u`` for effects of shape (m, k)."""
        found = np.zeros((len(self.response), effects.shape[1]))
        start = 0
        for matrix in self.matrices:
            found += matrix @ effects[start : start + matrix.shape[1]]
            start += matrix.shape[1]
        return found

    def gathered(self, rows: Array) -> Array:
        """``Z' sqrt(W) r`` for rows r of shape (n_samples, k)."""
        parts = [np.asarray(matrix.T @ rows) for matrix in self.matrices]
        return np.concatenate([*parts, np.zeros((0, rows.shape[1]))])

    @property
    def n_fixed(self) -> int:
        """Number of estimable fixed effects."""
        return len(self.basis.kept)

    @property
    def is_exact(self) -> bool:
        """Whether the fixed effects explain y, so that no variance is left."""
        return not self.response.any()


def mixed_data(
    fixed: Array,
    terms: Sequence[Term],
    response: Array,
    weight: Array | None,
    *,
    precision_weights: bool = False,
) -> MixedData:
    """Data of a mixed model.

    Parameters
    ----------
    fixed : ndarray of shape (n_samples, n_fixed)
        Columns of the fixed effects, that of the intercept included.
    terms : sequence of Term
        The random-effects terms.
    response : ndarray of shape (n_samples,)
        The response, without missing values.
    weight : ndarray of shape (n_samples,) or None
        Weights > 0.
    precision_weights : bool, default=False
        Whether weights divide the variance of the rows, instead of counting copies.

    Raises
    ------
    ValueError
        If there are no more rows than fixed effects, or y is too large or small to be squared.
    """
    n = len(response)
    sqrt_weight = np.ones(n) if weight is None else np.sqrt(weight)
    n_observations, log_weights = float(n), 0.0
    if weight is not None and precision_weights:
        log_weights = float(np.log(weight).sum())
    elif weight is not None:
        n_observations = float(weight.sum())
    columns, basis, residual = _fixed_basis(
        fixed * sqrt_weight[:, None], response * sqrt_weight, n_observations
    )
    # Also without random effects, one structure serves.
    designs, order, gram, matrices = _designs(terms, sqrt_weight, n_observations)
    empty = np.zeros((0, columns.shape[1] + 1))
    parts = (gram, designs, order, tuple(matrices), columns, residual)
    size = float(np.average(np.abs(response), weights=weight))
    data = MixedData(*parts, empty, basis, n_observations, log_weights, size)
    cross = data.gathered(np.concatenate([columns, residual[:, None]], axis=1))
    return replace(data, cross=cross)


def _fixed_basis(
    columns: Array, response: Array, n_observations: float
) -> tuple[Array, FixedBasis, Array]:
    """Orthonormal columns, how they were made, and the scaled residuals."""
    kept = _independent(columns)
    if len(kept):
        found: Any = qr(columns[:, kept], mode="economic")
        orthonormal, triangle = found
        projected = orthonormal.T @ response
        residual = response - orthonormal @ projected
        # Twice is enough.
        more = orthonormal.T @ residual
        residual -= orthonormal @ more
        coefficients = solve_triangular(triangle, projected + more)
    else:
        orthonormal, triangle = np.zeros((len(response), 0)), np.zeros((0, 0))
        residual, coefficients = response.copy(), np.zeros(0)
    left = n_observations - len(kept)
    if left <= 0.0:
        whole = n_observations == len(response)
        weights = "" if whole else f", whose weights add up to {n_observations:g},"
        raise ValueError(
            f"There are n_samples = {len(response)} rows with a response{weights} and {len(kept)} "
            "fixed effects: nothing is left to estimate variances from. Use more rows or fewer "
            "columns."
        )
    rounding = _EXACT * np.abs(response).max(initial=0.0) or _EXACT
    largest = float(np.abs(residual).max(initial=0.0)) or 1.0
    scale = largest * float(np.linalg.norm(residual / largest) / np.sqrt(left))
    if largest <= rounding or not residual.any():
        residual, scale = np.zeros(len(response)), rounding
    if not _SMALLEST < scale < _LARGEST:
        raise ValueError(
            f"y varies by {scale:.1g}, the square of which is beyond the range of floating-point "
            "numbers. Change its units."
        )
    return orthonormal, FixedBasis(kept, triangle, coefficients, scale), residual / scale


def _independent(columns: Array) -> NDArray[np.intp]:
    """Columns that do not depend on those before them."""
    n, p = columns.shape
    size = np.linalg.norm(columns, axis=0)
    if not p:
        return np.zeros(0, np.intp)
    unit = columns / np.where(size > 0.0, size, 1.0)
    triangle = qr(unit, mode="r")[0][: min(n, p)]
    diagonal = np.zeros(p)
    diagonal[: len(triangle)] = np.abs(np.diagonal(triangle))
    if (diagonal > _ALIASED).all():
        return np.arange(p)
    # A dependent column leaves no pivot, and shifts those of later columns: one by one.
    kept: list[int] = []
    basis = np.zeros((n, 0))
    for j in range(p):
        rest = unit[:, j] - basis @ (basis.T @ unit[:, j])
        rest -= basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > _ALIASED and len(kept) < n:
            kept.append(j)
            basis = np.concatenate([basis, rest[:, None] / length], axis=1)
    return np.array(kept, np.intp)


def _designs(
    terms: Sequence[Term], sqrt_weight: Array, n_observations: float
) -> tuple[tuple[TermDesign, ...], tuple[int, ...], Gram, list[Any]]:
    """Designs, their order, their cross-products and their matrices."""
    n_dense = sum(not term.grouped or _is_dense(term) for term in terms)
    sparse = any(term.kinship is not None and term.kinship.has_precision for term in terms)
    designs = [term_design(term, sqrt_weight, n_observations, dense=n_dense > 0) for term in terms]
    if n_dense == 0 and (sparse or _is_large(designs)):
        return _sparse(designs)
    order = sorted(range(len(designs)), key=lambda i: _rank(designs[i]))
    return _blocked([designs[i] for i in order], order)


def _is_dense(term: Term) -> bool:
    return term.kinship is not None and not term.kinship.has_precision


def _rank(design: TermDesign) -> tuple[bool, int]:
    """The term to eliminate comes first: the largest of those that are block diagonal."""
    return not _is_block_diagonal(design), -design.layout.size


def _is_block_diagonal(design: TermDesign) -> bool:
    """Whether it is, or can be rotated to be."""
    return design.dense is None or design.layout.n_columns == 1


def _is_large(designs: Sequence[TermDesign]) -> bool:
    sizes = sorted(design.layout.size for design in designs)
    return sum(sizes[:-1]) > _FEW_EFFECTS


def _blocked(
    designs: list[TermDesign], order: Sequence[int]
) -> tuple[tuple[TermDesign, ...], tuple[int, ...], Gram, list[Any]]:
    blocks = None
    if designs and _is_block_diagonal(designs[0]):
        if designs[0].dense is None:
            blocks = _level_blocks(designs[0])
        else:
            designs[0], values = rotated(designs[0])
            blocks = values[:, None, None]
    matrices = [design.matrix() for design in designs]
    between = others = None
    rest = matrices[blocks is not None :]
    if rest:
        whole = _side_by_side(rest)
        product: Any = whole.T @ whole
        others = product.toarray() if is_sparse(product) else np.asarray(product)
        between = None if blocks is None else matrices[0].T @ whole
    gram = BlockGram(blocks, [design.layout for design in designs], between, others)
    return tuple(designs), tuple(order), gram, matrices


def _side_by_side(matrices: list[Any]) -> Any:
    """One matrix, sparse if all of them are."""
    if all(is_sparse(matrix) for matrix in matrices):
        return csc_array(hstack(matrices))
    return np.concatenate([m.toarray() if is_sparse(m) else m for m in matrices], axis=1)


def _level_blocks(design: TermDesign) -> Array:
    """``Z' W Z`` of each level."""
    n_levels, q = design.layout
    index, basis = design.index, design.basis
    assert index is not None and basis is not None
    blocks = np.empty((n_levels, q, q))
    for a in range(q):
        for b in range(a + 1):
            found = np.bincount(index, basis[:, a] * basis[:, b], minlength=n_levels)
            blocks[:, a, b] = blocks[:, b, a] = found
    return blocks


def _sparse(
    designs: list[TermDesign],
) -> tuple[tuple[TermDesign, ...], tuple[int, ...], Gram, list[Any]]:
    matrices = [design.matrix() for design in designs]
    whole = csc_array(hstack(matrices))
    kinships = [design.kinship for design in designs]
    gram = SparseGram(
        csc_array(whole.T @ whole),
        [design.layout for design in designs],
        [None if kinship is None else kinship.precision() for kinship in kinships],
        [0.0 if kinship is None else kinship.log_det_precision() for kinship in kinships],
    )
    return tuple(designs), tuple(range(len(designs))), gram, matrices
