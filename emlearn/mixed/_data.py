"""The data of a mixed model: all that its E-step reads of the rows.

The fixed effects are an orthonormal basis of the columns of X, and the response is the residual
of ordinary least squares, divided by its standard deviation: nothing depends on the units of the
columns, nor on how far their means are from 0, and no digits cancel in cross-products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from emlearn.mixed._designs import TermDesign
from emlearn.mixed._fixed_basis import FixedBasis, fixed_basis
from emlearn.mixed._gram import Array, Gram, is_sparse
from emlearn.mixed._structure import structure
from emlearn.mixed._terms import Term


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
        parts = [np.asarray(matrix @ rows) for matrix in self._transposed]
        return np.concatenate([*parts, np.zeros((0, rows.shape[1]))])

    @cached_property
    def _transposed(self) -> list[Any]:
        return [csr_array(m.T) if is_sparse(m) else m.T for m in self.matrices]

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
    columns, basis, residual = fixed_basis(
        fixed * sqrt_weight[:, None], response * sqrt_weight, n_observations
    )
    # Also without random effects, one structure serves.
    designs, order, gram, matrices = structure(terms, sqrt_weight, n_observations)
    empty = np.zeros((0, columns.shape[1] + 1))
    parts = (gram, designs, order, tuple(matrices), columns, residual)
    size = float(np.average(np.abs(response), weights=weight))
    data = MixedData(*parts, empty, basis, n_observations, log_weights, size)
    cross = data.gathered(np.concatenate([columns, residual[:, None]], axis=1))
    return replace(data, cross=cross)
