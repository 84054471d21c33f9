"""The first pass over a table that is read block by block, and the sample that it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import vstack

from emlearn.data.weights import check_sum
from emlearn.engine.block_table import BlockRef, BlockTable, Reader, RowPart
from emlearn.engine.blocks import Mapper, current_mapper

Array = NDArray[Any]

# The sample that starts are found on: numbers in it, and numbers of rows.
_SAMPLE_NUMBERS = 1 << 22
_SAMPLE_ROWS = (20_000, 400_000)
# Standard deviations by which a block offers more rows than the sample needs on average.
_SPARE = 6.0


class _Survey(NamedTuple):
    """What the first pass finds in a block; positions are those in the block."""

    n_rows: int
    dtype: Any
    n_used: int
    weight: float
    keys: Array
    sample: RowPart


def read_block_table(
    source: Any,
    reader: Reader,
    *,
    weight: Any = None,
    any_scale: bool = False,
    placement: Mapper | None = None,
) -> BlockTable:
    """Read all blocks once: check them, count their rows and draw a sample.

    The sample does not depend on where the blocks are read.

    Parameters
    ----------
    source : RowBlocks
        The blocks.
    reader : callable
        See `Reader`.
    weight : array-like of shape (n_rows,), default=None
        Weights of the rows; the slice of a block is all that is read of them at a time.
    any_scale : bool, default=False
        See `emlearn.data.read_weight`.
    placement : Mapper, default=None
        Where the blocks are, if not in this process.

    Returns
    -------
    table : BlockTable
        The table.

    Raises
    ------
    ValueError
        If a block or a weight is invalid, there are no rows, or the number of rows is not what
        the source says.
    """
    refs = [BlockRef(source, i, 0, reader) for i in range(len(source))]
    mapper = placement or current_mapper()
    n_rows = int(source.n_rows)
    if weight is not None and len(weight) != n_rows:
        raise ValueError(
            f"sample_weight has {len(weight)} entries, but must have one for each of the {n_rows} "
            "rows."
        )
    lengths = getattr(source, "lengths", None)
    if lengths is None and weight is not None:
        lengths = _each(mapper, _count, refs)
    if lengths is not None:
        refs = _placed(refs, lengths, weight)
    fraction = _fraction(n_rows, int(source.n_features))
    try:
        found = _each(mapper, partial(_survey, fraction), refs)
    except ValueError:
        if lengths is not None:
            raise
        # Once more, now that it is known which rows the blocks have: the error names them.
        refs = _placed(refs, _each(mapper, _count, refs), None)
        found = _each(mapper, partial(_survey, fraction), refs)
    counted = np.array([own.n_rows for own in found], np.int64)
    if counted.sum() != n_rows:
        raise ValueError(
            f"X has n_rows={n_rows}, but its blocks have {counted.sum()} rows in all. Correct "
            "n_rows, or the blocks."
        )
    total = float(sum(own.weight for own in found))
    if weight is not None:
        check_sum(total, "row", any_scale=any_scale)
    dtype = np.result_type(*{own.dtype for own in found if own.n_rows} or {np.dtype(np.float64)})
    refs = _placed(refs, counted, weight)
    filled = counted > 0
    return BlockTable(
        tuple(replace(ref, dtype=dtype) for ref, own in zip(refs, filled, strict=True) if own),
        counted[filled],
        int(source.n_features),
        dtype,
        total,
        sum(own.n_used for own in found),
        _sample(found, n_rows, int(source.n_features), dtype),
        weight is not None,
        placement,
    )


def _each(mapper: Mapper, function: Callable[..., Any], refs: Sequence[BlockRef]) -> list[Any]:
    with mapper.over(function, refs) as each:
        return list(each(None))


def _count(ref: BlockRef, _: Any) -> int:
    raw = ref.source[ref.index] if ref.raw is None else ref.raw
    return int(raw.shape[0]) if hasattr(raw, "shape") else len(raw)


def _placed(refs: Sequence[BlockRef], lengths: Any, weight: Any) -> list[BlockRef]:
    """The blocks with their positions, and with the weights of their rows."""
    placed, first = [], 0
    for ref, length in zip(refs, lengths, strict=True):
        own = None if weight is None else weight[first : first + int(length)]
        placed.append(replace(ref, first=first, weight=own))
        first += int(length)
    return placed


def _size(n_features: int) -> int:
    fewest, most = _SAMPLE_ROWS
    return min(max(_SAMPLE_NUMBERS // max(n_features, 1), fewest), most)


def _fraction(n_rows: int, n_features: int) -> float:
    """Largest random number of a row that may be in the sample."""
    size = _size(n_features)
    return 1.0 if n_rows <= size else min(1.0, (size + _SPARE * np.sqrt(size)) / n_rows)


def _survey(fraction: float, ref: BlockRef, _: Any) -> _Survey:
    part = ref.open()
    n_rows = int(part.X.shape[0])
    used = part.used
    n_used = int(used.X.shape[0])
    keys = np.random.default_rng([0, ref.index]).random(n_rows)[used.positions - ref.first]
    chosen = np.flatnonzero(keys <= fraction)
    sample = used if len(chosen) == n_used else used.take(chosen)
    # A copy of few rows does not keep the block in memory.
    sample = RowPart(sample.X.copy(), *sample[1:3], sample.positions - ref.first)
    weight = float(n_rows if part.weight is None else part.weight.sum())
    return _Survey(n_rows, part.X.dtype, n_used, weight, keys[chosen], sample)


def _sample(found: Sequence[_Survey], n_rows: int, n_features: int, dtype: Any) -> RowPart:
    """The rows with the smallest random numbers, in their order."""
    keys = np.concatenate([own.keys for own in found])
    size = _size(n_features)
    chosen = np.arange(len(keys))
    if n_rows > size and len(keys) > size:
        chosen = np.sort(np.argsort(keys, kind="stable")[:size])
    parts = [own.sample for own in found if own.n_rows]
    X = _stack([part.X for part in parts])[chosen]
    weight, labels = (
        None if not parts or parts[0][i] is None else np.concatenate([p[i] for p in parts])[chosen]
        for i in (1, 2)
    )
    offsets = np.cumsum([0, *(own.n_rows for own in found)])
    where = np.concatenate(
        [own.sample.positions + start for own, start in zip(found, offsets, strict=False)]
    )[chosen]
    return RowPart(X.astype(dtype, copy=False), weight, labels, where)


def _stack(parts: Sequence[Any]) -> Any:
    if hasattr(parts[0], "indptr"):
        return vstack(parts, format="csr")
    return np.concatenate(parts)
