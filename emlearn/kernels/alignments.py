"""Sums over the links of words in pairs of sentences, in numpy and in the compiled kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels import compiled

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_TINY = float(np.finfo(np.float64).tiny)


class Links(NamedTuple):
    """The links of source words to the target words of their pair of sentences.

    An occurrence is a source word at a position of a sentence. It has a link to each word of the
    target sentence, one after another. Sums are fastest if occurrences are sorted by word.

    Attributes
    ----------
    entries : ndarray of shape (n_links,) of int32
        Entry of each link in the table of translations.
    starts : ndarray of shape (n_occurrences + 1,) of int64
        Where the links of each occurrence start.
    word_starts : ndarray of shape (n_occurrences,) of int64
        First target word of each occurrence.
    cell_starts : ndarray of shape (n_occurrences,) of int64
        Where the cells of each occurrence start in the table of positions; they follow one
        another as the target words do.
    """

    entries: NDArray[np.int32]
    starts: Index
    word_starts: Index
    cell_starts: Index

    @property
    def words(self) -> Index:
        """Target word of each link."""
        return self._along(self.word_starts)

    @property
    def cells(self) -> Index:
        """Cell of each link."""
        return self._along(self.cell_starts)

    def _along(self, first: Index) -> Index:
        return np.arange(len(self.entries)) + np.repeat(
            first - self.starts[:-1], np.diff(self.starts)
        )


def sum_links(links: Links, translation: Array, cells: Array, n_words: int) -> Array:
    """Sums of ``translation * cells`` over the links of each target word.

    Parameters
    ----------
    links : Links
        The links.
    translation : ndarray of shape (n_entries,)
        Table of translations.
    cells : ndarray of shape (n_cells,)
        Table of positions.
    n_words : int
        Number of target words.

    Returns
    -------
    values : ndarray of shape (n_words,)
        The sums; 0 where they underflow.
    """
    if compiled is None:
        terms = translation[links.entries] * cells[links.cells]
        values: Array = np.bincount(links.words, terms, n_words).astype(np.float64)
    else:
        values = np.empty(n_words)
        compiled.sum_links(*links, translation, cells, values)
    values[values < _TINY] = 0.0
    return values


def count_links(
    links: Links,
    translation: Array,
    cells: Array,
    factors: Array,
    counts: Array,
    cell_counts: Array | None,
) -> None:
    """Add ``translation * cells * factors`` of each link to its entry and its cell.

    Parameters
    ----------
    links, translation, cells
        As for `sum_links`.
    factors : ndarray of shape (n_words,)
        Of each target word.
    counts : ndarray of shape (n_entries,)
        Added to.
    cell_counts : ndarray of shape (n_cells,) or None
        Added to.
    """
    if compiled is not None:
        compiled.count_links(*links, translation, cells, factors, counts, cell_counts)
        return
    cell = links.cells
    terms = translation[links.entries] * cells[cell]
    terms *= factors[links.words]
    counts += np.bincount(links.entries, terms, len(counts))
    if cell_counts is not None:
        cell_counts += np.bincount(cell, terms, len(cell_counts))


def best_links(
    links: Links, translation: Array, cells: Array, along: Array, places: Array
) -> Index:
    """The occurrence with the largest ``translation * cells`` of each target word.

    Parameters
    ----------
    links, translation, cells
        As for `sum_links`.
    along : ndarray of shape (n_words,)
        Place of each target word.
    places : ndarray of shape (n_occurrences,)
        Place of each occurrence.

    Returns
    -------
    best : ndarray of shape (n_words,)
        Its number; -1 if all are 0. Of equal ones it is the nearest.
    """
    best = np.full(len(along), -1, np.int64)
    if compiled is not None:
        compiled.best_links(*links, translation, cells, along, places, best)
        return best
    word = links.words
    occurrence = np.repeat(np.arange(len(places)), np.diff(links.starts))
    value = translation[links.entries] * cells[links.cells]
    distance = np.abs(places[occurrence] - along[word])
    # Of each word the last one: the largest value, then the nearest, then the first.
    order = np.lexsort((-occurrence, -distance, value, word))
    last = (
        order[np.flatnonzero(np.append(np.diff(word[order]) != 0, True))] if len(order) else order
    )
    best[word[last]] = np.where(value[last] > 0.0, occurrence[last], -1)
    return best


def link_table(
    source: NDArray[np.int32],
    starts: Index,
    word_starts: Index,
    target: NDArray[np.int32],
    n_rows: int,
) -> tuple[Index, NDArray[np.int32], NDArray[np.int32]]:
    """The pairs of words that occur, and the entry of each link among them.

    Parameters
    ----------
    source : ndarray of shape (n_occurrences,) of int32
        Source word of each occurrence, sorted.
    starts, word_starts : ndarray of int64
        See `Links`.
    target : ndarray of shape (n_words,) of int32
        Target words.
    n_rows : int
        Number of source words.

    Returns
    -------
    row_starts : ndarray of shape (n_rows + 1,) of int64
        Start of each source word among the entries.
    columns : ndarray of shape (n_entries,) of int32
        Target word of each entry, in the order in which the words of a row are met.
    entries : ndarray of shape (n_links,) of int32
        Entry of each link.
    """
    n_links = int(starts[-1])
    if compiled is not None:
        row_starts = np.empty(n_rows + 1, np.int64)
        columns, entries = np.empty(n_links, np.int32), np.empty(n_links, np.int32)
        n_entries = compiled.link_table(
            source, starts, word_starts, target, row_starts, columns, entries
        )
        return row_starts, columns[:n_entries].copy(), entries
    s, t = _words_of_links(source, starts, word_starts, target)
    n_columns = int(target.max(initial=0)) + 1
    known, first, inverse = np.unique(s * n_columns + t, return_index=True, return_inverse=True)
    rows = known // n_columns
    order = np.lexsort((first, rows))
    place = np.empty(len(known), np.int32)
    place[order] = np.arange(len(known), dtype=np.int32)
    counts = np.bincount(rows, minlength=n_rows)
    row_starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return row_starts, (known % n_columns)[order].astype(np.int32), place[inverse.reshape(-1)]


def look_up_links(
    table: tuple[Index, NDArray[np.int32]],
    source: NDArray[np.int32],
    starts: Index,
    word_starts: Index,
    target: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Entries of all links in a table of translations.

    Parameters
    ----------
    table : tuple of ndarray
        Start of each source word among the entries, and target word of each entry.
    source : ndarray of shape (n_occurrences,) of int32
        Source word of each occurrence. There is a row of the table for each.
    starts, word_starts : ndarray of int64
        See `Links`.
    target : ndarray of shape (n_words,) of int32
        Target words.

    Returns
    -------
    entries : ndarray of shape (n_links,) of int32
        The number of entries plus the source word where a pair of words is not in the table.
    """
    row_starts, columns = table
    if compiled is not None:
        entries = np.empty(int(starts[-1]), np.int32)
        order = np.arange(len(source))
        if len(source) and (source[1:] < source[:-1]).any():
            order = np.argsort(source, kind="stable")
        compiled.look_up_links(
            row_starts, columns, order, source, starts, word_starts, target, entries
        )
        return entries
    s, t = _words_of_links(source, starts, word_starts, target)
    n_columns = int(max(columns.max(initial=0), target.max(initial=0))) + 1
    rows = np.repeat(np.arange(len(row_starts) - 1), np.diff(row_starts))
    known = rows * n_columns + columns
    sorted_entries = np.argsort(known)
    known = known[sorted_entries]
    wanted = s * n_columns + t
    place = np.searchsorted(known, wanted)
    hit = place < len(known)
    hit[hit] = known[place[hit]] == wanted[hit]
    found = len(known) + s
    found[hit] = sorted_entries[place[hit]]
    return found.astype(np.int32)


def _words_of_links(
    source: NDArray[np.int32], starts: Index, word_starts: Index, target: NDArray[np.int32]
) -> tuple[Index, NDArray[np.int32]]:
    """Source word and target word of each link."""
    sizes = np.diff(starts)
    position = np.arange(int(starts[-1])) + np.repeat(word_starts - starts[:-1], sizes)
    return np.repeat(source, sizes).astype(np.int64), target[position]
