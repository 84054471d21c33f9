"""Sequences prepared for the E-step of a hidden Markov model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.distributions._labels import UNKNOWN
from emlearn.engine.workspace import Workspace
from emlearn.hmm._sequences import Sequences

Array = NDArray[Any]

# Rows of a block, and of the parts in which densities of a longer one are taken: as many
# as the cache has room for. Threads meet at the interpreter's lock between blocks.
_BLOCK_NUMBERS = 2**18
_BLOCK_ROWS = (512, 16384)
_BLOCK_NANOSECONDS = 2e5
# Rows on which starts are compared, where there are more than twice as many.
_SUBSET_ROWS = 5000
_SUBSET_ROWS_PER_STATE = 200


class Observations(NamedTuple):
    """Rows, the sequences that they form, and what is known of their states.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        The rows, one sequence after another.
    sequences : Sequences
        Which rows form sequences.
    labels : ndarray of shape (n_rows,) or None
        State of each row, `UNKNOWN` where it is not known; None if none is.
    """

    X: Any
    sequences: Sequences
    labels: Array | None = None

    def take(self, chosen: Array) -> Observations:
        """Some of the sequences, in that order; they may repeat."""
        sequences, rows = self.sequences.select(chosen)
        return Observations(
            self.X[rows], sequences, None if self.labels is None else self.labels[rows]
        )


class KnownStates(NamedTuple):
    """Rows whose states are known, and the states."""

    rows: Array
    states: Array

    @classmethod
    def of(cls, labels: Array | None) -> KnownStates | None:
        """From labels; None if nothing is known."""
        if labels is None:
            return None
        rows = np.flatnonzero(labels != UNKNOWN)
        return cls(rows, labels[rows]) if rows.size else None

    def impose(self, joint: Array, excluded: float) -> None:
        """Set all but the known states of the known rows to `excluded`."""
        kept = joint[self.states, self.rows]
        joint[:, self.rows] = excluded
        joint[self.states, self.rows] = kept


@dataclass(frozen=True)
class SequenceBlock:
    """Some whole sequences.

    Attributes
    ----------
    sequences : Sequences
        Which rows of the block form sequences.
    weight : ndarray of shape (n_sequences,)
        Weights of the sequences.
    parts : tuple of (slice, object)
        Encoded rows, a manageable number at a time, and where they are in the block.
    known : KnownStates or None
        What is known of the states.
    origin : ndarray of shape (n_sequences,)
        Positions of the sequences among those given.
    workspace : Workspace
        Scratch memory shared by the blocks of a data set.
    """

    sequences: Sequences
    weight: Array
    parts: tuple[tuple[slice, Any], ...]
    known: KnownStates | None
    origin: Array
    workspace: Workspace


@dataclass(frozen=True)
class SequenceData:
    """All sequences of positive weight, the longest first.

    Attributes
    ----------
    observed : Observations
        The sequences.
    weight : ndarray of shape (n_sequences,)
        Their weights.
    origin : ndarray of shape (n_sequences,)
        Their positions among those given.
    given_rows : ndarray of shape (n_rows,)
        The positions of their rows among those given.
    column_spec : object
        What the family learnt of the columns.
    rows : object
        The rows, encoded.
    blocks : tuple of SequenceBlock
        The sequences, cut into blocks.
    """

    observed: Observations
    weight: Array
    origin: Array
    given_rows: Array
    column_spec: Any
    rows: Any
    blocks: tuple[SequenceBlock, ...]

    @property
    def row_weight(self) -> Array:
        """Weight of each row."""
        return np.repeat(self.weight, self.observed.sequences.lengths)


def prepare_sequences(
    observed: Observations, weight: Array | None, family: Family, n_states: int
) -> SequenceData:
    """Drop sequences of weight zero, sort by length, encode, cut into blocks."""
    lengths = observed.sequences.lengths
    weight = np.ones(len(lengths)) if weight is None else np.asarray(weight, np.float64)
    origin = np.flatnonzero(weight)
    origin = origin[np.argsort(-lengths[origin], kind="stable")]
    given_rows = observed.sequences.select(origin)[1]
    if not np.array_equal(origin, np.arange(len(lengths))):
        observed, weight = observed.take(origin), weight[origin]
    column_spec = family.column_spec(observed.X, np.repeat(weight, observed.sequences.lengths))
    return _cut(
        SequenceData(observed, weight, origin, given_rows, column_spec, None, ()), family, n_states
    )


def subset_sequences(
    data: SequenceData, family: Family, n_states: int, rng: np.random.Generator
) -> SequenceData | None:
    """Random sequences of large data, to about a number of rows; None if they are not large."""
    lengths = data.observed.sequences.lengths
    size = max(_SUBSET_ROWS, _SUBSET_ROWS_PER_STATE * n_states)
    if lengths.sum() <= 2 * size:
        return None
    order = rng.permutation(len(lengths))
    n_chosen = int(np.searchsorted(np.cumsum(lengths[order]), size)) + 1
    chosen = np.sort(order[:n_chosen])
    if lengths[chosen].sum() > 2 * size:
        return None
    rows = data.observed.sequences.select(chosen)[1]
    part = replace(
        data,
        observed=data.observed.take(chosen),
        given_rows=data.given_rows[rows],
        weight=data.weight[chosen],
        origin=data.origin[chosen],
    )
    return _cut(part, family, n_states)


def _cut(data: SequenceData, family: Family, n_states: int) -> SequenceData:
    """Encode the rows and cut the sequences into blocks."""
    observed = data.observed
    rows = family.encode(observed.X, data.column_spec)
    workspace = Workspace()
    size = _rows_of_block(observed.X.shape, n_states)
    # Sequences are together in a block if they begin in the same stretch of rows.
    group = observed.sequences.first // size
    begins = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    blocks = []
    for begin, end in pairwise([*begins, len(group)]):
        sequences = Sequences.of_lengths(observed.sequences.lengths[begin:end])
        offset = int(observed.sequences.edges[begin])
        within = slice(offset, offset + sequences.n_rows)
        labels = None if observed.labels is None else observed.labels[within]
        parts = tuple(
            (slice(at, stop), family.take(rows, slice(offset + at, offset + stop)))
            for at, stop in _parts(sequences.n_rows, size)
        )
        blocks.append(
            SequenceBlock(
                sequences,
                data.weight[begin:end],
                parts,
                KnownStates.of(labels),
                data.origin[begin:end],
                workspace,
            )
        )
    return replace(data, rows=rows, blocks=tuple(blocks))


def _parts(n_rows: int, size: int) -> list[tuple[int, int]]:
    """Bounds of parts of a block of about a size."""
    edges = np.linspace(0, n_rows, max(1, round(n_rows / size)) + 1).astype(int).tolist()
    return list(pairwise(edges))


def _rows_of_block(shape: tuple[int, int], n_states: int) -> int:
    """How many rows a block should have: a function of the shape of the problem alone."""
    n_rows, n_features = shape
    width = n_states + n_features
    fewest, most = _BLOCK_ROWS
    size = min(max(_BLOCK_NUMBERS // width, fewest), most)
    nanoseconds = n_rows * n_states * (10.0 + 0.3 * width)
    n_blocks = max(-(-n_rows // size), min(8, int(nanoseconds / _BLOCK_NANOSECONDS)), 1)
    return -(-n_rows // n_blocks)
