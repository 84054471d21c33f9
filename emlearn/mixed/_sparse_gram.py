"""Cross-products of random effects as sparse matrices: crossed terms, pedigrees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, identity

from emlearn.mixed._gram import Array, Factorization, Gram, Layout
from emlearn.mixed._sparse_cholesky import Index, SparsePattern, fill_reducing_order


class SparseGram(Gram):
    """``G = Z' W Z`` as a sparse matrix.

    The factorization is sparse, with one order of elimination for all factors. It is for crossed
    terms and for terms with sparse precisions, such as pedigrees.

    Parameters
    ----------
    gram : sparse matrix of shape (m, m)
        G, with both triangles.
    layouts : sequence of Layout
        The terms.
    precisions : sequence of (sparse matrix of shape (n_levels, n_levels) or None)
        Precision P of the levels of each term, with both triangles; None is the identity.
    log_det_precisions : sequence of float
        Logarithms of the determinants of the precisions; 0 for None.

    Examples
    --------
    Two schools and three teachers, each of whom has worked at one or at both:

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from emlearn.mixed._gram import Layout
    >>> from emlearn.mixed._sparse_gram import SparseGram
    >>> school, teacher = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2])
    >>> Z = csr_array(np.hstack([np.eye(2)[school], np.eye(3)[teacher]]))
    >>> gram = SparseGram(Z.T @ Z, [Layout(2, 1), Layout(3, 1)], [None, None], [0.0, 0.0])
    >>> found = gram.factorize([np.array([[2.0]]), np.array([[1.0]])])
    >>> M = np.diag([2.0, 2, 1, 1, 1]) @ (Z.T @ Z) @ np.diag([2.0, 2, 1, 1, 1]) + np.eye(5)
    >>> bool(np.isclose(found.log_det, np.linalg.slogdet(M)[1]))
    True
    """

    def __init__(
        self,
        gram: Any,
        layouts: Sequence[Layout],
        precisions: Sequence[Any],
        log_det_precisions: Sequence[float],
    ) -> None:
        self.layouts = tuple(layouts)
        self._gram: Any = csc_array(gram, dtype=np.float64)
        self._gram.sum_duplicates()
        self._log_det_precision = sum(
            layout.n_columns * value
            for layout, value in zip(self.layouts, log_det_precisions, strict=True)
        )
        self._starts = np.cumsum([0, *(layout.size for layout in self.layouts)])
        self._pairs = _pairs_of(self._gram, self.layouts, precisions)
        effects = [self._effects(pairs) for pairs in self._pairs]
        rows = np.concatenate([rows.ravel() for rows, _ in effects])
        columns = np.concatenate([columns.ravel() for _, columns in effects])
        # Of the blocks on the diagonal both triangles are there.
        self._upper = np.flatnonzero(rows <= columns)
        self._pattern = SparsePattern(self._order(), rows[self._upper], columns[self._upper])

    def multiply(self, effects: Array) -> Array:
        return self._gram @ effects

    def factorize(self, factors: Sequence[Array]) -> SparseFactorization:
        return SparseFactorization(self, factors)

    def _effects(self, pairs: _Pairs) -> tuple[Index, Index]:
        """Row and column in M of each entry of the blocks, (n_pairs, q, q) each."""
        (_, q), (_, r) = self.layouts[pairs.left], self.layouts[pairs.right]
        rows = self._starts[pairs.left] + pairs.first[:, None] * q + np.arange(q)
        columns = self._starts[pairs.right] + pairs.second[:, None] * r + np.arange(r)
        rows, columns = np.broadcast_arrays(rows[:, :, None], columns[:, None, :])
        return rows, columns

    def _order(self) -> Index:
        """Order of elimination of the effects: that of levels, which keeps them together."""
        starts = np.cumsum([0, *(layout.n_levels for layout in self.layouts)])
        order = fill_reducing_order(
            int(starts[-1]),
            np.concatenate([starts[pairs.left] + pairs.first for pairs in self._pairs]),
            np.concatenate([starts[pairs.right] + pairs.second for pairs in self._pairs]),
        )
        widths = np.repeat(
            [layout.n_columns for layout in self.layouts],
            [layout.n_levels for layout in self.layouts],
        )
        ends = np.cumsum(widths[order])
        within = np.arange(ends[-1]) - np.repeat(ends - widths[order], widths[order])
        return np.repeat((np.cumsum(widths) - widths)[order], widths[order]) + within

    def _entries(self, factors: Sequence[Array]) -> Array:
        """Entries of ``M = T' G T + P`` in the upper triangle."""
        found = []
        for pairs in self._pairs:
            # Of blocks as rows, T' B S is B (T kron S).
            blocks = pairs.blocks @ np.kron(factors[pairs.left], factors[pairs.right])
            if pairs.precision is not None:
                blocks[:, :: self.layouts[pairs.left].n_columns + 1] += pairs.precision[:, None]
            found.append(blocks.ravel())
        return np.concatenate(found)[self._upper]

    @cached_property
    def _own_pairs(self) -> list[_OwnPairs]:
        found = []
        for pairs in self._pairs:
            if pairs.precision is not None:
                used = (pairs.precision != 0.0) | (pairs.first == pairs.second)
                where = self._pattern.locate(*(part[used] for part in self._effects(pairs)))
                on_diagonal = (pairs.first == pairs.second)[used]
                found.append(_OwnPairs(where, on_diagonal, pairs.precision[used]))
        return found


class SparseFactorization(Factorization):
    """M at given factors, as a sparse Cholesky factor.

    Parameters
    ----------
    gram : SparseGram
        What is factorized.
    factors : sequence of ndarray
        Factor T of each term, (q, q).

    Raises
    ------
    DegenerateModelError
        If M is not positive definite in floating-point arithmetic.
    """

    def __init__(self, gram: SparseGram, factors: Sequence[Array]) -> None:
        self._gram = gram
        # What is too large is an error there.
        with np.errstate(over="ignore", invalid="ignore"):
            entries = gram._entries(factors)
        self._cholesky = gram._pattern.factorize(entries)
        self.log_det = self._cholesky.log_det - gram._log_det_precision

    def solve(self, right: Array) -> Array:
        return self._cholesky.solve(right)

    def traces(self) -> list[Array]:
        found = []
        for pairs in self._gram._own_pairs:
            parts = pairs.precision[:, None, None] * self._inverse[pairs.where]
            across = parts[~pairs.on_diagonal].sum(axis=0)
            found.append(parts[pairs.on_diagonal].sum(axis=0) + across + across.T)
        return found

    def blocks(self) -> list[Array]:
        return [self._inverse[p.where[p.on_diagonal]] for p in self._gram._own_pairs]

    def entries(self, rows: Index, columns: Index) -> Array:
        where = self._gram._pattern.locate(rows, columns)
        return np.where(where < 0, np.nan, self._inverse[where])

    @cached_property
    def _inverse(self) -> Array:
        return self._cholesky.selected_inverse()


class _Pairs(NamedTuple):
    """Pairs of levels of two terms for which M is not 0, in the upper triangle of levels.

    Attributes
    ----------
    left, right : int
        The terms, ``left <= right``.
    first, second : ndarray of shape (n_pairs,)
        The levels, in increasing order of both.
    blocks : ndarray of shape (n_pairs, q_left * q_right)
        Their blocks of G, row after row.
    precision : ndarray of shape (n_pairs,) or None
        Their entries of P, if left is right.
    """

    left: int
    right: int
    first: Index
    second: Index
    blocks: Array
    precision: Array | None


class _OwnPairs(NamedTuple):
    """Pairs of levels of one term: where the selected inverse has their blocks, and their P."""

    where: Index
    on_diagonal: NDArray[np.bool_]
    precision: Array


def _pairs_of(
    gram: csc_array, layouts: Sequence[Layout], precisions: Sequence[Any]
) -> list[_Pairs]:
    starts = np.cumsum([0, *(layout.size for layout in layouts)])
    found = []
    for right, precision in enumerate(precisions):
        columns = gram[:, starts[right] : starts[right + 1]].tocsr()
        for left in range(right):
            part = coo_array(columns[starts[left] : starts[left + 1]])
            found.append(_pairs_of_terms(left, right, layouts, part))
        own = coo_array(columns[starts[right] : starts[right + 1]])
        found.append(_pairs_of_term(right, layouts, own, precision))
    return found


def _pairs_of_terms(
    left: int, right: int, layouts: Sequence[Layout], part: coo_array, extra: Any = ()
) -> _Pairs:
    """Pairs of levels for which `part` of G is not 0, and those of the keys in `extra`."""
    (_, q), (n, r) = layouts[left], layouts[right]
    keys = part.row.astype(np.int64) // q * n + part.col // r
    known = np.unique(np.concatenate([keys, np.asarray(extra, np.int64)]))
    blocks = np.zeros((known.size, q * r))
    blocks[np.searchsorted(known, keys), part.row % q * r + part.col % r] = part.data
    return _Pairs(left, right, known // n, known % n, blocks, None)


def _pairs_of_term(term: int, layouts: Sequence[Layout], part: coo_array, precision: Any) -> _Pairs:
    n, q = layouts[term]
    known = coo_array(identity(n) if precision is None else precision)
    upper = known.row <= known.col
    rows, columns, values = known.row[upper], known.col[upper], known.data[upper]
    keys = rows.astype(np.int64) * n + columns
    upper = part.row // q <= part.col // q
    part = coo_array((part.data[upper], (part.row[upper], part.col[upper])), shape=part.shape)
    pairs = _pairs_of_terms(term, term, layouts, part, keys)
    found = np.zeros(pairs.first.size)
    np.add.at(found, np.searchsorted(pairs.first * n + pairs.second, keys), values)
    return pairs._replace(precision=found)
