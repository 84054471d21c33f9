"""Sequences of observations in groups that share their covariances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]

# Sequences of a block. Covariances are found once for each block, and its means are kept in
# memory: at most so many entries of these, unless a single sequence is longer.
_SEQUENCES, _ENTRIES = 64, 200_000


class Observations(NamedTuple):
    """Rows of sequences, one sequence after another.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        What is observed; NaN is missing.
    lengths : ndarray of int, of shape (n_sequences,)
        Numbers of rows of the sequences.
    inputs : ndarray of shape (n_rows, n_inputs)
        Known inputs.
    constant : bool
        Whether observations have an offset.
    """

    rows: Array
    lengths: Index
    inputs: Array
    constant: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """Sequences of one length in which the same entries are observed.

    Attributes
    ----------
    observed : ndarray of shape (n_sequences, n_steps, n_features)
        Observations; 0 where missing.
    patterns : ndarray of bool, of shape (n_patterns, n_features)
        Entries that are observed in each pattern.
    pattern : ndarray of int, of shape (n_steps,)
        Pattern of each step.
    inputs : ndarray of shape (n_sequences, n_steps, n_inputs)
        Inputs of the states.
    regressors : ndarray of shape (n_sequences, n_steps, n_regressors)
        Inputs of the observations: the same, and 1 if they have an offset.
    weight : ndarray of shape (n_sequences,)
        Weights.
    origin : ndarray of int, of shape (n_sequences,)
        Positions of the sequences.
    """

    observed: Array
    patterns: Mask
    pattern: Index
    inputs: Array
    regressors: Array
    weight: Array
    origin: Index

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return len(self.patterns) == 1 and bool(self.patterns.all())

    @property
    def mask(self) -> Mask:
        """What is observed, (n_steps, n_features)."""
        mask: Mask = self.patterns[self.pattern]
        return mask


@dataclass(frozen=True, eq=False)
class SequenceData:
    """All sequences, in blocks.

    Attributes
    ----------
    blocks : tuple of Block
        The blocks.
    first : ndarray of int, of shape (n_sequences,)
        Position of the first row of each sequence.
    variance : ndarray of shape (n_features,)
        Variances of the columns; 0 for constant ones.
    seen : ndarray of bool, of shape (n_features,)
        Columns with observed entries.
    n_rows, n_sequences : float
        Weighted numbers of rows and sequences.
    """

    blocks: tuple[Block, ...]
    first: Index
    variance: Array
    seen: Mask
    n_rows: float
    n_sequences: float

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.blocks[0].observed.shape[2]

    @property
    def n_used(self) -> int:
        """Number of sequences of positive weight."""
        return sum(len(block.weight) for block in self.blocks)

    @property
    def n_rows_used(self) -> int:
        """Number of rows of these."""
        return sum(block.observed.shape[0] * block.observed.shape[1] for block in self.blocks)

    def rows_of(self, block: Block) -> Index:
        """Positions of the rows of a block, (n_sequences, n_steps)."""
        found: Index = self.first[block.origin][:, None] + np.arange(len(block.pattern))
        return found

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the states."""
        return self.blocks[0].inputs.shape[2]

    @property
    def n_regressors(self) -> int:
        """Number of inputs of the observations."""
        return self.blocks[0].regressors.shape[2]


def prepare_sequences(observations: Observations, weight: Array | None = None) -> SequenceData:
    """Sort sequences into blocks.

    Parameters
    ----------
    observations : Observations
        The rows.
    weight : ndarray of shape (n_sequences,), default=None
        Weights of the sequences. Those of weight 0 are left out. None means 1 each.
    """
    rows, lengths = observations.rows, np.asarray(observations.lengths)
    first = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.intp)
    weight = np.ones(len(lengths)) if weight is None else weight
    missing: Mask = np.asarray(np.isnan(rows))
    any_missing = np.asarray(missing.any(axis=1))
    groups: dict[tuple[int, bytes], list[int]] = {}
    for s in np.flatnonzero(weight > 0.0):
        own = slice(first[s], first[s] + lengths[s])
        holes = missing[own].tobytes() if any_missing[own].any() else b""
        groups.setdefault((int(lengths[s]), holes), []).append(int(s))
    blocks = []
    for (length, _), members in groups.items():
        size = max(1, min(_SEQUENCES, _ENTRIES // (length * max(1, rows.shape[1]))))
        for begin in range(0, len(members), size):
            part = np.array(members[begin : begin + size], np.intp)
            blocks.append(_block(observations, missing, first, part, length, weight))
    never: Mask = np.asarray(missing[np.repeat(weight, lengths) > 0.0].all(axis=0))
    row_weight = np.repeat(weight, lengths)
    return SequenceData(
        tuple(blocks),
        first,
        _variances(rows, row_weight),
        ~never,
        float(weight @ lengths),
        float(weight.sum()),
    )


def _block(
    observations: Observations,
    missing: Mask,
    first: Index,
    members: Index,
    length: int,
    weight: Array,
) -> Block:
    index = first[members][:, None] + np.arange(length)
    observed = observations.rows[index]
    holes = missing[index[0]]
    if holes.any():
        patterns, pattern = np.unique(~holes, axis=0, return_inverse=True)
        observed[:, holes] = 0.0
    else:
        patterns, pattern = np.ones((1, holes.shape[1]), bool), np.zeros(length, np.intp)
    inputs = observations.inputs[index]
    regressors = inputs
    if observations.constant:
        regressors = np.concatenate((inputs, np.ones((*index.shape, 1))), axis=2)
    return Block(
        observed,
        patterns,
        np.ascontiguousarray(pattern.ravel(), np.intp),
        inputs,
        regressors,
        weight[members],
        members,
    )


def _variances(rows: Array, weight: Array) -> Array:
    """Weighted variances of the columns, rounding errors apart."""
    there = ~np.isnan(rows)
    own = weight[:, None] * there
    values = np.where(there & (own > 0.0), rows, 0.0)
    tiny = np.finfo(np.float64).tiny
    largest = np.maximum(np.abs(values).max(axis=0, initial=0.0), tiny)
    values /= largest
    total = np.maximum(own.sum(axis=0), tiny)
    values -= (own * values).sum(axis=0) / total
    variance = (own * values**2).sum(axis=0) / total
    variance[variance < 1e-28] = 0.0
    return variance * largest**2
