"""Which structure the cross-products of random effects have, and so how they are factorized.

Grouping factors, crossed or nested, and pedigrees: sparse (`SparseGram`). A single term whose
levels are independent, or that can be rotated to be so, and terms with dense designs beside it:
block diagonal with a dense rest (`BlockGram`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csc_array, hstack

from emlearn.mixed._block_gram import BlockGram
from emlearn.mixed._designs import TermDesign, rotated, term_design
from emlearn.mixed._gram import Array, Gram, is_sparse
from emlearn.mixed._sparse_gram import SparseGram
from emlearn.mixed._terms import Term


def structure(
    terms: Sequence[Term], sqrt_weight: Array, n_observations: float
) -> tuple[tuple[TermDesign, ...], tuple[int, ...], Gram, list[Any]]:
    """Designs of the terms, and the structure of their cross-products.

    Parameters
    ----------
    terms : sequence of Term
        The terms.
    sqrt_weight : ndarray of shape (n_samples,)
        Square roots of the weights.
    n_observations : float
        Number of observations that they stand for.

    Returns
    -------
    designs : tuple of TermDesign
        The terms in the order of the cross-products.
    order : tuple of int
        Numbers of these terms.
    gram : Gram
        The cross-products.
    matrices : list of sparse matrix or ndarray
        Design of each of them.
    """
    n_dense = sum(not term.grouped or _is_dense(term) for term in terms)
    sparse = any(term.kinship is not None and term.kinship.has_precision for term in terms)
    rows = sqrt_weight, n_observations
    if n_dense == 0 and (sparse or len(terms) > 1):
        return _sparse([term_design(term, *rows, dense=False) for term in terms])
    order = sorted(range(len(terms)), key=lambda i: _rank(terms[i]))
    rest = [terms[i] for i in order]
    designs, blocks = [], None
    if rest and _is_block_diagonal(rest[0]):
        first = rest.pop(0)
        if first.grouped and first.kinship is None:
            design = term_design(first, *rows, dense=True)
            blocks = _level_blocks(design)
        else:
            design, values = rotated(first, *rows)
            blocks = values[:, None, None]
        designs.append(design)
    designs += [term_design(term, *rows, dense=True) for term in rest]
    return _blocked(designs, order, blocks)


def _is_dense(term: Term) -> bool:
    return term.kinship is not None and not term.kinship.has_precision


def _rank(term: Term) -> tuple[bool, int]:
    """The term to eliminate comes first: the largest of those that are block diagonal."""
    if not term.grouped:
        return False, -term.basis.shape[1]
    n_levels = len(term.levels) if term.kinship is None else term.kinship.rank
    return not _is_block_diagonal(term), -n_levels * len(term.columns)


def _is_block_diagonal(term: Term) -> bool:
    """Whether it is, or can be rotated to be."""
    return not term.grouped or term.kinship is None or len(term.columns) == 1


def _blocked(
    designs: list[TermDesign], order: Sequence[int], blocks: Array | None
) -> tuple[tuple[TermDesign, ...], tuple[int, ...], Gram, list[Any]]:
    """Cross-products of which the first term has the blocks, if it is block diagonal."""
    matrices = [design.matrix() for design in designs]
    between = others = None
    rest = matrices[blocks is not None :]
    if rest:
        whole = np.concatenate([m.toarray() if is_sparse(m) else m for m in rest], axis=1)
        others = whole.T @ whole
        between = None if blocks is None else np.asarray(matrices[0].T @ whole)
    gram = BlockGram(blocks, [design.layout for design in designs], between, others)
    return tuple(designs), tuple(order), gram, matrices


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
