"""Packages that are imported only when a file needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed_module(name: str, what: str) -> Any:
    """An optional package.

    Parameters
    ----------
    name : str
        The name of a module, such as "pyarrow.parquet".
    what : str
        What needs it.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which cannot be imported. Install it: "
            'pip install "scikit-em[files]"'
        ) from error
