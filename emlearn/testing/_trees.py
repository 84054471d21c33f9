"""Nested values: their leaves, and the differences between two of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from numbers import Number
from types import ModuleType
from typing import Any

import numpy as np


def not_addable(statistics: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves that the engine cannot add, with their paths."""
    if isinstance(statistics, tuple | dict):
        for name, child in children(statistics) or ():
            yield from not_addable(child, path + name)
    elif isinstance(statistics, np.ndarray):
        if statistics.dtype.kind not in "iufc":
            yield path, statistics
    elif not isinstance(statistics, Number) or isinstance(statistics, bool):
        yield path, statistics


def scaled(statistics: Any, factor: float) -> Any:
    """Statistics multiplied by a number."""
    if isinstance(statistics, dict):
        return {key: scaled(value, factor) for key, value in statistics.items()}
    if isinstance(statistics, tuple):
        parts = [scaled(value, factor) for value in statistics]
        return type(statistics)(*parts) if hasattr(statistics, "_fields") else tuple(parts)
    return factor * statistics


def children(node: Any) -> list[tuple[str, Any]] | None:
    """Parts of a node of a tree, with their names; None for a leaf."""
    if isinstance(node, np.ndarray | np.generic | type | ModuleType) or callable(node):
        return None
    if is_dataclass(node):
        return [(f".{f.name}", getattr(node, f.name)) for f in fields(node)]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return [(f".{name}", getattr(node, name)) for name in node._fields]
    if isinstance(node, Mapping):
        return [(f"[{key!r}]", value) for key, value in node.items()]
    if isinstance(node, list | tuple):
        return [(f"[{i}]", value) for i, value in enumerate(node)]
    if hasattr(node, "__dict__"):
        return [(f".{name}", value) for name, value in vars(node).items()]
    return None


def flatten(tree: Any, path: str = "") -> dict[str, Any]:
    """Leaves of a tree of named tuples, dataclasses, dicts, sequences and objects."""
    parts = children(tree)
    if parts is None:
        return {path: tree}
    leaves: dict[str, Any] = {}
    for name, child in parts:
        leaves.update(flatten(child, path + name))
    return leaves


def difference(found: Any, expected: Any, rtol: float | None = None) -> str:
    """Where two trees differ; empty if they agree. Without `rtol`, bits must be equal.

    Differences are relative to the largest number of the array, or to a millionth of the
    largest of the tree, because sums that cancel are zero only up to rounding.
    """
    left, right = flatten(found), flatten(expected)
    if left.keys() != right.keys():
        odd = sorted(left.keys() ^ right.keys())
        return f"{', '.join(odd[:5])} on one side only"
    largest = max((_largest(leaf) for leaf in right.values()), default=0.0)
    for path, a in left.items():
        b = right[path]
        if rtol is None or not (_is_numeric(a) and _is_numeric(b)):
            if not same(a, b):
                return f"{path or 'the value'} is {show(a)}, not {show(b)}"
            continue
        if np.shape(a) != np.shape(b):
            return f"{path or 'the value'} has shape {np.shape(a)}, not {np.shape(b)}"
        tolerance = rtol * max(_largest(b), 1e-6 * largest)
        if not np.allclose(a, b, rtol=0.0, atol=tolerance, equal_nan=True):
            gap = np.nanmax(np.abs(np.subtract(a, b)))
            return (
                f"{path or 'the value'} differs by {gap:.3g}, {tolerance:.1g} is allowed: "
                f"{show(a)}, not {show(b)}"
            )
    return ""


def _is_numeric(leaf: Any) -> bool:
    return np.asarray(leaf).dtype.kind in "iufc"


def _largest(leaf: Any) -> float:
    if not _is_numeric(leaf) or np.size(leaf) == 0:
        return 0.0
    values = np.abs(leaf)
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray | np.generic) or isinstance(b, np.ndarray | np.generic):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if a is b:
        return True
    try:
        return bool(a == b) or pickle.dumps(a) == pickle.dumps(b)
    except Exception:
        return False


def show(leaf: Any) -> str:
    text = np.array2string(leaf, threshold=6) if isinstance(leaf, np.ndarray) else repr(leaf)
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:97] + "..."
