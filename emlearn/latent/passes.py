"""Passes of a family over a table that is read block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.distributions._domain import ColumnError
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.latent.data import (
    LabelBlock,
    LabelData,
    encode_block,
    encode_rows,
    weight_by_label,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class TablePasses:
    """The rows of a table, weighted as a mixture weights them; see `RowPasses`.

    Parameters
    ----------
    table : BlockTable
        The rows.
    family : Family
        The family that reads them.
    unlabelled_weight : float
        Factor on the weights of rows without a label.
    """

    table: BlockTable
    family: Family
    unlabelled_weight: float

    @property
    def shape(self) -> tuple[int, int]:
        """See `RowPasses`."""
        return self.table.n_used, self.table.n_features

    @property
    def dtype(self) -> Any:
        """See `RowPasses`."""
        return self.table.dtype

    @property
    def has_weight(self) -> bool:
        """See `RowPasses`."""
        return self.table.has_weight or self.unlabelled_weight != 1.0

    def total(self, function: Callable[[Any, Array | None], Any]) -> Any:
        """See `RowPasses`."""
        return self.table.total(partial(self._of_part, function))

    def sample(self) -> Any:
        """See `RowPasses`."""
        return self.family.as_read(self.table.sample.X)

    def weight(self) -> float:
        """Sum of the weights."""
        if self.unlabelled_weight == 1.0:
            return self.table.total_weight
        return float(self.table.total(partial(_sum_of_weights, self.unlabelled_weight)))

    def _of_part(self, function: Callable[[Any, Array | None], Any], part: RowPart) -> Any:
        part = weighted_part(part, self.unlabelled_weight)
        try:
            return function(self.family.as_read(part.X), part.weight)
        except ColumnError as error:
            raise error.at(rows=part.positions) from None

    def __reduce__(self) -> Any:
        # Workers need to know only how rows are read.
        return TablePasses, (None, self.family, self.unlabelled_weight)


def weighted_part(part: RowPart, unlabelled_weight: float) -> RowPart:
    """The rows that count, with the weights that a mixture gives them."""
    weight = weight_by_label(part.weight, part.labels, unlabelled_weight)
    return part._replace(weight=weight).used


def _sum_of_weights(unlabelled_weight: float, part: RowPart) -> float:
    part = weighted_part(part, unlabelled_weight)
    return float(part.X.shape[0] if part.weight is None else part.weight.sum())


def encode_part(
    part: RowPart, family: Family, n_components: int, unlabelled_weight: float, column_spec: Any
) -> LabelData:
    """Some rows of a table, encoded as all of them are.

    Raises
    ------
    DomainError
        If an entry is outside the domain. It names the row of the table.
    """
    X, weight, labels, _ = part = weighted_part(part, unlabelled_weight)
    try:
        return encode_rows(X, weight, labels, None, family, n_components, column_spec)
    except ColumnError as error:
        raise error.at(rows=part.positions) from None


def encode_part_once(
    part: RowPart, family: Family, n_components: int, unlabelled_weight: float, column_spec: Any
) -> LabelBlock:
    """Some rows of a table as one block, for a single E-step; see `encode_part`."""
    X, weight, labels, _ = part = weighted_part(part, unlabelled_weight)
    try:
        return encode_block(X, weight, labels, family, n_components, column_spec)
    except ColumnError as error:
        raise error.at(rows=part.positions) from None


def widened_spec(part: RowPart, family: Family, unlabelled_weight: float, column_spec: Any) -> Any:
    """A column spec with room for what is new in some rows.

    Raises
    ------
    DomainError
        If an entry is outside the domain. It names the row of the table.
    """
    part = weighted_part(part, unlabelled_weight)
    try:
        return family.widened(column_spec, family.as_read(part.X))
    except ColumnError as error:
        raise error.at(rows=part.positions) from None
