"""The contract of kinships: how the levels of a grouping factor are related."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Kinship(ABC):
    """Covariance of the random effects of levels, up to a variance.

    There are two kinds: those with a `square_root`, which is dense, and those with a sparse
    `precision`. `has_precision` says which.
    """

    has_precision: bool = False

    @property
    @abstractmethod
    def levels(self) -> NDArray[Any]:
        """Identifiers of all levels, also of those without observations, (n_levels,)."""

    @abstractmethod
    def square_root(self) -> Array:
        """F with ``F @ F.T`` the covariance, (n_levels, rank)."""

    @abstractmethod
    def diagonal(self) -> Array:
        """Diagonal of the covariance, (n_levels,)."""

    def precision(self) -> Any:
        """Inverse of the covariance as a sparse CSC matrix."""
        raise NotImplementedError

    def log_det_precision(self) -> float:
        """Logarithm of the determinant of the precision."""
        raise NotImplementedError

    def positions(self, identifiers: NDArray[Any]) -> NDArray[np.intp]:
        """Position of each identifier among the levels; -1 where it is unknown."""
        known = {level: i for i, level in enumerate(self.levels.tolist())}
        return np.array([known.get(value, -1) for value in identifiers.tolist()], np.intp)


def as_kinship(kinship: Any, name: str) -> Kinship:
    """A kinship from what a user gives: a matrix, a frame, a `Kinship`.

    Parameters
    ----------
    kinship : Kinship, DataFrame or array-like of shape (n_levels, n_levels)
        Rows and columns of a frame are named by the levels. Those of an array are numbered: the
        levels are 0, 1, 2 ...
    name : str
        Name of the term, for messages.

    Raises
    ------
    ValueError
        If it is not square, symmetric, finite and positive semi-definite, or if names are
        repeated or differ between rows and columns.
    """
    raise NotImplementedError


_ = Sequence
