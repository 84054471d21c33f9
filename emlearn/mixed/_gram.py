"""The contract of what is factorized: the cross-products of random effects.

The random effects u of a term with L levels and q columns are ``u = (I kron T) v``: T is the
*factor* of the term, a matrix of shape (q, q), and v has the covariance
``sigma^2 inv(P) kron I``, with P a known *precision* of the levels (the identity without a
kinship). With Z the design of all terms, W the weights and T the block diagonal matrix of all
factors, everything that a mixed model needs of its rows is in ``G = Z' W Z``, and all
algorithms factorize

    M = T' G T + P.

This form holds for singular factors, also for variances of 0. Effects are vectors of length m:
term after term, within a term level after level, within a level column after column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Effects in a row that are looked up one by one.
_FEW = 20
# Right sides that are solved for at once.
_CHUNK = 1000


class Layout(NamedTuple):
    """Size of one term.

    Attributes
    ----------
    n_levels : int
        Number of levels, L.
    n_columns : int
        Number of random effects of each level, q.
    """

    n_levels: int
    n_columns: int

    @property
    def size(self) -> int:
        """Number of effects."""
        return self.n_levels * self.n_columns


class Gram(ABC):
    """``G = Z' W Z`` in the form that one algorithm needs; immutable, made once for a fit.

    Attributes
    ----------
    layouts : tuple of Layout
        The terms.
    """

    layouts: tuple[Layout, ...]

    @property
    def size(self) -> int:
        """Number of all effects, m."""
        return sum(layout.size for layout in self.layouts)

    @abstractmethod
    def multiply(self, effects: Array) -> Array:
        """``G @ effects`` for effects of shape (m, k)."""

    @abstractmethod
    def factorize(self, factors: Sequence[Array]) -> Factorization:
        """Factorize M at one factor (q, q) for each term; any of them may be singular.

        Raises
        ------
        DegenerateModelError
            If M is not positive definite in floating-point arithmetic.
        """


class Factorization(ABC):
    """M, factorized.

    Attributes
    ----------
    log_det : float
        ``log|M| - log|P|``.
    """

    log_det: float

    @abstractmethod
    def solve(self, right: Array) -> Array:
        """``inv(M) @ right`` for right sides of shape (m, k)."""

    @abstractmethod
    def traces(self) -> list[Array]:
        """For each term the sums over pairs of levels of P[k, l] inv(M)[k, l], (q, q) each."""

    @abstractmethod
    def blocks(self) -> list[Array]:
        """For each term the blocks of inv(M) of single levels, (n_levels, q, q) each."""

    def entries(self, rows: Index, columns: Index) -> Array:
        """Entries of inv(M) at these places; NaN where they are not at hand."""
        return np.full(rows.shape, np.nan)

    def quadratic(self, rows: Any) -> Array:
        """``r' inv(M) r`` for each row of a sparse matrix (n, m), (n,)."""
        found, rows = np.full(rows.shape[0], np.nan), csr_array(rows)
        counts = np.diff(rows.indptr)
        if counts.max(initial=0) <= _FEW:
            found = self._quadratic_of_entries(rows, counts)
        left = np.flatnonzero(np.isnan(found))
        for start in range(0, left.size, _CHUNK):
            part = left[start : start + _CHUNK]
            right = rows[part].toarray().T
            found[part] = (right * self.solve(right)).sum(axis=0)
        return found

    def _quadratic_of_entries(self, rows: csr_array, counts: Index) -> Array:
        n, width = len(counts), int(counts.max(initial=0))
        columns, values = np.zeros((n, width), np.intp), np.zeros((n, width))
        there = np.arange(width) < counts[:, None]
        columns[there], values[there] = rows.indices, rows.data
        found = np.zeros(n)
        for a, b in zip(*np.tril_indices(width), strict=True):
            used = np.flatnonzero(values[:, a] * values[:, b])
            entries = self.entries(columns[used, a], columns[used, b])
            found[used] += (1 if a == b else 2) * values[used, a] * values[used, b] * entries
        return found


def is_sparse(matrix: Any) -> bool:
    """Whether it is a sparse matrix of scipy."""
    return bool(issparse(matrix))


def scaled(effects: Array, layouts: Sequence[Layout], factors: Sequence[Array]) -> Array:
    """``T @ effects`` for effects of shape (m, k)."""
    found, start, width = np.empty_like(effects), 0, effects.shape[1]
    for (n, q), factor in zip(layouts, factors, strict=True):
        part = effects[start : start + n * q]
        found[start : start + n * q] = (factor @ part.reshape(n, q, width)).reshape(n * q, width)
        start += n * q
    return found


def scaled_back(effects: Array, layouts: Sequence[Layout], factors: Sequence[Array]) -> Array:
    """``T' @ effects`` for effects of shape (m, k)."""
    return scaled(effects, layouts, [factor.T for factor in factors])
