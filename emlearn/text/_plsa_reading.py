"""The reader of counts of words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from emlearn.data import as_numbers, column_label, read_table

Array = NDArray[np.float64]

# Sums of larger counts, times logarithms, could be beyond float64.
_LARGEST = 1e290


def read_documents(estimator: Any, X: Any, *, reset: bool) -> csr_array:
    """Counts of documents and words, without entries that are 0.

    Raises
    ------
    ValueError
        If a count is negative, missing, infinite or too large; its document and word are named.
    """
    table = read_table(
        estimator, X, reset=reset, dtype=(np.float64,), accept_sparse=True, allow_nan=False
    )
    counts = csr_array(table)
    if issparse(table) and not (counts.data != 0.0).all():
        counts = counts.copy()
        counts.eliminate_zeros()
    for wrong, problem in (
        (counts.data < 0.0, "Negative values in data passed to {owner}: {place} has {value:g}. "),
        (counts.data > _LARGEST, "X has a count that is too large: {place} has {value:g}. "),
    ):
        if wrong.any():
            entry = int(np.flatnonzero(wrong)[0])
            row = int(np.searchsorted(counts.indptr, entry, side="right")) - 1
            column = column_label(estimator, int(counts.indices[entry]))
            raise ValueError(
                problem.format(
                    owner=type(estimator).__name__,
                    place=f"row {row}, {column},",
                    value=counts.data[entry],
                )
                + "Entries are counts of words in documents, or weights of them, and are >= 0."
            )
    return counts


def documents_at(counts: csr_array, weight: Array | None) -> csr_array:
    """The counts of the documents of positive weight; other documents are empty."""
    if weight is None or (weight > 0.0).all():
        return counts
    kept = counts.copy()
    kept.data[np.repeat(weight <= 0.0, np.diff(counts.indptr))] = 0.0
    kept.eliminate_zeros()
    return kept


def words_at(counts: csr_array, columns: NDArray[np.bool_]) -> csr_array:
    """The counts of some words; the others are left out."""
    if columns.all():
        return counts
    kept = counts.copy()
    kept.data[~columns[counts.indices]] = 0.0
    kept.eliminate_zeros()
    return kept


def read_components(estimator: Any, components: Any, word_counts: Array) -> Array:
    """P(w|z) to start from, (n_words, n_topics), from `components_init`.

    Raises
    ------
    ValueError
        If the shape is wrong, an entry is negative or not finite, a topic has no words, or a word
        with counts is in no topic. Topic and word are named.
    """
    given = as_numbers(components, "components_init")
    shape = (int(estimator.n_components), len(word_counts))
    if given.shape != shape:
        raise ValueError(
            f"components_init has shape {given.shape}, but must have (n_components, n_features) "
            f"= {shape}."
        )
    wrong = ~(np.isfinite(given) & (given >= 0.0))
    if wrong.any():
        topic, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"components_init must be finite and >= 0, got {given[topic, column]:g} in topic "
            f"{topic}, {column_label(estimator, column)}."
        )
    total = given.sum(axis=1)
    empty = np.flatnonzero(~((total > 0.0) & np.isfinite(total)))
    if empty.size:
        raise ValueError(f"components_init has no finite positive sum in topic {empty[0]}.")
    impossible = np.flatnonzero((given <= 0.0).all(axis=0) & (word_counts > 0.0))
    if impossible.size:
        raise ValueError(
            f"components_init is 0 for all topics in {column_label(estimator, impossible[0])}, "
            "which X has counts of. Give it a probability in at least one topic."
        )
    return np.ascontiguousarray((given / total[:, None]).T)
