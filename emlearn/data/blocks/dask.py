"""Arrays and data frames of Dask, whose partitions are blocks of rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

_EXTRA = "Install Dask with: pip install scikit-em[dask]"


class DaskBlocks:
    """The partitions of a collection of Dask.

    With a client of `dask.distributed`, the collection is persisted, and its partitions stay on
    the workers that have them. Without one, partitions are computed in this process, each time
    they are needed.

    Parameters
    ----------
    collection : dask.array.Array or dask.dataframe.DataFrame
        The rows. An array needs known chunk sizes; its columns are put in one chunk.

    Raises
    ------
    ValueError
        If the collection has not two dimensions, or an array has unknown chunk sizes.
    """

    def __init__(self, collection: Any):
        if collection.ndim != 2:
            raise ValueError(
                f"Expected 2D array, got {collection.ndim}D collection of Dask instead. Reshape "
                "your data: X.reshape(-1, 1) if it is a single column."
            )
        self.is_array = hasattr(collection, "chunks")
        if self.is_array:
            if np.isnan(collection.shape[0]):
                raise ValueError(
                    "X is an array of Dask with unknown chunk sizes, so the number of its rows is "
                    "not known. Call X.compute_chunk_sizes() first, or make it with "
                    "ddf.to_dask_array(lengths=True)."
                )
            collection = collection.rechunk({1: -1})
        self.collection = collection
        self.n_features = int(collection.shape[1])

    @cached_property
    def client(self) -> Any:
        """The current client of `dask.distributed`; None if there is none."""
        try:
            from dask.distributed import get_client
        except ImportError:
            return None
        try:
            return get_client()
        except ValueError:
            return None

    @cached_property
    def _kept(self) -> Any:
        """The collection, computed once on the workers if there are any."""
        return self.collection if self.client is None else self.client.persist(self.collection)

    @cached_property
    def _delayed(self) -> list[Any]:
        parts: list[Any] = np.ravel(self._kept.to_delayed()).tolist()
        return parts

    @cached_property
    def futures(self) -> list[Any]:
        """The partitions on the workers."""
        found: list[Any] = self.client.compute(self._delayed)
        return found

    @cached_property
    def lengths(self) -> list[int]:
        """Number of rows of each partition."""
        if self.is_array:
            return [int(n) for n in self.collection.chunks[0]]
        counted = self._kept.map_partitions(len)
        return [int(n) for n in np.asarray(counted.compute()).ravel()]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(self.lengths)

    def __len__(self) -> int:
        """Number of partitions."""
        return len(self.collection.chunks[0]) if self.is_array else int(self.collection.npartitions)

    def __getitem__(self, index: int) -> Any:
        """The rows of a partition, in this process."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} partitions; there is no partition {index}.")
        return self._delayed[index].compute()

    def header(self) -> Any:
        """Rows that show the columns and their types; their values mean nothing."""
        if self.is_array:
            return np.zeros((2, self.n_features), self.collection.dtype)
        return self.collection._meta_nonempty

    def map_lazily(self, function: Callable[[Any], Any]) -> Any:
        """The results of a function for all partitions, to be computed later.

        Parameters
        ----------
        function : callable
            Called with the rows of a partition, returns an array or data frame with as many rows.
        """
        example = function(self.header())
        on_part = partial(_on_part, function, example[:0])
        if not isinstance(example, np.ndarray):
            return self.collection.map_partitions(on_part, meta=example)
        if not self.is_array:
            return self._array_of_parts(on_part, example)
        how: dict[str, Any] = {"dtype": example.dtype, "meta": example[:0]}
        if example.ndim == 1:
            return self.collection.map_blocks(on_part, drop_axis=1, **how)
        chunks = self.collection.chunks[0], (example.shape[1],)
        return self.collection.map_blocks(on_part, chunks=chunks, **how)

    def _array_of_parts(self, on_part: Callable[[Any], Any], example: Any) -> Any:
        from dask import array, delayed

        parts = np.ravel(self.collection.to_delayed())
        shape = (np.nan, *example.shape[1:])
        return array.concatenate(
            [array.from_delayed(delayed(on_part)(part), shape, meta=example[:0]) for part in parts],
            allow_unknown_chunksizes=True,
        )


def _on_part(function: Callable[[Any], Any], nothing: Any, part: Any) -> Any:
    """The result for a partition, which may have no rows."""
    return function(part) if len(part) else nothing
