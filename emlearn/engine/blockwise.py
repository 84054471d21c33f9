"""A model of rows that are read block by block, each time an E-step needs them.

Only the blocks that are being worked on, and a sample of the rows, are in memory. What the model
learns from all rows before EM, such as the scaling of columns, comes from passes over the blocks.
Starts are found and compared on the sample. Every E-step is a sum over all blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from emlearn.engine.block_table import BlockRef, BlockTable, RowPart
from emlearn.engine.blocks import TreeSum
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.wrapper import ModelWrapper

# Tables up to this size are kept in memory, as they are read once.
_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BlockwiseData:
    """Rows that are read block by block.

    Attributes
    ----------
    table : BlockTable
        The rows.
    blocks : tuple
        Its blocks; of a small table, as they are once they are read.
    sample : object
        What the model inside made of the sample of the table.
    total_weight : float
        Sum of the weights of all rows.
    """

    table: BlockTable
    blocks: tuple[Any, ...]
    sample: Any
    total_weight: float


class OpenedBlock(NamedTuple):
    """A block of the table that was read.

    Attributes
    ----------
    parts : sequence
        Blocks of the model inside.
    """

    parts: Sequence[Any]


@dataclass(frozen=True, eq=False)
class BlockwiseModel(ModelWrapper):
    """A model whose data are read block by block.

    Its data are `BlockwiseData`, or what the model inside makes of rows in memory, such as parts
    of the sample.

    Parameters
    ----------
    model : LatentVariableModel
        The model. It has the methods `learn` and `prepare_part`.
    learned : object
        What `model.learn` learned from all rows.
    """

    learned: Any

    def blocks(self, data: Any) -> Sequence[Any]:
        """The blocks of the table, not yet read; or those of rows in memory."""
        return data.blocks if isinstance(data, BlockwiseData) else self.model.blocks(data)

    def open(self, block: Any) -> Any:
        """The blocks, as the model inside reads them, of a block of the table."""
        if not isinstance(block, BlockRef):
            return self.model.open(block)
        part = block.open().used
        if not part.X.shape[0]:
            return OpenedBlock(())
        return OpenedBlock(self.model.open_part(part, self.learned))

    def e_step(self, block: Any, params: Any) -> Any:
        """See `LatentVariableModel`. The sum of no rows is None."""
        block = self.open(block) if isinstance(block, BlockRef) else block
        if not isinstance(block, OpenedBlock):
            return self.model.e_step(block, params)
        tree = TreeSum()
        for own in block.parts:
            tree.add(self.model.e_step(own, params))
        return tree.total()

    def mapper(self, data: Any) -> Any:
        """Where the table is, if not in this process."""
        return data.table.placement if isinstance(data, BlockwiseData) else None

    def total_weight(self, data: Any) -> float:
        """See `LatentVariableModel`."""
        if isinstance(data, BlockwiseData):
            return data.total_weight
        return self.model.total_weight(data)

    def log_likelihoods(self, data: Any, params: Any) -> tuple[Any, Any]:
        """See `LatentVariableModel`: two numbers for each row, of which there may be many."""
        if not isinstance(data, BlockwiseData):
            return self.model.log_likelihoods(data, params)
        found = data.table.each(partial(_log_likelihoods, self.model, self.learned, params))
        values, weights = zip(*found, strict=True)
        return np.concatenate(values), np.concatenate(weights)

    # ---- from the sample ------------------------------------------------------------------

    def initialize(self, data: Any, rng: np.random.Generator) -> Any:
        """A start from the sample."""
        return self.model.initialize(_in_memory(data), rng)

    def candidates(self, data: Any, rng: np.random.Generator, n: int) -> Iterator[Any]:
        """Starts from the sample."""
        return self.model.candidates(_in_memory(data), rng, n)

    def perturb(self, data: Any, params: Any, rng: np.random.Generator) -> Any:
        """A change that suits the sample."""
        return self.model.perturb(_in_memory(data), params, rng)

    def continue_from(self, data: Any, params: Any) -> Any:
        """Where a model starts that has parameters of similar rows."""
        return params

    def example(self, data: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.example(_in_memory(data))

    def with_fixed(self, data: Any, params: Any, fixed: Any, rng: np.random.Generator) -> Any:
        """See `LatentVariableModel`."""
        return self.model.with_fixed(_in_memory(data), params, fixed, rng)

    def subset(self, data: Any, rng: np.random.Generator, size: int | None = None) -> Any:
        """Random rows of the sample; the whole sample if it is not large, but the table is."""
        part = self.model.subset(_in_memory(data), rng, size)
        if part is None and isinstance(data, BlockwiseData) and not data.table.sample_is_all:
            return data.sample
        return part

    def log_likelihood(self, data: Any, params: Any, objective: float) -> float:
        """See `LatentVariableModel`."""
        return super(ModelWrapper, self).log_likelihood(data, params, objective)


def _log_likelihoods(
    model: LatentVariableModel[Any, Any, Any], learned: Any, params: Any, part: RowPart
) -> tuple[Any, Any]:
    used = part.used
    if not used.X.shape[0]:
        return np.empty(0), np.empty(0)
    return model.log_likelihoods(model.prepare_part(used, learned), params)


def _in_memory(data: Any) -> Any:
    return data.sample if isinstance(data, BlockwiseData) else data


def read_blockwise(
    model: LatentVariableModel[Any, Any, Any], table: BlockTable, *, learned: Any = None
) -> tuple[BlockwiseModel, BlockwiseData]:
    """The model of the rows of a table, and its data.

    Parameters
    ----------
    model : LatentVariableModel
        The model of the rows.
    table : BlockTable
        The rows.
    learned : object, default=None
        What the model learned from all rows, if this is known; None means `model.learn`.
    """
    learned = model.learn(table) if learned is None else learned
    sample = model.prepare_part(table.sample, learned)
    whole = BlockwiseModel(model, learned)
    blocks: tuple[Any, ...] = table.refs
    if table.placement is None and table.n_bytes <= _KEPT_BYTES:
        blocks = tuple(whole.open(ref) for ref in table.refs)
    return whole, BlockwiseData(table, blocks, sample, model.weight_of_table(table))
