"""Cross-products of which the first term is block diagonal.

The levels of one grouping factor share no row, so that its part of ``M = T' G T + P`` is block
diagonal; and the effects of one dense kinship can be rotated such that its part is diagonal. This
term is eliminated block by block. What is left for the other terms is their Schur complement,
which is dense. With a single term, the cost of a factorization is linear in the number of levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve, lapack

from emlearn.engine.errors import DegenerateModelError
from emlearn.mixed._gram import Array, Factorization, Gram, Index, Layout, scaled, scaled_back


class BlockGram(Gram):
    """Cross-products of one block diagonal term, and of others.

    Parameters
    ----------
    blocks : ndarray of shape (n_levels, q, q) or None
        Diagonal blocks of the first term; None: no term is block diagonal.
    layouts : sequence of Layout
        All terms.
    between : ndarray of shape (n_levels * q, m_others), default=None
        Cross-products of the first term with the others.
    others : ndarray of shape (m_others, m_others), default=None
        Cross-products of the others.
    """

    def __init__(
        self,
        blocks: Array | None,
        layouts: Sequence[Layout],
        between: Array | None = None,
        others: Array | None = None,
    ):
        self.layouts = tuple(layouts)
        # Without a block diagonal term, one without levels is eliminated.
        self.has_first = blocks is not None
        self.first = self.layouts[0] if self.has_first else Layout(0, 1)
        self.rest = self.layouts[self.has_first :]
        self.diagonal = np.zeros((0, 1, 1)) if blocks is None else blocks
        width = sum(layout.size for layout in self.rest)
        self.between = np.zeros((self.first.size, width)) if between is None else between
        self.others = np.zeros((0, 0)) if others is None else others

    def split(self, factors: Sequence[Array]) -> tuple[Array, list[Array]]:
        """The factor of the block diagonal term, and those of the others."""
        first = factors[0] if self.has_first else np.eye(1)
        return first, list(factors[self.has_first :])

    def multiply(self, effects: Array) -> Array:
        """See `Gram`."""
        n, q = self.first
        first = effects[: n * q]
        found = _blockwise(self.diagonal, first)
        if not self.rest:
            return found
        rest = effects[n * q :]
        found += self.between @ rest
        return np.concatenate([found, self.between.T @ first + self.others @ rest])

    def factorize(self, factors: Sequence[Array]) -> BlockFactorization:
        """See `Gram`."""
        return BlockFactorization(self, factors)


class BlockFactorization(Factorization):
    """The block diagonal term is factorized block by block, the others by a Schur complement."""

    def __init__(self, gram: BlockGram, factors: Sequence[Array]):
        self._gram = gram
        factor, self._others = gram.split(factors)
        q = gram.first.n_columns
        matrices = factor.T @ gram.diagonal @ factor
        matrices[:, range(q), range(q)] += 1.0
        if q == 1:
            if not (matrices > 0.0).all():
                raise DegenerateModelError("the mixed-model equations are singular")
            self._inverse = 1.0 / matrices
            self.log_det = float(np.log(matrices.ravel()).sum())
        else:
            try:
                cholesky = np.linalg.cholesky(matrices)
            except np.linalg.LinAlgError:
                raise DegenerateModelError("the mixed-model equations are singular") from None
            root = np.linalg.inv(cholesky)
            self._inverse = root.transpose(0, 2, 1) @ root
            pivots = np.ascontiguousarray(np.diagonal(cholesky, axis1=1, axis2=2))
            self.log_det = 2.0 * float(np.log(pivots).sum())
        if gram.rest:
            self._eliminate(factor)

    def _eliminate(self, first: Array) -> None:
        """Schur complement of the other terms, and ``inv(M_11) M_12``."""
        gram = self._gram
        rest, others = gram.rest, self._others
        # inv(M_11) T_1' G_12: without the factors of the others, which multiply from outside.
        inner = self._inverse @ first.T
        self._reduced = _blockwise(inner, gram.between)
        schur = gram.others - gram.between.T @ _blockwise(first @ inner, gram.between)
        schur = scaled_back(scaled_back(schur, rest, others).T, rest, others)
        schur[np.diag_indices_from(schur)] += 1.0
        self._schur, failed = lapack.dpotrf(schur, lower=1, overwrite_a=1, clean=1)
        if failed:
            raise DegenerateModelError("the mixed-model equations are singular")
        self.log_det += 2.0 * float(np.log(np.diagonal(self._schur).copy()).sum())

    def solve(self, right: Array) -> Array:
        """See `Factorization`."""
        gram = self._gram
        first, rest, others = right[: gram.first.size], gram.rest, self._others
        found = _blockwise(self._inverse, first)
        if not rest:
            return found
        below = right[gram.first.size :] - scaled_back(self._reduced.T @ first, rest, others)
        below = cho_solve((self._schur, True), below, check_finite=False)
        found -= self._reduced @ scaled(below, rest, others)
        return np.concatenate([found, below])

    @cached_property
    def _schur_inverse(self) -> Array:
        inverse: Array = lapack.dpotri(self._schur, lower=1)[0]
        return np.tril(inverse) + np.tril(inverse, -1).T

    def traces(self) -> list[Array]:
        """See `Factorization`."""
        return [block.sum(axis=0) for block in self.blocks()]

    @cached_property
    def _blocks(self) -> list[Array]:
        gram = self._gram
        if not gram.rest:
            return [self._inverse] if gram.has_first else []
        rest, others = gram.rest, self._others
        inverse = self._schur_inverse
        found, start = [], 0
        for size, q in rest:
            at = start + np.arange(size * q).reshape(size, q)
            found.append(inverse[at[:, :, None], at[:, None, :]])
            start += size * q
        covariance = scaled(scaled(inverse, rest, others).T, rest, others)
        if not gram.has_first:
            return found
        return [self._inverse + self._added(covariance), *found]

    def _added(self, covariance: Array) -> Array:
        """Blocks of ``R C R'`` for the reduced cross-products R and the covariance C of others."""
        gram = self._gram
        n, q = gram.first
        found = np.empty((n, q, q))
        # Blocks of levels, so that nothing larger than the matrix of the others is made.
        step = max(1, len(covariance) // q)
        for begin in range(0, n, step):
            end = min(begin + step, n)
            part = self._reduced[begin * q : end * q]
            image = (part @ covariance).reshape(end - begin, q, -1)
            found[begin:end] = image @ part.reshape(end - begin, q, -1).transpose(0, 2, 1)
        return found

    def blocks(self) -> list[Array]:
        """See `Factorization`."""
        return self._blocks

    def entries(self, rows: Index, columns: Index) -> Array:
        """See `Factorization`."""
        if self._gram.rest:
            return super().entries(rows, columns)
        q = self._gram.first.n_columns
        level, other = rows // q, columns // q
        return np.where(level == other, self._inverse[level, rows % q, columns % q], 0.0)


def _blockwise(blocks: Array, effects: Array) -> Array:
    """Product of a block diagonal matrix (n, q, q) with effects (n * q, k)."""
    n, q, _ = blocks.shape
    width = effects.shape[1]
    found: Array = (blocks @ effects.reshape(n, q, width)).reshape(n * q, width)
    return found
