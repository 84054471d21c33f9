"""Pairs of records with their comparison vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Code of a comparison that cannot be made, in arrays of levels.
MISSING = -1


@dataclass(frozen=True, eq=False)
class RecordPairs:
    """Pairs of records and the levels of their comparisons; made by `compare_records`.

    `RecordLinkageEM` takes it in place of an array: names, numbers of levels, counts and
    frequencies then need not be passed.

    Attributes
    ----------
    levels : ndarray of shape (n_pairs, n_comparisons), dtype int8
        Level of each comparison: 0 is disagreement, the last one exact agreement, -1 not
        comparable.
    names : tuple of str
        Names of the comparisons.
    level_names : tuple of tuple of str
        Names of the levels of each comparison.
    left, right : ndarray of shape (n_pairs,) or None
        Positions of the two records in the left and right table (the same table if there is one).
        They count rows from 0, whatever the index of a DataFrame. None for patterns.
    frequency : ndarray of shape (n_pairs, n_comparisons) or None
        Relative frequency of the value on which the two records agree exactly; NaN where they do
        not, and for comparisons without term frequencies.
    counts : ndarray of shape (n_pairs,) or None
        Number of pairs of each row, if rows are distinct patterns; None means 1 each.
    """

    levels: NDArray[np.int8]
    names: tuple[str, ...]
    level_names: tuple[tuple[str, ...], ...]
    left: NDArray[np.intp] | None = None
    right: NDArray[np.intp] | None = None
    frequency: NDArray[np.float64] | None = None
    counts: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Number of pairs, or of patterns."""
        return len(self.levels)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """Number of levels of each comparison."""
        return tuple(len(own) for own in self.level_names)

    @property
    def X(self) -> NDArray[np.float64]:
        """Levels as numbers, (n_pairs, n_comparisons), with NaN where not comparable."""
        return np.where(self.levels == MISSING, np.nan, self.levels)

    def take(self, index: Any) -> Self:
        """Some of the pairs: positions, a slice or a mask.

        Parameters
        ----------
        index : array-like or slice
            Which pairs.

        Returns
        -------
        pairs : RecordPairs
            These pairs, in this order.
        """
        chosen = index if isinstance(index, slice) else np.asarray(index)

        def part(array: Array | None) -> Any:
            return None if array is None else array[chosen]

        return type(self)(
            self.levels[chosen],
            self.names,
            self.level_names,
            part(self.left),
            part(self.right),
            part(self.frequency),
            part(self.counts),
        )

    def to_frame(self) -> Any:
        """A pandas DataFrame of the levels.

        Its index is made of the positions of the records, unless the rows are patterns.

        Returns
        -------
        frame : DataFrame of shape (n_pairs, n_comparisons)
            Levels, with NaN where not comparable.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas as pd

        index = None
        if self.left is not None and self.right is not None:
            index = pd.MultiIndex.from_arrays([self.left, self.right], names=["left", "right"])
        return pd.DataFrame(self.X, index=index, columns=list(self.names))


def joined(parts: list[RecordPairs]) -> RecordPairs:
    """The pairs of several parts, one after another; all of the same comparisons."""
    if len(parts) == 1:
        return parts[0]

    def together(name: str) -> Any:
        own = [getattr(part, name) for part in parts]
        return None if own[0] is None else np.concatenate(own)

    first = parts[0]
    fields = ("left", "right", "frequency", "counts")
    return RecordPairs(
        together("levels"), first.names, first.level_names, *(together(name) for name in fields)
    )
