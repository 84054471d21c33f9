"""Rows of counts as pairs of words and counts, of which few are different."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.distributions._contract import Array


class Table(NamedTuple):
    """The counts of words and the lengths of rows that there are.

    Attributes
    ----------
    level : ndarray of shape (n_levels,)
        The counts.
    pair : ndarray of shape (n_pairs,) of int
        Word times `n_levels` plus number of the count, increasing.
    length : ndarray of shape (n_lengths,)
        Sums of counts.
    """

    level: Array
    pair: NDArray[np.int64]
    length: Array

    def find(self, words: Array, counts: Array) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Numbers of pairs of words and counts, and whether they are here at all."""
        if not len(self.pair):
            return np.zeros(len(counts), np.intp), np.zeros(len(counts), bool)
        at = np.minimum(np.searchsorted(self.level, counts), len(self.level) - 1)
        key = words * np.int64(len(self.level)) + at
        number = np.minimum(np.searchsorted(self.pair, key), len(self.pair) - 1)
        return number, (self.pair[number] == key) & (self.level[at] == counts)

    def find_length(self, total: Array) -> NDArray[np.intp]:
        """Numbers of lengths; -1 where they are not here."""
        if not len(self.length):
            return np.full(len(total), -1, np.intp)
        place = np.minimum(np.searchsorted(self.length, total), len(self.length) - 1)
        return np.where(self.length[place] == total, place, -1)

    def words_and_counts(self) -> tuple[NDArray[np.int64], Array]:
        """The word and the count of each pair."""
        word, which = np.divmod(self.pair, max(len(self.level), 1))
        return word, self.level[which]

    def widened(self, words: Array, counts: Array, total: Array) -> Table:
        """The table with more pairs and lengths, too; itself if it has them all."""
        if self.find(words, counts)[1].all() and (self.find_length(total) >= 0).all():
            return self
        own_words, own_counts = self.words_and_counts()
        words, counts = np.r_[own_words, words], np.r_[own_counts, counts]
        level, which = np.unique(counts, return_inverse=True)
        pair = np.unique(words.astype(np.int64) * np.int64(len(level)) + which)
        return Table(level, pair, np.union1d(self.length, total))

    def is_same(self, other: Table) -> bool:
        """Whether the tables are equal."""
        return self is other or all(map(np.array_equal, self, other))


class DocumentRows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    table : Table
        That of the column spec with which they were encoded.
    counts : CSR array of shape (n_rows, n_features)
        Counts.
    pairs : CSR array of shape (n_rows, n_pairs)
        1 for each pair of a word and its count that the row has.
    others : CSR array of shape (n_rows, n_features) or None
        Counts that are no pair of the column spec; None if there are none.
    length : ndarray of shape (n_rows,) of int
        Number of the sum of the counts; -1 if it is new, or a count is missing.
    total : ndarray of shape (n_rows,)
        Sum of the counts.
    missing : CSR or ndarray of shape (n_rows, n_features) or None
        1 where a count is missing.
    base : ndarray of shape (n_rows,)
        Logarithm of the multinomial coefficient.
    """

    table: Table
    counts: Any
    pairs: Any
    others: Any
    length: NDArray[np.intp]
    total: Array
    missing: Any
    base: Array


def encode_counts(
    counts: csr_array, total: Array, missing: Any, base: Array, table: Table
) -> DocumentRows:
    n_rows = counts.shape[0]
    number, known = table.find(counts.indices, counts.data)
    row = np.repeat(np.arange(n_rows), np.diff(counts.indptr))
    starts = np.concatenate([[0], np.cumsum(np.bincount(row[known], minlength=n_rows))])
    ones = np.ones(int(starts[-1]))
    pairs = csr_array((ones, number[known], starts), shape=(n_rows, len(table.pair)))
    others = None
    if not known.all():
        entries = counts.data[~known], (row[~known], counts.indices[~known])
        others = csr_array(entries, shape=counts.shape)
    length = np.where(complete(missing, n_rows), table.find_length(total), -1)
    return DocumentRows(table, counts, pairs, others, length, total, missing, base)


def in_table(rows: DocumentRows, table: Table) -> DocumentRows:
    """Rows encoded with another column spec."""
    if rows.table.is_same(table):
        return rows
    return encode_counts(rows.counts, rows.total, rows.missing, rows.base, table)


def positive(counts: Any) -> csr_array:
    """Counts as CSR without entries that are 0."""
    found = csr_array(counts)
    if not (found.data > 0.0).all():
        found = found.copy()
        found.eliminate_zeros()
    return found


def complete(missing: Any, n_rows: int) -> NDArray[np.bool_]:
    """Rows without missing counts."""
    if missing is None:
        return np.ones(n_rows, bool)
    return np.asarray(missing.sum(axis=1)) == 0.0
