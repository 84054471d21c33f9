"""Scratch memory."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Workspace(threading.local):
    """Scratch arrays that a thread reuses for every block.

    A new large array costs a page fault for every 4 KB, often more than the arithmetic.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Array] = {}

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()

    def array(self, name: str, shape: tuple[int, int], dtype: Any) -> Array:
        """Uninitialized C-contiguous array, valid until the next call with the same name."""
        size = shape[0] * shape[1]
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size or buffer.dtype != dtype:
            buffer = self._buffers[name] = np.empty(size, dtype)
        return buffer[:size].reshape(shape)
