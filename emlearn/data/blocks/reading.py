"""Blocks that are read a little ahead, and results that are put together block by block."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from emlearn.data.blocks.contract import RowBlocks
from emlearn.data.blocks.finding import find_blocks

Value = TypeVar("Value")

# Blocks that are read before they are needed.
_AHEAD = 2


def read_ahead(calls: Iterable[Callable[[], Value]]) -> Iterator[Value]:
    """Results of calls in order; one thread makes them, a little ahead of their use."""
    remaining = iter(calls)
    reader = ThreadPoolExecutor(1)
    try:
        waiting = deque(reader.submit(call) for call in islice(remaining, _AHEAD))
        while waiting:
            value = waiting.popleft().result()
            waiting.extend(reader.submit(call) for call in islice(remaining, 1))
            yield value
    finally:
        reader.shutdown(wait=True, cancel_futures=True)


def map_blocks(function: Callable[[Any], Any], X: Any, *, out: Any = None) -> Any:
    """Apply a function to each block of rows, and put the results together.

    Methods of estimators that return something for each row, such as `predict` and `transform`,
    do this by themselves if they get blocks; this function can also write the result to a file.

    Parameters
    ----------
    function : callable
        Called as ``function(block)``; returns an array with a row for each row of the block, or a
        tuple of such arrays. For example a method of a fitted estimator, of any package.
    X : RowBlocks, np.memmap, array of h5py or zarr, or other array
        The rows.
    out : array-like, str or path, default=None
        Where to put the result: an array that can be written to by slices of rows (of numpy, h5py
        or zarr), or the name of a new ``.npy`` file. None makes a new array in memory.

    Returns
    -------
    out : ndarray or tuple of ndarray
        The result: `out`, or the array of the new file, mapped into memory.

    Raises
    ------
    ValueError
        If a result does not have one row for each row of its block.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.data.blocks import ArrayBlocks, map_blocks
    >>> from emlearn.datasets import load_old_faithful
    >>> X = load_old_faithful().data
    >>> mixture = GaussianMixtureEM(2, random_state=0).fit(X)
    >>> by_block = map_blocks(mixture.score_samples, ArrayBlocks(X, block_rows=100))
    >>> bool((by_block == mixture.score_samples(X)).all())
    True
    """
    blocks = find_blocks(X, always=True)
    assert blocks is not None
    outputs: list[_Output] = []
    several = False
    for index, block in enumerate(read_ahead(partial(_get, blocks, i) for i in range(len(blocks)))):
        n_rows = _n_rows(block)
        if not n_rows:
            continue
        found = function(block)
        several = isinstance(found, tuple)
        results = found if several else (found,)
        outputs = outputs or [_Output(blocks.n_rows, out) for _ in results]
        for output, result in zip(outputs, results, strict=True):
            output.add(np.asarray(result), n_rows, index)
    arrays = tuple(output.array() for output in outputs)
    return arrays if several else arrays[0] if arrays else out


class _Output:
    """The results for the blocks so far."""

    def __init__(self, n_rows: int, out: Any):
        self._n_rows, self._out = n_rows, out
        self._parts: list[Any] = []
        self._first = 0

    def add(self, result: Any, n_rows: int, index: int) -> None:
        """Add the result for a block."""
        if result.shape[:1] != (n_rows,):
            raise ValueError(
                f"The function returned an array of shape {result.shape} for block {index}, which "
                f"has {n_rows} rows. It must return one row for each."
            )
        shape = (self._n_rows, *result.shape[1:])
        if isinstance(self._out, str | os.PathLike):
            self._out = np.lib.format.open_memmap(self._out, "w+", result.dtype, shape)
        elif self._out is None and result.dtype.kind in "biuf" and not self._parts:
            self._out = np.empty(shape, result.dtype)
        if self._out is None:
            self._parts.append(result)
        else:
            self._out[self._first : self._first + n_rows] = result
        self._first += n_rows

    def array(self) -> Any:
        """All results."""
        return np.concatenate(self._parts) if self._parts else self._out


def _get(blocks: RowBlocks, index: int) -> Any:
    block = blocks[index]
    # A copy, because a mapped file is read when its pages are touched.
    return np.array(block, order="C", subok=True) if isinstance(block, np.ndarray) else block


def _n_rows(block: Any) -> int:
    return int(block.shape[0]) if hasattr(block, "shape") else len(block)


def by_block(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that, given blocks of rows, does its work block by block."""

    @wraps(method)
    def of_blocks(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        blocks = find_blocks(X)
        if blocks is None:
            return method(self, X, *args, **kwargs)
        own = partial(method, self, *args, **kwargs)
        lazily = getattr(blocks, "map_lazily", None)
        return map_blocks(own, blocks) if lazily is None else lazily(own)

    return of_blocks
