"""Parameters as trees: their numeric leaves by name, and trees with other leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Name of the parameter of a model whose parameters are a single array or number.
SINGLE = "parameter"


def leaves(tree: Any) -> dict[str, Array]:
    """Floating-point leaves of a tree of named tuples, dataclasses, dicts and sequences, by path.

    Other leaves, such as integers and strings, are not parameters.
    """
    return {path or SINGLE: np.asarray(leaf, np.float64) for path, leaf in _walk(tree, "")}


def with_leaves(tree: Any, found: Mapping[str, Array]) -> Any:
    """The tree with other leaves; see `leaves`."""
    return _rebuild(tree, found, "")


def _walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    parts = _parts(node)
    if parts is None:
        if _is_number(node):
            yield path, node
        return
    for name, child in parts.items():
        yield from _walk(child, f"{path}.{name}" if path else name)


def _rebuild(node: Any, found: Mapping[str, Array], path: str) -> Any:
    parts = _parts(node)
    if parts is None:
        if not _is_number(node):
            return node
        value = found[path or SINGLE]
        return value if isinstance(node, np.ndarray) else float(value)
    new = {
        name: _rebuild(child, found, f"{path}.{name}" if path else name)
        for name, child in parts.items()
    }
    if isinstance(node, Mapping):
        return {key: new[str(key)] for key in node}
    if is_dataclass(node) and not isinstance(node, type):
        return replace(node, **new)
    if hasattr(node, "_fields"):
        return type(node)(**new)
    return type(node)(new.values())


def _parts(node: Any) -> dict[str, Any] | None:
    """Children by name; None for a leaf."""
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if is_dataclass(node) and not isinstance(node, type):
        return {field.name: getattr(node, field.name) for field in fields(node)}
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return dict(zip(node._fields, node, strict=True))
    if isinstance(node, tuple | list):
        return {str(i): value for i, value in enumerate(node)}
    return None


def _is_number(node: Any) -> bool:
    if isinstance(node, np.ndarray | np.generic):
        return node.dtype.kind == "f"
    return isinstance(node, Real) and isinstance(node, float)
