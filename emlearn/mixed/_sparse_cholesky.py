"""Cholesky factors of sparse matrices with a fixed pattern, and entries of their inverses.

The pattern is analyzed once: `fill_reducing_order` finds an order in which few entries of the
factor are not 0, and `SparsePattern` finds these entries. Each factorization then only computes
numbers. The last columns of a factor are all but dense: these columns, the *tail*, are a dense
matrix and LAPACK's, and those before them are sparse, ``L D L'`` with L unit lower triangular.

References
----------
.. [1] Davis, T. A. (2006). *Direct methods for sparse linear systems*. SIAM.
.. [2] Erisman, A. M. and Tinney, W. F. (1975). On computing certain elements of the inverse of a
   sparse matrix. *Communications of the ACM*, 18(3), 177-179.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.sparse import coo_array, csc_array, csc_matrix, triu
from scipy.sparse.linalg import splu

from emlearn.engine.errors import DegenerateModelError
from emlearn.kernels import compiled

Array = NDArray[np.float64]
Index = NDArray[np.int64]

#: Time of an operation in a sparse column, in operations of LAPACK.
_SPARSE_COST = 20.0


def fill_reducing_order(size: int, rows: Index, columns: Index) -> Index:
    """Order of elimination by approximate minimum degree.

    Parameters
    ----------
    size : int
        Number of rows of the matrix.
    rows, columns : ndarray of shape (n_entries,)
        Where the matrix is not 0, in one of its triangles; the diagonal may be left out.

    Returns
    -------
    order : ndarray of shape (size,)
        ``order[k]`` is the row that is eliminated at step k.
    """
    across = rows != columns
    rows, columns = rows[across], columns[across]
    # SuperLU orders symmetric matrices by exact degrees, which takes long; by approximate ones
    # (COLAMD) it orders the columns of any B for the factor of B'B. So B has a row for each pair.
    # That B is square, it also has a column for each pair; these columns are left out at the end.
    # B is triangular: to factorize it is to order it.
    diagonal, pairs = np.arange(size + rows.size), size + np.arange(rows.size)
    B = csc_matrix(
        (
            np.ones(diagonal.size + 2 * rows.size),
            (np.concatenate([diagonal, pairs, pairs]), np.concatenate([diagonal, rows, columns])),
        ),
        shape=(diagonal.size, diagonal.size),
    )
    found = splu(B, permc_spec="COLAMD", diag_pivot_thresh=0.0, relax=1, panel_size=1)
    order = np.argsort(found.perm_c)
    return order[order < size]


class SparsePattern:
    """The pattern of a symmetric matrix and of its factor.

    Parameters
    ----------
    order : ndarray of shape (size,)
        Order of elimination.
    rows, columns : ndarray of shape (n_entries,)
        Where the matrix is not 0, each pair once and in one of the triangles, with all of the
        diagonal.

    Attributes
    ----------
    rank : ndarray of shape (size,)
        Step at which each row is eliminated.
    n_sparse : int
        Number of columns before the tail.
    starts, rows : ndarray
        The upper triangle in the order of elimination: start of each column, row of each entry.
    factor_starts, factor_rows : ndarray
        The same of the factor's columns before the tail, below the diagonal.
    """

    def __init__(self, order: Index, rows: Index, columns: Index) -> None:
        size = order.size
        self.order = order
        self.rank = np.empty(size, np.int64)
        self.rank[order] = np.arange(size)
        first, last = self.rank[rows], self.rank[columns]
        first, last = np.minimum(first, last), np.maximum(first, last)
        self._sources = np.lexsort((first, last))
        self.starts = np.searchsorted(last[self._sources], np.arange(size + 1)).astype(np.int64)
        self.rows = first[self._sources].astype(np.int32)
        self._find_factor()

    def _find_factor(self) -> None:
        if compiled is None:
            columns = _factor_columns(self.starts, self.rows)
            counts = np.array([column.size + 1 for column in columns], np.int64)
        else:
            counts = np.empty(self.size, np.int64)
            compiled.cholesky_counts(self.starts, self.rows, counts)
        self.n_sparse = n_sparse = _best_split(counts)
        self.factor_starts = np.zeros(n_sparse + 1, np.int64)
        np.cumsum(counts[:n_sparse] - 1, out=self.factor_starts[1:])
        self.factor_rows = np.empty(self.factor_starts[-1], np.int32)
        if compiled is None:
            np.concatenate([self.factor_rows[:0], *columns[:n_sparse]], out=self.factor_rows)
        else:
            compiled.cholesky_pattern(self.starts, self.rows, self.factor_starts, self.factor_rows)

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.order.size

    def factorize(self, values: Array) -> SparseCholesky:
        """Factorize the matrix of these values, one for each pair of rows and columns.

        Raises
        ------
        DegenerateModelError
            If it is not positive definite in floating-point arithmetic.
        """
        return SparseCholesky(self, values[self._sources])

    def locate(self, rows: Index, columns: Index) -> Index:
        """Where `SparseCholesky.selected_inverse` has the entries of these pairs.

        -1 for pairs where the matrix and its factor are 0.
        """
        first, last = self.rank[rows], self.rank[columns]
        first, last = np.minimum(first, last), np.maximum(first, last)
        found, own = self._locate(first, last), (first < self.n_sparse) & (first != last)
        at = np.minimum(found[own], self._keys.size - 1)
        found[own] = np.where(self._keys[at] == first[own] * self.size + last[own], at, -1)
        return found

    def _locate(self, first: Index, last: Index) -> Index:
        n_entries, n_sparse = self.factor_rows.size, self.n_sparse
        n_tail = self.size - n_sparse
        found = np.searchsorted(self._keys, first * self.size + last)
        found = np.where(first == last, n_entries + first, found)
        in_tail = n_entries + n_sparse + (last - n_sparse) * n_tail + first - n_sparse
        return np.where(first < n_sparse, found, in_tail)

    @cached_property
    def _keys(self) -> Index:
        columns = np.repeat(np.arange(self.n_sparse), np.diff(self.factor_starts))
        return columns * self.size + self.factor_rows


class SparseCholesky:
    """A factorized matrix.

    Attributes
    ----------
    log_det : float
        Logarithm of its determinant.
    """

    def __init__(self, pattern: SparsePattern, values: Array) -> None:
        self._pattern = pattern
        n_tail = pattern.size - pattern.n_sparse
        self._factor = np.empty(pattern.factor_rows.size)
        self._pivots = np.empty(pattern.n_sparse)
        # C-contiguous and lower triangular, so its transpose is what LAPACK calls upper.
        self._tail = np.empty((n_tail, n_tail))
        self._values = values
        if compiled is None:
            self._factorize_in_scipy()
        else:
            self._factorize(values)
        pivots = np.concatenate([self._pivots, np.diagonal(self._tail) ** 2])
        self.log_det = float(np.log(pivots).sum())
        if not np.isfinite(self.log_det):
            raise _not_positive_definite()

    def _factorize(self, values: Array) -> None:
        of = self._pattern
        failed = compiled.factorize_sparse(
            of.starts, of.rows, values, of.factor_starts, of.factor_rows, self._factor,
            self._pivots, self._tail,
        )  # fmt: skip
        if failed >= 0:
            raise _not_positive_definite()
        upper, status = dpotrf(self._tail.T, lower=False, clean=False, overwrite_a=True)
        if status != 0:
            raise _not_positive_definite()
        self._tail = upper.T

    @cached_property
    def _lu(self) -> Any:
        """The factorization of scipy, which has no pickle."""
        of = self._pattern
        upper = csc_array((self._values, of.rows, of.starts), shape=(of.size, of.size))
        try:
            return splu(
                csc_matrix(upper + triu(upper, 1).T),
                permc_spec="NATURAL",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:
            raise _not_positive_definite() from error

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lu"}

    def _factorize_in_scipy(self) -> None:
        of = self._pattern
        n_sparse = of.n_sparse
        pivots = self._lu.U.diagonal()
        # A row that has been exchanged for another had the pivot 0.
        if not (np.array_equal(self._lu.perm_r, np.arange(of.size)) and (pivots > 0.0).all()):
            raise _not_positive_definite()
        lower = coo_array(self._lu.L)
        rows, columns = lower.row.astype(np.int64), lower.col.astype(np.int64)
        self._pivots[:], self._factor[:], self._tail[:] = pivots[:n_sparse], 0.0, 0.0
        sparse, dense = (columns < n_sparse) & (rows > columns), columns >= n_sparse
        self._factor[of._locate(columns[sparse], rows[sparse])] = lower.data[sparse]
        self._tail[rows[dense] - n_sparse, columns[dense] - n_sparse] = lower.data[dense]
        self._tail *= np.sqrt(pivots[n_sparse:])

    def solve(self, right: Array) -> Array:
        """Inverse of the matrix times `right`, (size, k)."""
        of = self._pattern
        x = np.take(right, of.order, axis=0)
        if compiled is None:
            x = self._lu.solve(x)
        else:
            columns = of.factor_starts, of.factor_rows, self._factor
            compiled.solve_sparse(*columns, x, 0.0)
            x[of.n_sparse :] = dpotrs(self._tail.T, x[of.n_sparse :], lower=False)[0]
            x[: of.n_sparse] /= self._pivots[:, None]
            compiled.solve_sparse(*columns, x, 1.0)
        found = np.empty_like(x)
        found[of.order] = x
        return found

    def selected_inverse(self) -> Array:
        """Entries of the inverse where the factor is not 0; `SparsePattern.locate` finds them."""
        of = self._pattern
        n_entries, n_sparse, n_tail = of.factor_rows.size, of.n_sparse, of.size - of.n_sparse
        found = np.empty(n_entries + n_sparse + n_tail**2)
        entries, diagonal, tail = np.split(found, [n_entries, n_entries + n_sparse])
        tail = tail.reshape(n_tail, n_tail)
        tail[:] = self._tail
        tail[:] = dpotri(tail.T, lower=False, overwrite_c=True)[0].T
        if compiled is None:
            self._invert_columns(found)
        else:
            compiled.selected_inverse(
                of.factor_starts, of.factor_rows, self._factor, self._pivots, tail, entries,
                diagonal,
            )  # fmt: skip
        return found

    def _invert_columns(self, found: Array) -> None:
        of = self._pattern
        n_entries = of.factor_rows.size
        found[n_entries : n_entries + of.n_sparse] = 1.0 / self._pivots
        for k in np.flatnonzero(np.diff(of.factor_starts))[::-1]:
            own = slice(of.factor_starts[k], of.factor_starts[k + 1])
            rows, column = of.factor_rows[own].astype(np.int64), self._factor[own]
            first, last = np.minimum.outer(rows, rows), np.maximum.outer(rows, rows)
            product = found[of._locate(first, last)] @ column
            found[own] = -product
            found[n_entries + k] += column @ product


def _not_positive_definite() -> DegenerateModelError:
    return DegenerateModelError("the mixed-model equations are not positive definite")


def _best_split(counts: Index) -> int:
    """Where the tail begins: operations in sparse columns against those in a dense tail."""
    sparse = np.concatenate([[0.0], np.cumsum(np.square(counts, dtype=np.float64))])
    tail = np.arange(counts.size, -1, -1.0)
    return int(np.argmin((_SPARSE_COST * sparse + tail**3 / 3.0)[:-1]))


def _factor_columns(starts: Index, rows: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """Rows below the diagonal of each column: those of the matrix and of the column's children."""
    size = starts.size - 1
    lower = csc_array((np.ones(rows.size), rows, starts), shape=(size, size)).tocsr()
    lower.sort_indices()
    patterns: list[NDArray[np.int32]] = []
    children: list[list[int]] = [[] for _ in range(size)]
    for k in range(size):
        # The first entry is the diagonal's; a child's first row is k itself.
        own = lower.indices[lower.indptr[k] + 1 : lower.indptr[k + 1]].astype(np.int32)
        if children[k]:
            own = np.unique(np.concatenate([own, *(patterns[c][1:] for c in children[k])]))
        if own.size:
            children[own[0]].append(k)
        patterns.append(own)
    return patterns
