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
from emlearn.data.blocks.mapped import loaded
from emlearn.data.frames import stack_frames

Value = TypeVar("Value")
Class = TypeVar("Class")

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
    out : ndarray, DataFrame, or tuple of these
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
            output.add(result, n_rows, index)
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
        if self._out is not None or not hasattr(result, "columns"):
            result = np.asarray(result)
        if result.shape[:1] != (n_rows,):
            raise ValueError(
                f"The function returned an array of shape {result.shape} for block {index}, which "
                f"has {n_rows} rows. It must return one row for each."
            )
        shape = (self._n_rows, *result.shape[1:])
        if isinstance(self._out, str | os.PathLike):
            self._out = np.lib.format.open_memmap(self._out, "w+", result.dtype, shape)
        elif self._out is None and _is_numeric(result) and not self._parts:
            self._out = np.empty(shape, result.dtype)
        if self._out is None:
            self._parts.append(result)
        else:
            self._out[self._first : self._first + n_rows] = result
        self._first += n_rows

    def array(self) -> Any:
        """All results."""
        if not self._parts:
            return self._out
        if hasattr(self._parts[0], "columns"):
            return stack_frames(self._parts)
        return np.concatenate(self._parts)


def _is_numeric(result: Any) -> bool:
    return isinstance(result, np.ndarray) and result.dtype.kind in "biuf"


def _get(blocks: RowBlocks, index: int) -> Any:
    return loaded(blocks[index])


def _n_rows(block: Any) -> int:
    return int(block.shape[0]) if hasattr(block, "shape") else len(block)


def by_block(*names: str) -> Callable[[type[Class]], type[Class]]:
    """Decorator of classes whose methods, given blocks of rows, do their work block by block.

    It goes around what `set_output` makes of the methods.

    Parameters
    ----------
    *names : str
        Names of the methods. Their first argument is X, and they return something for each row.
    """

    def decorate(cls: type[Class]) -> type[Class]:
        for name in names:
            setattr(cls, name, _of_blocks(getattr(cls, name)))
        return cls

    return decorate


def _of_blocks(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def of_blocks(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        blocks = find_blocks(X)
        if blocks is None:
            return method(self, X, *args, **kwargs)
        own = partial(_call, method, self, args, kwargs)
        lazily = getattr(blocks, "map_lazily", None)
        return map_blocks(own, blocks) if lazily is None else lazily(own)

    return of_blocks


def _call(method: Callable[..., Any], self: Any, args: Any, kwargs: Any, block: Any) -> Any:
    return method(self, block, *args, **kwargs)
