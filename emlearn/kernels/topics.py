"""Mixtures of topics at the words of documents, in scipy and in the compiled kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.kernels import compiled

Array = NDArray[np.float64]

#: The number of topics that `topic_step` reads is a multiple of this.
LANES = 8

# Numbers of an array of entries times topics that numpy makes at a time.
_MOST = 2**19


class Words(NamedTuple):
    """The words of some documents.

    Attributes
    ----------
    starts : ndarray of shape (n_documents + 1,) of int64
        Where the words of each document start.
    words : ndarray of shape (n_entries,) of int32
        Numbers of the words.
    counts : ndarray of shape (n_entries,)
        How often each is in the document; positive.
    """

    starts: NDArray[np.int64]
    words: NDArray[np.int32]
    counts: Array

    @classmethod
    def of(cls, counts: Any) -> Words:
        """The words of a CSR array of counts, all positive."""
        starts, words = counts.indptr.astype(np.int64), counts.indices.astype(np.int32, copy=False)
        return cls(starts, words, np.asarray(counts.data, np.float64))

    def at(self, documents: slice) -> Words:
        """The words of successive documents."""
        starts = self.starts[documents.start : documents.stop + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        return Words(starts - starts[0], self.words[entries], self.counts[entries])


def pad_topics(values: Array) -> Array:
    """The same with columns of zeros up to a multiple of `LANES`, as a C-contiguous array."""
    n, k = values.shape
    padded = np.zeros((n, -(-k // LANES) * LANES))
    padded[:, :k] = values
    return padded


def topic_step(
    words: Words,
    documents: Array,
    topics: Array,
    weight: Array | None,
    word_sums: Array | None,
) -> tuple[Array, Array]:
    """Counts divided by their mixtures, times what they are mixtures of.

    The mixture of a word in a document is ``documents[d] @ topics[w]``.

    Parameters
    ----------
    words : Words
        The words.
    documents : ndarray of shape (n_documents, n_topics)
        Numbers >= 0 of each document; `n_topics` is a multiple of `LANES`.
    topics : ndarray of shape (n_words, n_topics)
        Numbers >= 0 of each word.
    weight : ndarray of shape (n_documents,) or None
        Weights of the documents; None means 1 each.
    word_sums : ndarray of shape (n_words, n_topics) or None
        Sums of ``weight * counts / mixture * documents`` over the documents are added to it.

    Returns
    -------
    document_sums : ndarray of shape (n_documents, n_topics)
        Sums of ``counts / mixture * topics`` over the words of each document.
    values : ndarray of shape (n_documents,)
        Sum of ``counts * log(mixture)`` of each document; -inf if a word has a mixture of 0.
    """
    if compiled is not None:
        sums, values = np.empty_like(documents), np.empty(len(documents))
        compiled.topic_step(*words, documents, topics, weight, sums, values, word_sums)
        return sums, values
    starts, columns, counts = words
    n_documents = len(documents)
    row = np.repeat(np.arange(n_documents), np.diff(starts))
    mixture = np.empty(len(counts))
    size = max(_MOST // documents.shape[1], 1)
    for start in range(0, len(counts), size):
        part = slice(start, start + size)
        np.einsum("ek,ek->e", documents[row[part]], topics[columns[part]], out=mixture[part])
    possible = mixture >= np.finfo(np.float64).tiny
    np.copyto(mixture, np.inf, where=~possible)
    ratio = csr_array((counts / mixture, columns, starts), shape=(n_documents, len(topics)))
    if word_sums is not None:
        weighted = documents if weight is None else documents * weight[:, None]
        word_sums += np.asarray(ratio.T @ weighted)
    terms = counts * np.log(mixture, where=possible, out=np.full_like(mixture, -np.inf))
    values = np.bincount(row, terms, n_documents).astype(np.float64)
    return np.asarray(ratio @ topics), values
