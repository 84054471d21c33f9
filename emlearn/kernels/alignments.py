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
    """The links of target words to the source words of their sentences.

    Attributes
    ----------
    entries : ndarray of shape (n_links,) of int32
        Entry of each link in the table of translations. The links of a target word follow one
        another, those of a pair of sentences too.
    starts : ndarray of shape (n_words + 1,) of int64
        Where the links of each target word start.
    cell_starts : ndarray of shape (n_words,) of int64
        Where the cells of each target word start in the table of positions.
    """

    entries: NDArray[np.int32]
    starts: Index
    cell_starts: Index

    def at(self, words: slice) -> Links:
        """The links of successive target words."""
        starts = self.starts[words.start : words.stop + 1]
        entries = self.entries[int(starts[0]) : int(starts[-1])]
        return Links(entries, starts - starts[0], self.cell_starts[words])

    @property
    def words(self) -> Index:
        """Target word of each link."""
        return np.repeat(np.arange(len(self.cell_starts)), np.diff(self.starts))

    @property
    def cells(self) -> Index:
        """Cell of each link."""
        sizes = np.diff(self.starts)
        return np.arange(len(self.entries)) + np.repeat(self.cell_starts - self.starts[:-1], sizes)


def link_step(
    links: Links,
    translation: Array,
    cells: Array,
    weight: Array | None,
    counts: Array | None,
    cell_counts: Array | None,
) -> Array:
    """Probabilities of target words, and expected numbers of links.

    The probability of a target word is the sum of ``translation * cells`` over its links.

    Parameters
    ----------
    links : Links
        The links.
    translation : ndarray of shape (n_entries,)
        Table of translations.
    cells : ndarray of shape (n_cells,)
        Table of positions.
    weight : ndarray of shape (n_words,) or None
        Weights of the target words; None means 1 each.
    counts : ndarray of shape (n_entries,) or None
        Weights times the parts of the links in the probabilities are added to it.
    cell_counts : ndarray of shape (n_cells,) or None
        The same of the cells. Only with `counts`.

    Returns
    -------
    values : ndarray of shape (n_words,)
        Probability of each target word; 0 where it underflows. Such a word adds no counts.
    """
    if compiled is not None:
        values = np.empty(len(links.cell_starts))
        compiled.link_step(*links, translation, cells, weight, values, counts, cell_counts)
        return values
    word, cell = links.words, links.cells
    terms = translation[links.entries] * cells[cell]
    total = np.bincount(word, terms, len(links.cell_starts))
    possible = total >= _TINY
    if counts is not None:
        factor = np.divide(1.0, total, out=np.zeros_like(total), where=possible)
        if weight is not None:
            factor *= weight
        terms *= factor[word]
        counts += np.bincount(links.entries, terms, len(counts))
        if cell_counts is not None:
            cell_counts += np.bincount(cell, terms, len(cell_counts))
    return np.where(possible, total, 0.0)


def look_up_links(
    table: tuple[Index, NDArray[np.int32]],
    source: NDArray[np.int32],
    source_starts: Index,
    target: NDArray[np.int32],
    target_starts: Index,
) -> NDArray[np.int32]:
    """Entries of all links between the words of pairs of sentences in a table of translations.

    Parameters
    ----------
    table : tuple of ndarray
        Start of each source word among the entries, and target word of each entry, increasing
        for each source word.
    source, target : ndarray of shape (n_positions,) of int32
        Words of all sentences. There is a row of the table for each source word.
    source_starts, target_starts : ndarray of shape (n_pairs + 1,) of int64
        Where each sentence starts.

    Returns
    -------
    entries : ndarray of shape (n_links,) of int32
        For each pair, target word and source word; the number of entries plus the source word
        where the two are not in the table.
    """
    row_starts, columns = table
    n = np.diff(source_starts)
    m = np.diff(target_starts)
    link_starts = np.concatenate([[0], np.cumsum(n * m)])
    pair = np.repeat(np.arange(len(n)), n)
    if compiled is not None:
        entries = np.empty(int(link_starts[-1]), np.int32)
        order = np.argsort(source, kind="stable")
        compiled.look_up_links(
            row_starts,
            columns,
            order,
            pair,
            source,
            source_starts,
            target,
            target_starts,
            link_starts,
            entries,
        )
        return entries
    of_word = np.repeat(np.arange(len(n)), n * m)
    within = np.arange(len(of_word)) - link_starts[of_word]
    s = source[source_starts[of_word] + within % n[of_word]].astype(np.int64)
    t = target[target_starts[of_word] + within // n[of_word]]
    n_columns = int(max(columns.max(initial=0), target.max(initial=0))) + 1
    rows = np.repeat(np.arange(len(row_starts) - 1), np.diff(row_starts))
    known = rows * n_columns + columns
    wanted = s * n_columns + t
    place = np.searchsorted(known, wanted)
    hit = place < len(known)
    hit[hit] = known[place[hit]] == wanted[hit]
    return np.where(hit, place, len(known) + s).astype(np.int32)
