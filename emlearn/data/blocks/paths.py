"""The files of a table that is in several files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

# What stands for a missing key in the name of a folder.
_NO_KEY = "__HIVE_DEFAULT_PARTITION__"


class TableFile(NamedTuple):
    """A file of a table.

    Attributes
    ----------
    path : str
        Where it is.
    filesystem : pyarrow.fs.FileSystem or None
        The file system; None means that of this machine.
    keys : tuple of (str, object)
        Columns that have one value in all rows of the file, as the names of folders say.
    """

    path: str
    filesystem: Any = None
    keys: tuple[tuple[str, Any], ...] = ()


def is_path(source: Any) -> bool:
    """Whether a source is the name of a file or folder."""
    return isinstance(source, str | os.PathLike)


def find_files(source: Any, suffixes: Sequence[str], what: str) -> list[TableFile]:
    """The files of a source, in the order of their rows.

    Parameters
    ----------
    source : str, path, list of these, or pyarrow.dataset.Dataset
        A file, a folder, a pattern such as ``"folder/*.parquet"``, several of these, or a dataset.
        Files of a folder, also in folders in it, and files of a pattern are sorted by name, where
        2 comes before 10. Folders with names such as ``year=2024`` are columns. Names that begin
        with a dot or underscore are left out.
    suffixes : sequence of str
        How names of files end in a folder.
    what : str
        What the files are, for messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no file in the folder.
    ValueError
        If the source is a dataset that is not of such files.
    """
    if is_path(source):
        return _files_of_path(os.fspath(source), suffixes, what)
    if hasattr(source, "get_fragments"):
        return _files_of_dataset(source, what)
    if isinstance(source, Iterable):
        listed = list(source)
        if listed and all(is_path(own) for own in listed):
            return [file for own in listed for file in find_files(own, suffixes, what)]
    raise TypeError(
        f"{what} are read from a path, a list of paths, or a pyarrow.dataset.Dataset, got "
        f"{type(source).__name__}."
    )


def natural_order(path: str) -> list[tuple[bool, int, str]]:
    """The key by which names are sorted, with numbers in them as numbers."""
    parts = re.split(r"(\d+)", path)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _files_of_path(path: str, suffixes: Sequence[str], what: str) -> list[TableFile]:
    if "://" in path:
        raise ValueError(
            f"{path} is not on this machine. Pass pyarrow.dataset.dataset({path!r}) in its place."
        )
    if os.path.isdir(path):
        found = [
            own
            for own in Path(path).rglob("*")
            if own.suffix.lower() in suffixes and _is_data(own.relative_to(path)) and own.is_file()
        ]
        if not found:
            raise FileNotFoundError(
                f"{path} has no {what}, whose names end with {' or '.join(suffixes)}."
            )
        return _with_keys(path, sorted(map(str, found), key=natural_order))
    if os.path.exists(path):
        return [TableFile(os.path.abspath(path))]
    matching = sorted(glob(path, recursive=True), key=natural_order) if has_magic(path) else []
    if not matching:
        raise FileNotFoundError(f"There is no file {path}.")
    return [TableFile(os.path.abspath(own)) for own in matching if os.path.isfile(own)]


def _is_data(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _with_keys(folder: str, paths: Sequence[str]) -> list[TableFile]:
    """The files of a folder with the keys in the names of its folders."""
    keys: list[dict[str, Any]] = []
    for path in paths:
        folders = Path(path).relative_to(folder).parts[:-1]
        pairs = (part.partition("=") for part in folders if "=" in part)
        keys.append({name: unquote(value) for name, _, value in pairs})
    names = list(keys[0])
    for path, own in zip(paths, keys, strict=True):
        if list(own) != names:
            raise ValueError(
                f"The folders of {path} name {list(own)}, but those of {paths[0]} name {names}. "
                "Each file needs the same names."
            )
    for name in names:
        values = [own[name] for own in keys]
        known = [value for value in values if value != _NO_KEY]
        numbers = all(re.fullmatch(r"-?\d+", value) for value in known)
        for own, value in zip(keys, values, strict=True):
            own[name] = None if value == _NO_KEY else int(value) if numbers else value
    return [
        TableFile(os.path.abspath(path), None, tuple(own.items()))
        for path, own in zip(paths, keys, strict=True)
    ]


def _files_of_dataset(dataset: Any, what: str) -> list[TableFile]:
    if not hasattr(dataset, "files"):
        raise ValueError(
            f"A {type(dataset).__name__} of pyarrow is not a list of files. Write its rows to "
            f"{what}."
        )
    from pyarrow.dataset import get_partition_keys

    found = []
    for own in dataset.get_fragments():
        keys = get_partition_keys(own.partition_expression)
        ordered = tuple((name, keys[name]) for name in dataset.schema.names if name in keys)
        found.append(TableFile(own.path, dataset.filesystem, ordered))
    return found
