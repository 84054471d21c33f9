"""Compiled kernels of inner loops; each has an equivalent in numpy.

The kernels are built where a C compiler (GCC or Clang) is at hand, and left out elsewhere.
The environment variable `EMLEARN_COMPILED=0` makes the package do without them.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def _load() -> Any:
    if os.environ.get("EMLEARN_COMPILED", "1") == "0":
        return None
    try:
        base = import_module("emlearn.kernels._base")
    except ImportError:
        return None
    try:
        return import_module(f"emlearn.kernels._{base.level()}")
    except ImportError:
        return base


#: The module of compiled functions; None where there is none.
compiled = _load()
