"""Rows that form sequences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Packed(NamedTuple):
    """Rows of several sequences in the order of time, the longest sequence first.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,)
        The first rows of all sequences, then the second rows, and so on.
    steps : list of slice
        Place in `rows` of each step in time. Step t has one row for each sequence that is
        longer than t; these sequences come first in `order`.
    order : ndarray of shape (n_sequences,)
        The sequences in order of decreasing length.
    last : ndarray of shape (n_sequences,)
        Place in `rows` of their last rows.
    """

    rows: Array
    steps: list[slice]
    order: Array
    last: Array


@dataclass(frozen=True)
class Sequences:
    """Sequences that follow one another.

    Attributes
    ----------
    edges : ndarray of shape (n_sequences + 1,)
        Sequence s has the rows ``edges[s]:edges[s + 1]``.
    """

    edges: Array

    @classmethod
    def of_lengths(cls, lengths: Array) -> Sequences:
        """Sequences of given lengths."""
        edges = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=edges[1:])
        return cls(edges)

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def n_rows(self) -> int:
        """Number of rows of all sequences."""
        return int(self.edges[-1])

    @property
    def first(self) -> Array:
        """The first row of each sequence."""
        return self.edges[:-1]

    @property
    def last(self) -> Array:
        """The last row of each sequence."""
        return self.edges[1:] - 1

    @cached_property
    def lengths(self) -> Array:
        """Number of rows of each sequence."""
        return np.diff(self.edges)

    @cached_property
    def packed(self) -> Packed:
        """The rows in the order of time."""
        order = np.argsort(-self.lengths, kind="stable")
        lengths = self.lengths[order]
        first = np.repeat(self.first[order], lengths)
        in_order = Sequences.of_lengths(lengths)
        time = np.arange(self.n_rows) - np.repeat(in_order.first, lengths)
        by_time = np.argsort(time, kind="stable")
        counts = np.bincount(time)
        edges = np.append(0, np.cumsum(counts))
        steps = [slice(*pair) for pair in pairwise(edges.tolist())]
        last = edges[lengths - 1] + np.arange(len(self))
        return Packed((first + time)[by_time], steps, order, last)

    def select(self, chosen: Array) -> tuple[Sequences, Array]:
        """Some of the sequences, and the positions of their rows."""
        part = Sequences.of_lengths(self.lengths[chosen])
        offset = np.repeat(self.first[chosen] - part.first, part.lengths)
        return part, np.arange(part.n_rows) + offset

    def cut(self) -> tuple[Sequences, Array]:
        """Cut the sequences into pieces if they are few and long.

        The number of pieces is about the length of each.

        Returns
        -------
        pieces : Sequences
            The pieces, which cover the same rows.
        owner : ndarray of shape (n_pieces,)
            The sequence that each piece belongs to.
        """
        longest = int(self.lengths.max())
        # Otherwise the sequences side by side keep numpy busy, or there is nothing to gain.
        if longest < _LONG or self.n_rows > _MANY * longest:
            return self, np.arange(len(self))
        size = int(np.sqrt(longest)) + 1
        n_pieces = -(-self.lengths // size)
        owner = np.repeat(np.arange(len(self)), n_pieces)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
        edges = np.append(self.first[owner] + size * place, self.n_rows)
        return Sequences(edges), owner


# Shorter sequences, or more of them side by side, are not cut.
_LONG = 100
_MANY = 100
