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

# Rows from which starts are drawn: enough to tell clusters, few enough to cost little.
_SAMPLE_ROWS = 10_000
_SAMPLE_ROWS_PER_COMPONENT = 100


class Observations(NamedTuple):
    """Rows, and what is known of their labels and their order.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows.
    labels : ndarray of shape (n_rows,) or None
        Component or state of each row, `UNKNOWN` where it is not known; None if none is.
    sequences : Sequences or None
        Which rows form sequences; None where rows are independent.
    """

    X: Any
    labels: Index | None = None
    sequences: Sequences | None = None

    def take(self, chosen: Index) -> Observations:
        """Some of the rows, or of the sequences, in that order; they may repeat."""
        sequences, rows = (None, chosen)
        if self.sequences is not None:
            sequences, rows = self.sequences.select(chosen)
        return Observations(
            self.X[rows], None if self.labels is None else self.labels[rows], sequences
        )


class Distinct(NamedTuple):
    """The distinct rows, in an order that does not depend on that of the rows.

    Attributes
    ----------
    first : ndarray of shape (n_distinct,)
        Position of a row of each kind.
    group : ndarray of shape (n_rows,)
        Which kind each row is of.
    weight : ndarray of shape (n_distinct,)
        Sum of the weights of the rows of each kind.
    """

    first: Index
    group: Index
    weight: Array


@dataclass(frozen=True)
class LabelBlock:
    """Some rows; of sequences, some whole ones.

    Attributes
    ----------
    parts : tuple of (slice, object)
        Encoded rows, a manageable number at a time, and where they are in the block.
    n_rows : int
        Number of rows.
    weight : ndarray or None
        Weights of the rows, or of the sequences; None means 1 each.
    known : KnownLabels or None
        What is known of the labels.
    sequences : Sequences or None
        Which rows of the block form sequences.
    origin : ndarray or None
        Positions of the sequences among those given.
    workspace : Workspace
        Scratch memory shared by the blocks of a data set.
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
    """All rows of positive weight, in the order in which they are worked on.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows; of copies, if merged, one.
    labels : ndarray of shape (n_rows,) or None
        See `Observations`; copies with different labels are different rows.
    weight : ndarray or None
        Weights of the rows (the sum over the copies merged), or of the sequences.
    sequences : Sequences or None
        See `Observations`.
    origin : ndarray of shape (n_rows,) or None
        Positions of the rows among those given; None if they are the same.
    column_spec : object
        What the family learned of the columns.
    rows : object
        The rows, encoded.
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
        """The distinct rows: what is drawn at random for a start is drawn from these.

        Thus neither the order of the rows nor copies in the place of weights change a start.
        Rows of sequences are copies where the whole sequences are.
        """
        if self.sequences is None:
            return group_copies(hash_rows(self.X, self.labels), self.row_weight)
        return _distinct_in_sequences(hash_rows(self.X, self.labels), self.sequences, self.weight)

    def sample(self, n_components: int, rng: np.random.Generator) -> tuple[Index, Array]:
        """Distinct rows of small data, or of a random choice of large, and their weights."""
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
    """Drop independent rows of weight zero, merge copies, encode, cut into blocks."""
    X, labels, _ = observed
    origin = None
    if labels is not None and unlabelled_weight != 1.0:
        one = np.ones(X.shape[0]) if weight is None else weight
        weight = np.where(labels == UNKNOWN, unlabelled_weight * one, one)
    if weight is not None and not weight.all():
        origin = np.flatnonzero(weight)
        if not origin.size:
            raise ValueError(
                "No row has a positive weight: with unlabelled_weight=0 only rows of known class "
                "count, and their weights are 0."
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
    order = family.order(X)
    if order is not None:
        X = X[order]
        weight = None if weight is None else weight[order]
        labels = None if labels is None else labels[order]
        origin = order if origin is None else origin[order]
    try:
        column_spec = family.column_spec(X, weight)
        rows = family.encode(X, column_spec)
    except DomainError as error:
        raise error.at(rows=origin) from None
    data = LabelData(X, labels, weight, None, origin, column_spec, rows, ())
    return replace(data, blocks=_cut_rows(data, family, n_components))


def prepare_sequences(
    observed: Observations, weight: Array | None, family: Family, n_components: int
) -> LabelData:
    """Drop sequences of weight zero, sort by length, encode, cut into blocks."""
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
    """Some of the rows, in the coordinates of all."""
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
    """Some of the sequences, in the coordinates of all."""
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
    """Blocks of whole sequences: those that begin in the same stretch of rows."""
    assert data.sequences is not None
    workspace = Workspace()
    slices = family.slices(data.X, n_components)
    size = max(-(-data.n_rows // len(slices)), 1)
    row_weight = data.row_weight
    group = data.sequences.first // size
    begins = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    blocks = []
    for begin, end in zip(begins, [*begins[1:], len(group)], strict=True):
        sequences = Sequences.of_lengths(data.sequences.lengths[begin:end])
        offset, n_rows = int(data.sequences.edges[begin]), sequences.n_rows
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
                None if data.weight is None else data.weight[begin:end],
                KnownLabels.find(labels),
                sequences,
                origin[begin:end],
                workspace,
            )
        )
    return tuple(blocks)


def hash_rows(X: Any, labels: Index | None) -> NDArray[np.uint64]:
    """A hash of 64 bits of each row and its label: the same for rows that are equal."""
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
    """What is equal as far as a hash can tell, in the order of the hash."""
    _, first, group = np.unique(hashed, return_index=True, return_inverse=True)
    return Distinct(first, group, np.bincount(group, weight))


def _distinct_in_sequences(
    hashed: NDArray[np.uint64], sequences: Sequences, weight: Array | None
) -> Distinct:
    """Rows of the sequences that are distinct as wholes."""
    time = np.arange(sequences.n_rows) - np.repeat(sequences.first, sequences.lengths)
    # A row counts for more than itself: what it is, and where in the sequence.
    placed = _mixed(hashed + _mixed(time.astype(np.uint64) + np.uint64(1)))
    whole = np.add.reduceat(placed, sequences.first)
    one = np.ones(len(sequences)) if weight is None else weight
    first, group, total = group_copies(whole, one)
    kept, rows = sequences.select(first)
    group_of_rows = np.repeat(kept.first[group], sequences.lengths) + time
    return Distinct(rows, group_of_rows, np.repeat(total, kept.lengths))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Integers of 64 bits in which each bit depends on all (the finalizer of SplitMix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _bits(values: Array) -> Array:
    # Adding 0 makes -0 the same as 0. The low bits of small integers are all zero, and
    # products carry upwards only. All NaN are one missing entry.
    numbers = values.astype(np.float64) + 0.0
    bits = np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
    mixed: Array = bits ^ (bits >> np.uint64(32))
    return mixed


def worth_merging(X: Any, labels: Index | None, distinct: Distinct) -> bool:
    """Whether half of the rows are copies, and truly so. Sparse rows are not compared."""
    first, group, _ = distinct
    if hasattr(X, "indptr") or 2 * len(first) > len(group):
        return False
    representative = first[group]
    same = all(np.array_equal(column, column[representative], equal_nan=True) for column in X.T)
    return same and (labels is None or np.array_equal(labels, labels[representative]))
