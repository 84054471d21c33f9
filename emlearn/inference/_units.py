"""What is resampled: rows, sequences or groups of these, and their copies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data import read_weight
from emlearn.data.resampling import check_copies, dirichlet_copies, resampled_copies

Array = NDArray[np.float64]

#: Number of parts that are left out in turn if there are more units than this.
JACKKNIFE_PARTS = 200


class Units(NamedTuple):
    """The independent units of the data.

    Attributes
    ----------
    n : int
        Number of units.
    copies : ndarray of shape (n,) or None
        How many copies of each unit there are; None means 1 each.
    of_items : ndarray of shape (n_items,) or None
        The unit of each row (or sequence); None if each is a unit.
    item_weight : ndarray of shape (n_items,) or None
        Weights of the rows (or sequences) within their units.
    what : str
        What a unit is called.
    """

    n: int
    copies: Array | None
    of_items: NDArray[np.intp] | None
    item_weight: Array | None
    what: str

    @classmethod
    def read(cls, n_items: int, item: str, sample_weight: Any, groups: Any) -> Units:
        """Units of rows or sequences with these weights, in these groups.

        Raises
        ------
        ValueError
            If the weights or groups are invalid.
        """
        weight = read_weight(sample_weight, n_items, item)
        if groups is None:
            check_copies(weight, item)
            return cls(n_items, weight, None, None, item)
        labels = np.asarray(groups)
        if labels.shape != (n_items,):
            raise ValueError(
                f"groups must have one label for each {item}, shape ({n_items},); got shape "
                f"{labels.shape}."
            )
        if any(label is None or label != label for label in labels.tolist()):
            raise ValueError(f"groups must name the group of each {item}; some are missing.")
        try:
            found, of_items = np.unique(labels, return_inverse=True)
        except TypeError:
            raise ValueError("groups must be all numbers or all strings.") from None
        return cls(len(found), None, of_items.reshape(-1), weight, "group")

    def weights(self, copies: Array) -> Array:
        """Weights of the rows or sequences if there are so many copies of the units."""
        if self.of_items is None:
            return copies
        own = copies[self.of_items]
        return own if self.item_weight is None else own * self.item_weight

    def draw(self, kind: str, rng: np.random.Generator) -> Array:
        """Copies of the units in a resample."""
        drawn = dirichlet_copies if kind == "bayesian" else resampled_copies
        return drawn(self.n, self.copies, rng)

    @property
    def n_copies(self) -> int:
        """Number of units of positive weight, each counted as often as there are copies."""
        if self.copies is None:
            return self.n
        return int(self.copies.sum()) if self._are_counts() else int(np.count_nonzero(self.copies))

    def _are_counts(self) -> bool:
        return self.copies is not None and bool((self.copies == np.floor(self.copies)).all())

    def left_out(self, rng: np.random.Generator) -> list[Array]:
        """Copies of the units without each of them in turn, or without each of 200 random parts.

        Copies of a unit are left out one by one, as the same rows repeated would be. Weights that
        are no integers are left out as a whole.
        """
        n = self.n_copies
        n_parts = min(n, JACKKNIFE_PARTS)
        if self._are_counts():
            assert self.copies is not None
            return _without_counts(self.copies.astype(np.int64), n, n_parts, rng)
        full = np.ones(self.n) if self.copies is None else self.copies
        parts = np.array_split(rng.permutation(np.flatnonzero(full)), n_parts)
        kept = []
        for part in parts:
            rest = full.copy()
            rest[part] = 0.0
            kept.append(rest)
        return kept


def _without_counts(
    copies: NDArray[np.int64], n: int, n_parts: int, rng: np.random.Generator
) -> list[Array]:
    rest, kept = copies.copy(), []
    sizes = [n // n_parts + (part < n % n_parts) for part in range(n_parts)]
    for size in sizes:
        part = rng.multivariate_hypergeometric(rest, size, method="marginals")
        rest = rest - part
        kept.append((copies - part).astype(np.float64))
    return kept
