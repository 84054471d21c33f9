"""The flow of genes from ancestors to descendants, one generation after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Entries of the blocks of right sides: they stay in the cache of the processor.
_BLOCK = 1 << 20


class GeneFlow:
    """Products with the matrix T of gene flow, ``inv(T) = I - half``.

    Parameters
    ----------
    half : CSR array of shape (n, n)
        Shares of genes that individuals have from their parents.
    generations : sequence of ndarray
        Individuals of each generation, which have all their parents in earlier ones.

    Attributes
    ----------
    order : ndarray of shape (n_kept,)
        All individuals of the generations: the rows of what is multiplied.
    starts : ndarray of shape (n_generations + 1,)
        First row of each generation, and the number of rows.
    """

    def __init__(self, half: Any, generations: Sequence[Index]):
        self.order = np.concatenate(generations)
        self.starts = np.cumsum([0, *map(len, generations)])
        sorted_half = half[self.order][:, self.order].tocsr()
        self._steps = []
        for start, stop in zip(self.starts[1:-1], self.starts[2:], strict=True):
            rows = sorted_half[start:stop]
            ancestors = np.unique(rows.indices)
            self._steps.append((start, stop, ancestors, rows[:, ancestors].tocsr()))

    def descend(self, values: Array) -> None:
        """``T @ values`` in place; rows after some generation may be left out."""
        for start, stop, ancestors, shares in self._steps:
            if start >= len(values):
                break
            values[start:stop] += shares @ values[ancestors]

    def ascend(self, values: Array) -> None:
        """``T.T @ values`` in place; rows after some generation may be left out."""
        for start, stop, ancestors, shares in reversed(self._steps):
            if start < len(values):
                values[ancestors] += shares.T @ values[start:stop]


def mendelian_variances(parents: Index, inbreeding: Array) -> Array:
    """Variances of Mendelian sampling, (n,).

    Parameters
    ----------
    parents : ndarray of shape (n, 2)
        Positions of the parents; -1 for unknown ones.
    inbreeding : ndarray of shape (n_all,)
        Coefficients of inbreeding of all individuals.
    """
    explained = np.where(parents >= 0, 1.0 + inbreeding[parents], 0.0).sum(axis=1)
    return 1.0 - 0.25 * explained


def inbreeding_of(parents: Index, half: Any, generations: Sequence[Index]) -> Array:
    """Coefficients of inbreeding, (n,)."""
    inbreeding = np.zeros(len(parents))
    parental = np.zeros(len(parents), bool)
    parental[parents[parents >= 0]] = True
    flow = GeneFlow(half, [members[parental[members]] for members in generations])
    row_of = np.full(len(parents), -1, np.intp)
    row_of[flow.order] = np.arange(len(flow.order))
    variances = np.ones(len(flow.order))
    for generation, members in enumerate(generations):
        start, stop = flow.starts[generation : generation + 2]
        variances[start:stop] = mendelian_variances(parents[flow.order[start:stop]], inbreeding)
        members = members[(parents[members] >= 0).all(axis=1)]
        if members.size:
            pairs, which = np.unique(row_of[parents[members]], axis=0, return_inverse=True)
            shared = _relationships(flow, variances[:start], pairs)
            inbreeding[members] = 0.5 * shared[which.ravel()]
    return inbreeding


def _relationships(flow: GeneFlow, variances: Array, pairs: Index) -> Array:
    """Relationships of pairs of rows of the flow, (n_pairs,)."""
    fewer = 0 if len(np.unique(pairs[:, 0])) <= len(np.unique(pairs[:, 1])) else 1
    columns, column = np.unique(pairs[:, fewer], return_inverse=True)
    found = np.empty(len(pairs))
    width = max(16, _BLOCK // len(variances))
    for start in range(0, len(columns), width):
        block = columns[start : start + width]
        values = np.zeros((len(variances), len(block)))
        values[block, np.arange(len(block))] = 1.0
        flow.ascend(values)
        values *= variances[:, None]
        flow.descend(values)
        mine = (column >= start) & (column < start + len(block))
        found[mine] = values[pairs[mine, 1 - fewer], column[mine] - start]
    return found
