"""Compiled kernels of inner loops; each has an equivalent in numpy.

The kernels are built where a C compiler (GCC or Clang) is available, and left out elsewhere; of
the builds for several instruction sets the best that the processor runs is taken. Two
environment variables are read when the package is imported:

`EMLEARN_COMPILED=0`
    Do without the kernels.
`EMLEARN_REQUIRE_COMPILED=1`
    A missing kernel is an error (where otherwise the next best is taken), also when the package
    is built.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def _load(environment: Any = os.environ) -> Any:
    required = environment.get("EMLEARN_REQUIRE_COMPILED", "0") == "1"
    if environment.get("EMLEARN_COMPILED", "1") == "0":
        if required:
            raise ImportError(
                "EMLEARN_COMPILED=0 and EMLEARN_REQUIRE_COMPILED=1 exclude each other; set one"
            )
        return None
    best = None
    try:
        best = import_module("emlearn.kernels._base")
        best = import_module(f"emlearn.kernels._{best.level()}")
    except ImportError as error:
        if required:
            raise ImportError(
                f"a compiled kernel is missing, which EMLEARN_REQUIRE_COMPILED=1 does not allow: "
                f"{error}"
            ) from error
    return best


#: The module of compiled functions; None where there is none.
compiled = _load()
