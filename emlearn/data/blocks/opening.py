"""Blocks of files, by how their names end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emlearn.data.blocks.arrays import ArrayBlocks
from emlearn.data.blocks.contract import RowBlocks
from emlearn.data.blocks.formats import ArrowFormat, ParquetFormat
from emlearn.data.blocks.optional import needed_module
from emlearn.data.blocks.paths import is_path
from emlearn.data.blocks.tabular import ArrowBlocks, ParquetBlocks

_HDF5 = (".h5", ".hdf5", ".hdf")
_TABLES: dict[str, Callable[..., RowBlocks]] = {
    **dict.fromkeys(ParquetFormat.suffixes, ParquetBlocks),
    **dict.fromkeys(ArrowFormat.suffixes, ArrowBlocks),
}


def open_rows(
    path: Any,
    *,
    columns: Sequence[Any] | None = None,
    block_rows: int | None = None,
    dataset: str | None = None,
) -> RowBlocks:
    """Blocks of the rows of a file, to be passed to an estimator in place of X.

    The format is known from how the name ends:

    ================================== =================================================
    ``.npy``                           an array of numpy, mapped into memory
    ``.parquet``, ``.parq``, ``.pq``   Parquet: a file, pattern, folder, or list of these
    ``.arrow``, ``.feather``, ``.ipc`` Arrow: the same
    ``.h5``, ``.hdf5``, ``.hdf``       HDF5; needs h5py
    ``.zarr``                          Zarr
    ================================== =================================================

    Parquet and Arrow need pyarrow. All optional packages are installed by
    ``pip install "scikit-em[files]"``.

    Parameters
    ----------
    path : str, path, or list of these
        The file. A list is for tables of Parquet or Arrow.
    columns : sequence, default=None
        Columns to read: names in a table, positions in an array. None means all.
    block_rows : int, default=None
        Number of rows of a block. None makes blocks of about 4 MB; see `ArrayBlocks`.
    dataset : str, default=None
        Name of the array in an HDF5 file or a group of Zarr. It is needed if these have several
        arrays with two dimensions.

    Returns
    -------
    blocks : ArrayBlocks, ParquetBlocks or ArrowBlocks
        The blocks.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the package that reads it is not installed.
    ValueError
        If the format is not known, the file cannot be read, or it has several arrays and dataset
        does not say which; see also `ArrayBlocks` and `ParquetBlocks`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from emlearn.data.blocks import open_rows
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rows.npy"
    ...     np.save(path, np.arange(12.0).reshape(4, 3))
    ...     np.array(open_rows(path, columns=[0, 2])[0])
    array([[ 0.,  2.],
           [ 3.,  5.],
           [ 6.,  8.],
           [ 9., 11.]])
    """
    paths = [path] if is_path(path) else list(path) if isinstance(path, Iterable) else []
    if not paths or not all(is_path(own) for own in paths):
        raise TypeError(f"open_rows needs a path or a list of paths, got {path!r}.")
    suffixes = {_suffix(os.fspath(own)) for own in paths}
    kinds = {_TABLES.get(own, own) for own in suffixes}
    if len(kinds) > 1:
        raise ValueError(f"Files must have one format, got {', '.join(sorted(suffixes))}.")
    (suffix,) = suffixes if len(suffixes) == 1 else (min(suffixes),)
    if suffix in _TABLES:
        if dataset is not None:
            raise ValueError(f"dataset is for files of HDF5 and Zarr, but {paths[0]} is a table.")
        source = path if is_path(path) else paths
        return _TABLES[suffix](source, columns=columns, block_rows=block_rows)
    if len(paths) > 1:
        raise ValueError("A list of files is for Parquet and Arrow. Open each array by itself.")
    name = os.fspath(paths[0])
    opened = _ARRAYS.get(suffix)
    if opened is None:
        known = ", ".join([*_ARRAYS, *_TABLES])
        raise ValueError(
            f"{name} has a format that is not known: its name must end with one of {known}. "
            f"{_ADVICE.get(suffix, 'Write it in one of these formats.')}"
        )
    if not os.path.exists(name):
        raise FileNotFoundError(f"There is no file {name}.")
    return ArrayBlocks(opened(name, dataset), columns=columns, block_rows=block_rows)


_ADVICE = {
    ".npz": "Save the array by itself with numpy.save, as an archive cannot be mapped.",
    ".csv": "Read it with pandas if it fits in memory, otherwise convert it with "
    "pyarrow.dataset.write_dataset.",
}


def _suffix(path: str) -> str:
    """How the name of a file ends, or the names of the files of a folder."""
    suffix = Path(path).suffix.lower()
    if suffix in (*_TABLES, *_ARRAYS) or not os.path.isdir(path):
        return suffix
    if any(os.path.exists(os.path.join(path, own)) for own in ("zarr.json", ".zarray", ".zgroup")):
        return ".zarr"
    for _, _, names in os.walk(path):
        found = sorted(
            own for own in (Path(name).suffix.lower() for name in names) if own in _TABLES
        )
        if found:
            return found[0]
    raise FileNotFoundError(f"{path} has no files of Parquet or Arrow.")


def _open_npy(path: str, dataset: str | None) -> Any:
    _require_one(path, dataset)
    try:
        return np.load(path, mmap_mode="r")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read block by block: {error}") from error


def _open_hdf5(path: str, dataset: str | None) -> Any:
    h5py = needed_module("h5py", path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5: {error}") from error
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return _chosen(path, found, dataset)


def _open_zarr(path: str, dataset: str | None) -> Any:
    zarr = needed_module("zarr", path)
    try:
        opened = zarr.open(path, mode="r")
    except Exception as error:  # its versions raise different ones
        raise ValueError(f"{path} cannot be read as Zarr: {error}") from error
    if hasattr(opened, "dtype"):
        _require_one(path, dataset)
        return opened
    return _chosen(path, dict(_arrays_of(opened)), dataset)


def _arrays_of(group: Any, before: str = "") -> list[tuple[str, Any]]:
    """All arrays of a group of Zarr, also those in groups in it."""
    found = [(before + name, array) for name, array in group.arrays()]
    for name, own in group.groups():
        found += _arrays_of(own, f"{before}{name}/")
    return found


def _require_one(path: str, dataset: str | None) -> None:
    if dataset is not None:
        raise ValueError(f"{path} is one array, so there is no dataset {dataset!r} in it.")


def _chosen(path: str, found: dict[str, Any], dataset: str | None) -> Any:
    """The array of a name; without a name, the only one that has two dimensions."""
    listed = ", ".join(f"{name!r} of shape {own.shape}" for name, own in found.items()) or "none"
    if dataset is not None:
        name = dataset.strip("/")
        if name not in found:
            raise ValueError(f"{path} has no dataset {dataset!r}. Its datasets: {listed}.")
        return found[name]
    tables = [own for own in found.values() if len(own.shape) == 2]
    if len(tables) != 1:
        raise ValueError(
            f"{path} has {len(tables)} datasets with two dimensions. Choose one with dataset=. Its "
            f"datasets: {listed}."
        )
    return tables[0]


_ARRAYS: dict[str, Callable[[str, str | None], Any]] = {
    ".npy": _open_npy,
    **dict.fromkeys(_HDF5, _open_hdf5),
    ".zarr": _open_zarr,
}
