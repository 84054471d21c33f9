"""Where arrays on disk are, so that another process can open them again."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.blocks.optional import needed_module

Array = NDArray[Any]


@dataclass(frozen=True)
class MappedArray:
    """An array of numpy whose numbers are in a mapped file, however it was sliced.

    Attributes
    ----------
    filename : str
        The file.
    start, stop : int
        Bytes of the file between which the numbers are.
    first : int
        Bytes from `start` to the first number, which is not the lowest if a step is negative.
    dtype : dtype
        Their type.
    shape, strides : tuple of int
        How they are arranged.
    """

    filename: str
    start: int
    stop: int
    first: int
    dtype: Any
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def open(self) -> Array:
        """The array, for reading.

        Raises
        ------
        ValueError
            If the file became shorter.
        """
        size = os.path.getsize(self.filename)
        if size < self.stop:
            raise ValueError(
                f"{self.filename} has {size} bytes, but the array needs {self.stop}: the file "
                "became shorter. Write it again, and make the blocks anew."
            )
        if self.stop == self.start:
            return np.empty(self.shape, self.dtype)
        n_bytes = self.stop - self.start
        data: Any = np.memmap(self.filename, np.uint8, "r", self.start, (n_bytes,))
        return np.ndarray(self.shape, self.dtype, data, self.first, self.strides)


@dataclass(frozen=True)
class Hdf5Array:
    """A dataset of an HDF5 file.

    Attributes
    ----------
    filename : str
        The file.
    name : str
        The dataset in it.
    """

    filename: str
    name: str

    def open(self) -> Any:
        """The dataset, for reading."""
        return needed_module("h5py", self.filename).File(self.filename, "r")[self.name]


def module_of(array: Any) -> str:
    """The library that an array is from."""
    return type(array).__module__.partition(".")[0]


def reference_to(array: Any) -> MappedArray | Hdf5Array | None:
    """Where an array is on disk; None if it is not, or if it pickles itself."""
    if module_of(array) == "h5py":
        return _reference_to_dataset(array)
    if type(array) in (np.ndarray, np.memmap):
        return _reference_to_map(array)
    return None


def _reference_to_dataset(dataset: Any) -> Hdf5Array | None:
    if dataset.name is None or dataset.file.driver in ("core", "fileobj"):
        return None
    filename = dataset.file.filename
    return Hdf5Array(
        os.path.abspath(filename) if os.path.exists(filename) else filename, dataset.name
    )


def _reference_to_map(array: Array) -> MappedArray | None:
    root: Any = array
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    # Changes of a copy-on-write map are not in the file.
    if not isinstance(root, np.memmap) or root.filename is None or root.mode == "c":
        return None
    if root.mode != "r":
        root.flush()
    reach = [step * (n - 1) for n, step in zip(array.shape, array.strides, strict=True)]
    below = -sum(own for own in reach if own < 0) if array.size else 0
    above = sum(own for own in reach if own > 0) + array.itemsize if array.size else 0
    # In the file; the root begins at its own offset.
    position = root.offset + array.ctypes.data - root.ctypes.data if array.size else 0
    return MappedArray(
        os.path.abspath(root.filename),
        position - below,
        position + above,
        below,
        array.dtype,
        array.shape,
        array.strides,
    )
