"""Labels that raters gave to items, in the form that the E-step reads.

The labels are a sparse table with a row for each item and a column for each pair of rater and
label, ``rater * n_classes + label``; entries are numbers of times. The log-probability of the
labels of all items given each class is the product of this table with that of the logarithms of
the confusion matrices, and the expected counts are the product of its transpose with the
posterior. So a step costs ``n_labels * n_classes`` operations, whatever the number of raters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.data.labels import UNKNOWN
from emlearn.latent.labels import KnownLabels

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

# Labels and items of a block: so many have their posterior in the cache.
_BLOCK = 2**17
# The counts of a block are at most this many times as large as the block.
_MOST_COUNTS = 0.25


class Annotations(NamedTuple):
    """Labels of items.

    Attributes
    ----------
    votes : csr_array of shape (n_items, n_raters * n_classes)
        How often each rater gave each label to each item.
    known : ndarray of shape (n_items,) or None
        Class of each item, `UNKNOWN` where it is not known. None if none is.
    """

    votes: Any
    known: Codes | None

    def take(self, index: Any) -> Annotations:
        """The items at these positions."""
        return Annotations(self.votes[index], None if self.known is None else self.known[index])


class Block(NamedTuple):
    """Some items: votes, weights, known classes, and their positions among the distinct items."""

    votes: Any
    weight: Array
    known: KnownLabels | None
    positions: slice


class AnnotationData(NamedTuple):
    """Distinct items with their weights, in blocks."""

    blocks: tuple[Block, ...]
    weight: Array
    total_weight: float


def votes_of(items: Codes, columns: Codes, weight: Array | None, shape: tuple[int, int]) -> Any:
    """The table of votes from one entry for each label; repeated ones are added."""
    counts = np.ones(len(items)) if weight is None else weight.astype(np.float64)
    size = max(len(items), *shape)
    index = np.int32 if size < np.iinfo(np.int32).max else np.int64
    order = np.argsort(items, kind="stable")
    if not np.array_equal(order, np.arange(len(items))):
        items, columns, counts = items[order], columns[order], counts[order]
    starts = np.zeros(shape[0] + 1, index)
    np.cumsum(np.bincount(items, minlength=shape[0]), out=starts[1:])
    votes: Any = csr_array((counts, columns.astype(index), starts), shape=shape)
    votes.sum_duplicates()
    return votes


def prepare(
    X: Annotations, sample_weight: NDArray[Any] | None, n_columns_of_counts: int
) -> AnnotationData:
    """Items that say something, copies merged if at least half of them are, in blocks.

    Parameters
    ----------
    X : Annotations
        The items.
    sample_weight : ndarray of shape (n_items,) or None
        Weights of the items.
    n_columns_of_counts : int
        Entries of the statistics of a block for each column of the votes.
    """
    votes, known = X
    n_items = votes.shape[0]
    weight = np.ones(n_items) if sample_weight is None else np.asarray(sample_weight, np.float64)
    informs = np.diff(votes.indptr) > 0
    if known is not None:
        informs |= known != UNKNOWN
    informs &= weight > 0.0
    if not informs.all():
        votes, weight = votes[informs], weight[informs]
        known = None if known is None else known[informs]
    total = float(weight.sum())
    votes, weight, known = _merged(votes, weight, known)
    blocks = tuple(
        Block(
            votes[part],
            weight[part],
            KnownLabels.find(None if known is None else known[part]),
            part,
        )
        for part in _parts(votes, n_columns_of_counts)
    )
    return AnnotationData(blocks, weight, total)


def _merged(votes: Any, weight: Array, known: Codes | None) -> tuple[Any, Array, Codes | None]:
    """Items without copies, which are found by a random projection and then compared."""
    n_items, n_columns = votes.shape
    if n_items < 2:
        return votes, weight, known
    rng = np.random.default_rng(0)
    key = votes @ rng.random(n_columns)
    if known is not None:
        key = key + rng.random(int(known.max()) + 2)[known + 1]
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    if 2 * len(first) > n_items:
        return votes, weight, known
    same = votes[first][index]
    differs = not (
        np.array_equal(same.indptr, votes.indptr)
        and np.array_equal(same.indices, votes.indices)
        and np.array_equal(same.data, votes.data)
    )
    if differs or (known is not None and not np.array_equal(known[first][index], known)):
        return votes, weight, known
    return (
        votes[first],
        np.asarray(np.bincount(index, weight, len(first)), np.float64),
        None if known is None else known[first],
    )


def _parts(votes: Any, n_columns_of_counts: int) -> Iterator[slice]:
    """Neighboring items of similar numbers of labels."""
    n_items, n_columns = votes.shape
    if not n_items:
        return
    size = votes.indptr[1:].astype(np.int64) + np.arange(1, n_items + 1)
    most = max(_BLOCK, int(n_columns * n_columns_of_counts / _MOST_COUNTS))
    n_parts = max(int(size[-1]) // most, 1)
    edges = np.searchsorted(size, np.linspace(0, size[-1], n_parts + 1)[1:-1])
    edges = np.unique([0, *edges, n_items])
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        yield slice(start, stop)
