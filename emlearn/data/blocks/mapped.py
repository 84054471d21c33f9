"""Arrays that are mapped from files."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def is_mapped(X: Any) -> bool:
    """Whether an array is, or is a view of, a file that is mapped into memory."""
    owner: Any = X
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return True
        owner = owner.base
    return isinstance(owner, mmap.mmap)


def loaded(block: Any) -> Any:
    """The block in memory: a mapped file is read only when its pages are touched."""
    return np.array(block, order="C") if is_mapped(block) else block
