"""Responses of persons, prepared for the E-step."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.workspace import Workspace
from emlearn.latent.data import group_copies, hash_rows

Array = NDArray[np.float64]
Codes = NDArray[np.int8]
Index = NDArray[np.intp]

#: Code of an item that was not presented.
ABSENT = -1
# A block's matrices should fit into the cache, and be long enough for the matrix products.
_BLOCK_SIZE = 1 << 18
_SHORTEST, _LONGEST = 128, 4096


class Persons(NamedTuple):
    """What is known of persons.

    Attributes
    ----------
    codes : ndarray of shape (n_persons, n_items)
        Responses 0, 1, ...; -1 where an item was not presented.
    groups : ndarray of shape (n_persons,) or None
        Index of the group of each person.
    covariates : ndarray of shape (n_persons, n_covariates) or None
        Covariates of the persons.
    """

    codes: Codes
    groups: Index | None = None
    covariates: Array | None = None

    def take(self, index: Index) -> Persons:
        """Persons at these positions."""
        return Persons(
            self.codes[index],
            None if self.groups is None else self.groups[index],
            None if self.covariates is None else self.covariates[index],
        )


class Layout(NamedTuple):
    """What the rows of the matrix of responses mean.

    Attributes
    ----------
    item, category : ndarray of shape (n_cells,)
        A row is 1 where the response to the item is this category. Category 0 has no row; the
        log-probabilities of others are relative to it.
    partial : ndarray of shape (n_partial,)
        Items that were not presented to everyone; a further row each is 1 where they were.
    always : ndarray of shape (n_items,)
        Whether an item was presented to everyone.
    """

    item: Index
    category: Index
    partial: Index
    always: NDArray[np.bool_]

    def coefficients(self, log_probability: Array) -> tuple[Array, Array]:
        """Coefficients (n_rows, n_nodes) and constant (n_nodes,) of the log-likelihood."""
        base = log_probability[:, 0]
        cells = log_probability[self.item, self.category] - base[self.item]
        return np.concatenate([cells, base[self.partial]]), base[self.always].sum(axis=0)

    def counts(self, sums: Array, total: Array, width: int) -> Array:
        """Expected counts (n_items, n_categories, n_nodes) of sums of the rows."""
        n_items, n_cells = len(self.always), len(self.item)
        counts = np.zeros((n_items, width, sums.shape[1]))
        counts[self.item, self.category] = sums[:n_cells]
        presented = np.empty((n_items, sums.shape[1]))
        presented[self.always] = total
        presented[self.partial] = sums[n_cells:]
        counts[:, 0] = np.maximum(presented - counts.sum(axis=1), 0.0)
        return counts


class Block(NamedTuple):
    """Persons of one group.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_persons), uint8
        The matrix of responses, described by the layout.
    layout : Layout
        What its rows mean.
    group : int
        Index of the group.
    covariates : ndarray of shape (n_covariates, n_persons)
        Covariates.
    weight : ndarray of shape (n_persons,)
        Weights.
    positions : ndarray of shape (n_persons,)
        Where the persons are among all.
    workspace : Workspace
        Scratch memory.
    """

    rows: NDArray[np.uint8]
    layout: Layout
    group: int
    covariates: Array
    weight: Array
    positions: Index
    workspace: Workspace


class PersonData(NamedTuple):
    """Persons with weights, cut into blocks.

    Attributes
    ----------
    persons : Persons
        Distinct persons of positive weight who answered anything.
    weight : ndarray of shape (n_persons,)
        Their weights.
    total_weight : float
        Sum of all weights.
    blocks : tuple of Block
        The blocks.
    """

    persons: Persons
    weight: Array
    total_weight: float
    blocks: tuple[Block, ...]


def prepare(
    persons: Persons, weight: Array | None, n_categories: tuple[int, ...], n_nodes: int
) -> PersonData:
    """Merge copies, drop persons without effect, and cut the others into blocks."""
    weight = np.ones(len(persons.codes)) if weight is None else np.asarray(weight, np.float64)
    total = float(weight.sum())
    kept = np.flatnonzero((weight > 0.0) & (persons.codes != ABSENT).any(axis=1))
    if len(kept) < len(weight):
        persons, weight = persons.take(kept), weight[kept]
    persons, weight = merge_copies(persons, weight)
    return PersonData(persons, weight, total, cut(persons, weight, n_categories, n_nodes))


def merge_copies(persons: Persons, weight: Array) -> tuple[Persons, Array]:
    """Distinct persons and the sums of their weights, if at least a tenth of them are copies."""
    values = persons.codes
    if persons.covariates is not None:
        return persons, weight
    distinct = group_copies(hash_rows(values, persons.groups), weight)
    first, group, merged = distinct
    if len(first) > 0.9 * len(values):
        return persons, weight
    representative = first[group]
    same = all(np.array_equal(column, column[representative]) for column in values.T)
    if persons.groups is not None:
        same = same and np.array_equal(persons.groups, persons.groups[representative])
    return (persons.take(first), merged) if same else (persons, weight)


def cut(
    persons: Persons, weight: Array, n_categories: tuple[int, ...], n_nodes: int
) -> tuple[Block, ...]:
    """Blocks of persons of the same group."""
    codes = persons.codes
    layout = layout_of(codes, n_categories)
    n_rows = len(layout.item) + len(layout.partial)
    length = int(np.clip(_BLOCK_SIZE // (n_rows + n_nodes), _SHORTEST, _LONGEST))
    blocks, workspace = [], Workspace()
    for group, members in enumerate(_members(persons)):
        # Blocks of equal length, so that no thread waits for one that has most of the work.
        n_blocks = -(-len(members) // length)
        for index in np.array_split(members, n_blocks) if n_blocks else ():
            chosen = codes[index]
            rows = np.empty((n_rows, len(index)), np.uint8)
            for row, (item, category) in enumerate(zip(layout.item, layout.category, strict=True)):
                np.equal(chosen[:, item], category, out=rows[row].view(bool))
            for row, item in enumerate(layout.partial, start=len(layout.item)):
                np.not_equal(chosen[:, item], ABSENT, out=rows[row].view(bool))
            covariates = (
                np.empty((0, len(index)))
                if persons.covariates is None
                else np.ascontiguousarray(persons.covariates[index].T)
            )
            blocks.append(Block(rows, layout, group, covariates, weight[index], index, workspace))
    return tuple(blocks)


def layout_of(codes: Codes, n_categories: tuple[int, ...]) -> Layout:
    """Layout of the matrix of responses."""
    item = np.repeat(np.arange(len(n_categories)), np.array(n_categories) - 1)
    category = np.concatenate([np.arange(1, count) for count in n_categories])
    always = ~(codes == ABSENT).any(axis=0)
    return Layout(item, category, np.flatnonzero(~always), always)


def _members(persons: Persons) -> list[Index]:
    if persons.groups is None:
        return [np.arange(len(persons.codes))]
    order = np.argsort(persons.groups, kind="stable")
    edges = np.searchsorted(persons.groups[order], np.arange(persons.groups.max(initial=-1) + 2))
    return [order[start:end] for start, end in pairwise(edges)]
