"""Rows in memory, or a table that is read block by block, made ready for a fit."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from emlearn.engine.block_table import BlockTable
from emlearn.engine.blockwise import read_blockwise
from emlearn.latent.data import Observations
from emlearn.latent.model import LabelModel

Array = NDArray[Any]


class Prepared(NamedTuple):
    """What a fit of a model with a latent label needs.

    Attributes
    ----------
    model : LabelModel or BlockwiseModel
        The model of the rows.
    data : LabelData or BlockwiseData
        Its data.
    column_spec : object
        What the family learned about the columns.
    """

    model: Any
    data: Any
    column_spec: Any


def prepare(model: LabelModel, observed: Observations, weight: Array | None) -> Prepared:
    """Make rows in memory, or a `BlockTable`, ready for a fit.

    Parameters
    ----------
    model : LabelModel
        The model of the rows.
    observed : Observations
        The rows; or a table in their place, which has the weights.
    weight : ndarray of shape (n_rows,) or None
        Weights of rows in memory.

    Returns
    -------
    prepared : Prepared
        Model, data and column spec.

    Raises
    ------
    ValueError
        If the rows are read block by block, and the start or the family need all of them.
    """
    table, labels, _ = observed
    if not isinstance(table, BlockTable):
        data = model.prepare(observed, weight)
        return Prepared(model, data, data.column_spec)
    if getattr(model.initializer, "needs_all_rows", False):
        raise ValueError(
            "init_params is an array of responsibilities, which needs all rows in memory. Start "
            "with parameters instead, or with a function, which gets a sample of the rows."
        )
    whole, blocks = read_blockwise(model, table if labels is None else table.with_labels(labels))
    return Prepared(whole, blocks, whole.learned)
