"""Errors of predicted effects and responses, from the inverse of the mixed-model equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.sparse import csr_array, hstack

from emlearn.mixed._equations import Equations
from emlearn.mixed._fixed_basis import FixedBasis
from emlearn.mixed._gram import Array, Factorization, Layout

# Right sides that are solved for at once.
_CHUNK = 1000


@dataclass(frozen=True, eq=False)
class FittedTerm:
    """One term of a fit, in the order of the equations.

    Attributes
    ----------
    layout : Layout
        Number of estimated effects.
    factor : ndarray of shape (q, q)
        Factor of its covariance.
    root : ndarray or None
        See `TermDesign`.
    transform : ndarray of shape (q, q)
        See `TermDesign`.
    diagonal : ndarray of shape (n_levels,) or None
        Diagonal of the kinship; None: 1.
    grouped : bool
        See `Term`.
    """

    layout: Layout
    factor: Array
    root: Array | None
    transform: Array
    diagonal: Array | None
    grouped: bool

    def transformed(self, basis: Array) -> Array:
        """Columns of rows as the fit had them."""
        return basis @ self.transform if self.grouped else basis * self.transform[0, 0]


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What a fit leaves uncertain about the effects.

    Variances are prediction error variances at the estimated variances: they include that the
    fixed effects are estimated, but not that the variances are.

    Attributes
    ----------
    terms : tuple of FittedTerm
        The terms.
    order : tuple of int
        Number of each of them among the terms of the design.
    factorization : Factorization
        Of the mixed-model equations.
    absorbed, cholesky, fixed_root : ndarray
        See `Equations`.
    basis : FixedBasis
        The fixed effects.
    residual : float
        Residual variance.
    unit : float
        Unit of the response.
    """

    terms: tuple[FittedTerm, ...]
    order: tuple[int, ...]
    factorization: Factorization
    absorbed: Array
    cholesky: Array
    fixed_root: Array
    basis: FixedBasis
    residual: float
    unit: float

    def level_variances(self, at: int) -> tuple[Array, Array]:
        """Prediction error variances of the effects of each level, and given the fixed effects.

        Parameters
        ----------
        at : int
            Number of the term in the order of the equations.

        Returns
        -------
        variances, conditional : ndarray of shape (n_levels, q, q)
            In the units of the effects.
        """
        term = self.terms[at]
        start = sum(other.layout.size for other in self.terms[:at])
        fixed = self.fixed_root[start : start + term.layout.size]
        fixed = fixed.reshape(*term.layout, -1)
        if term.root is None:
            conditional = self.factorization.blocks()[at]
        else:
            conditional = self._rooted(term, start)
            fixed = np.einsum("lk,kap->lap", term.root, fixed)
        variances = conditional + fixed @ fixed.transpose(0, 2, 1)
        factor = self.unit * np.sqrt(self.residual) * (term.transform @ term.factor)
        return factor @ variances @ factor.T, factor @ conditional @ factor.T

    def _rooted(self, term: FittedTerm, start: int) -> Array:
        root, (n, q) = term.root, term.layout
        assert root is not None
        total = root.shape[0]
        found = np.empty((total, q, q))
        for begin in range(0, total, _CHUNK):
            rows = root[begin : begin + _CHUNK]
            c = len(rows)
            right = np.zeros((self.fixed_root.shape[0], c * q))
            view = right[start : start + n * q].reshape(n, q, c, q)
            for a in range(q):
                view[:, a, :, a] = rows.T
            solved = self.factorization.solve(right)[start : start + n * q].reshape(n, q, c, q)
            found[begin : begin + c] = np.einsum("lk,kalb->lab", rows, solved)
        if term.diagonal is not None:
            unseen = np.maximum(term.diagonal - np.square(root).sum(axis=1), 0.0)
            found += unseen[:, None, None] * np.eye(q)
        return found

    def row_variances(
        self,
        fixed: Array,
        index: Sequence[NDArray[np.intp] | None],
        bases: Sequence[Array],
    ) -> Array:
        """Variance of the error of predicted means of rows, residuals not included.

        Parameters
        ----------
        fixed : ndarray of shape (n_samples, n_fixed)
            Columns of the fixed effects, that of the intercept included.
        index : sequence of ndarray of shape (n_samples,) or None
            For each term of the design the level of each row, -1 where it is unknown; None
            where no row has one to use.
        bases : sequence of ndarray of shape (n_samples, q)
            Values of the columns of the terms.
        """
        n = len(fixed)
        found = np.empty(n)
        # With a dense kinship, rows depend on all of its levels.
        for begin in range(0, n, _CHUNK):
            rows = slice(begin, begin + _CHUNK)
            found[rows] = self._row_variances(
                fixed[rows],
                [None if own is None else own[rows] for own in index],
                [basis[rows] for basis in bases],
            )
        return found * self.residual * self.unit**2

    def _row_variances(
        self, fixed: Array, index: Sequence[NDArray[np.intp] | None], bases: Sequence[Array]
    ) -> Array:
        n = len(fixed)
        variance = np.zeros(n)
        parts: list[Any] = []
        for j, term in zip(self.order, self.terms, strict=True):
            basis, own = term.transformed(bases[j]), index[j]
            image = basis @ term.factor if term.grouped else basis * term.factor[0, 0]
            part, unexplained = _row_effects(term, own, image)
            parts.append(part)
            variance += unexplained * np.square(image).sum(axis=1)
        toward = self.basis.to_basis(fixed)
        if parts:
            rows = csr_array(hstack(parts))
            variance += self.factorization.quadratic(rows)
            toward = toward - (rows @ self.absorbed).T
        if len(toward):
            toward = solve_triangular(self.cholesky, toward, lower=True)
            variance += np.square(toward).sum(axis=0)
        return variance


def _row_effects(
    term: FittedTerm, index: NDArray[np.intp] | None, basis: Array
) -> tuple[Any, Array]:
    """What multiplies the estimated effects in each row, and the part that is not estimated."""
    n, (n_levels, q) = len(basis), term.layout
    if index is None:
        return csr_array((n, n_levels * q)), np.ones(n)
    known = index >= 0
    if not term.grouped:
        part = basis if term.root is None else basis @ term.root
        whole = np.square(basis).sum(axis=1)
        left = whole - np.square(part).sum(axis=1)
        unexplained = np.divide(left, whole, out=np.zeros(n), where=whole > 0.0)
        return csr_array(part * known[:, None]), np.where(known, np.maximum(unexplained, 0), 1.0)
    place = np.where(known, index, 0)
    if term.root is None:
        columns = (place[:, None] * q + np.arange(q)).ravel()
        values = (basis * known[:, None]).ravel()
        sparse = csr_array((values, columns, np.arange(n + 1) * q), shape=(n, n_levels * q))
        return sparse, np.where(known, 0.0, 1.0)
    rows = term.root[place] * known[:, None]
    part = (rows[:, :, None] * basis[:, None, :]).reshape(n, -1)
    diagonal = np.ones(n) if term.diagonal is None else term.diagonal[place]
    left = np.maximum(diagonal - np.square(rows).sum(axis=1), 0.0)
    return csr_array(part), np.where(known, left, 1.0)


def uncertainty_of(
    equations: Equations,
    residual: float,
    diagonals: Sequence[Array | None],
    grouped: Sequence[bool],
) -> Uncertainty:
    """What is kept of the equations of a fit.

    Parameters
    ----------
    equations : Equations
        At the estimates.
    residual : float
        Residual variance, in squared units of the response.
    diagonals : sequence of ndarray or None
        Diagonals of the kinships of the terms of the design.
    grouped : sequence of bool
        Whether these are grouped.
    """
    data = equations.data
    terms = tuple(
        FittedTerm(design.layout, factor, design.root, design.transform, diagonals[j], grouped[j])
        for j, design, factor in zip(data.order, data.designs, equations.factors, strict=True)
    )
    return Uncertainty(
        terms,
        data.order,
        equations.factorization,
        equations.absorbed,
        equations.cholesky,
        equations.fixed_root,
        data.basis,
        residual,
        data.basis.scale,
    )
