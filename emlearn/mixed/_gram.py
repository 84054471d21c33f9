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
from scipy.sparse import issparse

Array = NDArray[np.float64]


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
