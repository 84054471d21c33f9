"""What one published array is: its free directions, bounds and fixed entries."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: What rounding may do to fixed entries that must agree with each other.
ROUNDING = 1e-8


class Part(ABC):
    """One published array: which of its entries are free, and where they may move.

    Attributes
    ----------
    axes : tuple of str
        What each axis of the array counts, such as ``("component", "feature")``.
    lower, upper : float
        Bounds of all entries.
    """

    axes: tuple[str, ...]
    lower: float = -np.inf
    upper: float = np.inf

    @abstractmethod
    def directions(self, at: Array, fixed: Mask) -> Array:
        """Directions in which the array can move while the fixed entries stay.

        Parameters
        ----------
        at : ndarray
            The array.
        fixed : ndarray of bool, of the same shape
            Entries that are held.

        Returns
        -------
        directions : ndarray of shape (n_entries, n_free)
            Derivatives of the entries with respect to the free coordinates. Each is of a length
            on which the likelihood changes moderately.
        """

    def count_free(self, at: Array, fixed: Mask) -> int:
        """Number of free coordinates: that of `directions`."""
        return int(self.directions(at, fixed).shape[1])

    def move(self, at: Array, directions: Array, step: Array) -> Array:
        """The array after a step in its free coordinates; by default along straight lines."""
        return at + (directions @ step).reshape(at.shape)

    def tangent(self, at: Array, directions: Array, step: Array) -> Array:
        """Derivatives of the entries with respect to the free coordinates after a step."""
        return directions

    def impose(self, found: Array, fixed: Array) -> Array:
        """The array with the entries of `fixed` that are not NaN put in."""
        return np.where(np.isnan(fixed), found, fixed)

    def check(self, fixed: Array, name: str) -> Array:
        """Entries to hold, checked and completed; NaN where free.

        Raises
        ------
        ValueError
            If no array of this kind has these entries. The message names the parameter.
        """
        known = fixed[~np.isnan(fixed)]
        if not np.isfinite(known).all():
            raise ValueError(f"fixed[{name!r}] has entries that are infinite.")
        if known.size and (known.min() < self.lower or known.max() > self.upper):
            raise ValueError(
                f"fixed[{name!r}] has entries outside of [{self.lower:g}, {self.upper:g}]: "
                f"they range from {known.min():g} to {known.max():g}."
            )
        return fixed

    def at_boundary(self, at: Array, one_row: float, gradient: Array | None) -> Mask:
        """Entries at a bound, where there is no Wald interval.

        Parameters
        ----------
        at : ndarray
            The array.
        one_row : float
            The probability that one row of the data has.
        gradient : ndarray or None
            Gradient of the objective with respect to the entries, if it is known. EM approaches
            a bound slowly: an entry that is close to it and still pushed towards it is there.
        """
        return np.zeros(at.shape, bool)

    def shown(self, at: Array) -> Mask:
        """Entries that a table lists; others repeat these."""
        return np.ones(at.shape, bool)

    def bounds(self, at: Array) -> tuple[Array, Array]:
        """Bounds of each entry."""
        return np.full(at.shape, self.lower), np.full(at.shape, self.upper)
