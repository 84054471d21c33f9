"""Rows prepared for the E-step of a model with a discrete latent label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.data.labels import UNKNOWN
from emlearn.distributions import DomainError, Family
from emlearn.engine.workspace import Workspace
from emlearn.latent.chain.sequences import Sequences
from emlearn.latent.labels import KnownLabels

Array = NDArray[Any]
Index = NDArray[np.intp]

# Number of rows from which starts are drawn: enough to show clusters, few enough to be cheap.
_SAMPLE_ROWS = 10_000
_SAMPLE_ROWS_PER_COMPONENT = 100


class Observations(NamedTuple):
    """Rows, with their known labels and their sequences.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows.
    labels : ndarray of shape (n_rows,) or None
        Component or state of each row, `UNKNOWN` where it is unknown. None if all are unknown.
    sequences : Sequences or None
        Which rows form sequences. None if the rows are independent.
    """

    X: Any
    labels: Index | None = None
    sequences: Sequences | None = None

    def take(self, chosen: Index) -> Observations:
        """The chosen rows or sequences, in the order of `chosen`, which may repeat some."""
        sequences, rows = (None, chosen)
        if self.sequences is not None:
            sequences, rows = self.sequences.select(chosen)
        return Observations(
            self.X[rows], None if self.labels is None else self.labels[rows], sequences
        )


class Distinct(NamedTuple):
    """The distinct rows. Their order does not depend on the order of the rows.

    Attributes
    ----------
    first : ndarray of shape (n_distinct,)
        Position of one copy of each distinct row.
    group : ndarray of shape (n_rows,)
        Which distinct row each row is a copy of.
    weight : ndarray of shape (n_distinct,)
        Sum of the weights of the copies of each distinct row.
    """

    first: Index
    group: Index
    weight: Array


@dataclass(frozen=True)
class LabelBlock:
    """Some rows, or some whole sequences.

    Attributes
    ----------
    parts : tuple of (slice, object)
        Encoded rows in parts of limited size, and their place in the block.
    n_rows : int
        Number of rows.
    weight : ndarray or None
        Weights of the rows or sequences; None means 1 each.
    known : KnownLabels or None
        Known labels.
    sequences : Sequences or None
        Which rows of the block form sequences.
    origin : ndarray or None
        Positions of the sequences in the input.
    workspace : Workspace
        Scratch memory for all blocks of a data set.
    """

    parts: tuple[tuple[slice, Any], ...]
    n_rows: int
    weight: Array | None
    known: KnownLabels | None
    sequences: Sequences | None
    origin: Index | None
    workspace: Workspace


@dataclass(frozen=True)
class LabelData:
    """All rows of positive weight, in the order in which they are processed.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows. Merged copies appear once.
    labels : ndarray of shape (n_rows,) or None
        See `Observations`. Copies with different labels count as different rows.
    weight : ndarray or None
        Weights of the rows (summed over merged copies), or of the sequences.
    sequences : Sequences or None
        See `Observations`.
    origin : ndarray of shape (n_rows,) or None
        Positions of the rows in the input. None if they are unchanged.
    column_spec : object
        What the family learned about the columns.
    rows : object
        The encoded rows.
    blocks : tuple of LabelBlock
        The rows, cut into blocks.
    """

    X: Any
    labels: Index | None
    weight: Array | None
    sequences: Sequences | None
    origin: Index | None
    column_spec: Any
    rows: Any
    blocks: tuple[LabelBlock, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def row_weight(self) -> Array:
        """Weight of each row."""
        if self.weight is None:
            return np.ones(self.n_rows)
        if self.sequences is None:
            return self.weight
        return np.repeat(self.weight, self.sequences.lengths)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows."""
        if self.weight is None:
            return float(self.n_rows)
        return float(self.row_weight.sum())

    @cached_property
    def distinct(self) -> Distinct:
        """The distinct rows, from which starts draw at random.

        So a start depends neither on the order of the rows nor on whether copies or weights
        are given. Rows of sequences are copies only if the whole sequences are.
        """
        if self.sequences is None:
            return group_copies(hash_rows(self.X, self.labels), self.row_weight)
        return _distinct_in_sequences(hash_rows(self.X, self.labels), self.sequences, self.weight)

    def sample(self, n_components: int, rng: np.random.Generator) -> tuple[Index, Array]:
        """Distinct rows and their weights. Large data are subsampled at random first."""
        size = max(_SAMPLE_ROWS, _SAMPLE_ROWS_PER_COMPONENT * n_components)
        if self.n_rows <= size:
            first, _, weight = self.distinct
            return first, weight
        chosen = np.sort(rng.choice(self.n_rows, size, replace=False, shuffle=False))
        labels = None if self.labels is None else self.labels[chosen]
        copies = group_copies(hash_rows(self.X[chosen], labels), self.row_weight[chosen])
        return chosen[copies.first], copies.weight


def prepare_rows(
    observed: Observations,
    weight: Array | None,
    family: Family,
    n_components: int,
    unlabelled_weight: float,
) -> LabelData:
    """Drop rows of weight zero, merge copies, encode the rows and cut them into blocks."""
    X, labels, _ = observed
    origin = None
    weight = weight_by_label(weight, labels, unlabelled_weight)
    if weight is not None and not weight.all():
        origin = np.flatnonzero(weight)
        if not origin.size:
            raise ValueError(
                "No row has a positive weight: with unlabelled_weight=0 only rows of known class "
                "count, and all of these have weight 0."
            )
        X, weight = X[origin], weight[origin]
        labels = None if labels is None else labels[origin]
    if family.is_discrete:
        one = np.ones(X.shape[0]) if weight is None else weight
        distinct = group_copies(hash_rows(X, labels), one)
        if worth_merging(X, labels, distinct):
            first = distinct.first
            X, weight = X[first], distinct.weight
            labels = None if labels is None else labels[first]
            origin = first if origin is None else origin[first]
    try:
        return encode_rows(X, weight, labels, origin, family, n_components)
    except DomainError as error:
        raise error.at(rows=origin) from None


def encode_rows(
    X: Any,
    weight: Array | None,
    labels: Index | None,
    origin: Index | None,
    family: Family,
    n_components: int,
    column_spec: Any = None,
) -> LabelData:
    """Rows of positive weight, encoded and cut into blocks.

    Parameters
    ----------
    X, weight, labels, origin : object
        See `LabelData`.
    family : Family
        The family.
    n_components : int
        Number of components.
    column_spec : object, default=None
        What the family learned about the columns. None means that it learns from these rows.

    Raises
    ------
    DomainError
        If an entry is outside the domain. It names the row of X.
    """
    if column_spec is None:
        column_spec = family.column_spec(X, weight)
    order = family.order(X)
    if order is not None:
        X = X[order]
        weight = None if weight is None else weight[order]
        labels = None if labels is None else labels[order]
        origin = order if origin is None else origin[order]
    try:
        rows = family.encode(X, column_spec)
    except DomainError as error:
        raise (error if order is None else error.at(rows=order)) from None
    data = LabelData(X, labels, weight, None, origin, column_spec, rows, ())
    return replace(data, blocks=_cut_rows(data, family, n_components))


def encode_block(
    X: Any,
    weight: Array | None,
    labels: Index | None,
    family: Family,
    n_components: int,
    column_spec: Any,
) -> LabelBlock:
    """Rows of positive weight as one block, which is encoded for a single E-step."""
    whole = slice(0, X.shape[0])
    (rows,) = family.encode_blocks(X, weight, [whole], n_components, column_spec)
    known = KnownLabels.find(labels)
    return LabelBlock(((whole, rows),), whole.stop, weight, known, None, None, Workspace())


def weight_by_label(
    weight: Array | None, labels: Index | None, unlabelled_weight: float
) -> Array | None:
    """Weights of rows, those without a label times a factor."""
    if labels is None or unlabelled_weight == 1.0:
        return weight
    one = np.ones(len(labels)) if weight is None else weight
    return np.where(labels == UNKNOWN, unlabelled_weight * one, one)


def prepare_sequences(
    observed: Observations, weight: Array | None, family: Family, n_components: int
) -> LabelData:
    """Drop sequences of weight zero, sort by length, encode and cut into blocks."""
    sequences = observed.sequences
    if sequences is None:
        sequences = Sequences.of_lengths(np.array([observed.X.shape[0]]))
        observed = observed._replace(sequences=sequences)
    weight = np.ones(len(sequences)) if weight is None else np.asarray(weight, np.float64)
    chosen = np.flatnonzero(weight)
    chosen = chosen[np.argsort(-sequences.lengths[chosen], kind="stable")]
    _, origin = sequences.select(chosen)
    if not np.array_equal(chosen, np.arange(len(sequences))):
        observed, weight = observed.take(chosen), weight[chosen]
    X, labels, sequences = observed
    assert sequences is not None
    try:
        column_spec = family.column_spec(X, np.repeat(weight, sequences.lengths))
        rows = family.encode(X, column_spec)
    except DomainError as error:
        raise error.at(rows=origin) from None
    data = LabelData(X, labels, weight, sequences, origin, column_spec, rows, ())
    return replace(data, blocks=_cut_sequences(data, family, n_components, chosen))


def take_rows(data: LabelData, chosen: Index, family: Family, n_components: int) -> LabelData:
    """Some of the rows, with the column spec of all of them."""
    part = replace(
        data,
        X=data.X[chosen],
        labels=None if data.labels is None else data.labels[chosen],
        weight=None if data.weight is None else data.weight[chosen],
        origin=chosen if data.origin is None else data.origin[chosen],
        rows=family.take(data.rows, chosen),
    )
    return replace(part, blocks=_cut_rows(part, family, n_components))


def take_sequences(data: LabelData, chosen: Index, family: Family, n_components: int) -> LabelData:
    """Some of the sequences, with the column spec of all of them."""
    assert data.sequences is not None
    sequences, rows = data.sequences.select(chosen)
    given = np.concatenate([block.origin for block in data.blocks])
    part = replace(
        data,
        X=data.X[rows],
        labels=None if data.labels is None else data.labels[rows],
        weight=None if data.weight is None else data.weight[chosen],
        sequences=sequences,
        origin=rows if data.origin is None else data.origin[rows],
        rows=family.take(data.rows, rows),
    )
    return replace(part, blocks=_cut_sequences(part, family, n_components, given[chosen]))


def _cut_rows(data: LabelData, family: Family, n_components: int) -> tuple[LabelBlock, ...]:
    workspace = Workspace()
    slices = family.slices(data.X, n_components)
    return tuple(
        LabelBlock(
            ((slice(0, part.stop - part.start), rows),),
            part.stop - part.start,
            None if data.weight is None else data.weight[part],
            KnownLabels.find(None if data.labels is None else data.labels[part]),
            None,
            None,
            workspace,
        )
        for part, rows in zip(
            slices, family.cut(data.rows, data.weight, slices, n_components), strict=True
        )
    )


def _cut_sequences(
    data: LabelData, family: Family, n_components: int, origin: Index
) -> tuple[LabelBlock, ...]:
    """Blocks of whole sequences: each holds those that start in the same range of rows."""
    assert data.sequences is not None
    workspace = Workspace()
    slices = family.slices(data.X, n_components)
    size = max(-(-data.n_rows // len(slices)), 1)
    row_weight = data.row_weight
    group = data.sequences.first // size
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    blocks = []
    for start, end in zip(starts, [*starts[1:], len(group)], strict=True):
        sequences = Sequences.of_lengths(data.sequences.lengths[start:end])
        offset, n_rows = int(data.sequences.edges[start]), sequences.n_rows
        edges = np.linspace(0, n_rows, max(1, round(n_rows / size)) + 1).astype(int).tolist()
        within = [slice(start, stop) for start, stop in pairwise(edges)]
        rows = family.cut(
            data.rows,
            row_weight,
            [slice(offset + part.start, offset + part.stop) for part in within],
            n_components,
        )
        labels = None if data.labels is None else data.labels[offset : offset + n_rows]
        blocks.append(
            LabelBlock(
                tuple(zip(within, rows, strict=True)),
                n_rows,
                None if data.weight is None else data.weight[start:end],
                KnownLabels.find(labels),
                sequences,
                origin[start:end],
                workspace,
            )
        )
    return tuple(blocks)


def hash_rows(X: Any, labels: Index | None) -> NDArray[np.uint64]:
    """A 64-bit hash of each row and its label. Equal rows have equal hashes."""
    n_rows, n_features = X.shape
    factors = np.random.default_rng(0).integers(1 << 63, size=n_features + 1, dtype=np.uint64)
    factors |= np.uint64(1)
    hashed: NDArray[np.uint64]
    if hasattr(X, "indptr"):
        hashed = csr_array((_bits(X.data), X.indices, X.indptr), shape=X.shape) @ factors[1:]
    else:
        hashed = np.zeros(n_rows, np.uint64)
        for column, factor in zip(X.T, factors[1:], strict=True):
            hashed += _bits(column) * factor
    if labels is not None:
        hashed += labels.astype(np.uint64) * factors[0]
    return hashed


def group_copies(hashed: NDArray[np.uint64], weight: Array) -> Distinct:
    """Group rows with equal hashes, in the order of the hashes."""
    _, first, group = np.unique(hashed, return_index=True, return_inverse=True)
    return Distinct(first, group, np.bincount(group, weight))


def _distinct_in_sequences(
    hashed: NDArray[np.uint64], sequences: Sequences, weight: Array | None
) -> Distinct:
    """The rows of the distinct sequences."""
    time = np.arange(sequences.n_rows) - np.repeat(sequences.first, sequences.lengths)
    # The hash of a sequence depends on its rows and on their places in it.
    placed = _mixed(hashed + _mixed(time.astype(np.uint64) + np.uint64(1)))
    whole = np.add.reduceat(placed, sequences.first)
    one = np.ones(len(sequences)) if weight is None else weight
    first, group, total = group_copies(whole, one)
    kept, rows = sequences.select(first)
    group_of_rows = np.repeat(kept.first[group], sequences.lengths) + time
    return Distinct(rows, group_of_rows, np.repeat(total, kept.lengths))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64-bit integers so that each bit depends on all (the finalizer of SplitMix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _bits(values: Array) -> Array:
    # Adding 0 turns -0 into 0, and all NaN become the same NaN. The low bits of small integers
    # are zero and products only carry upward, so high bits are mixed into the low ones.
    numbers = values.astype(np.float64) + 0.0
    bits = np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
    mixed: Array = bits ^ (bits >> np.uint64(32))
    return mixed


def worth_merging(X: Any, labels: Index | None, distinct: Distinct) -> bool:
    """Whether at least half of the rows are exact copies. False for sparse rows."""
    first, group, _ = distinct
    if hasattr(X, "indptr") or 2 * len(first) > len(group):
        return False
    representative = first[group]
    same = all(np.array_equal(column, column[representative], equal_nan=True) for column in X.T)
    return same and (labels is None or np.array_equal(labels, labels[representative]))
