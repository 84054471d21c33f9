"""Files of rows, opened by their kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from emlearn.data.blocks.arrays import ArrayBlocks
from emlearn.data.blocks.contract import RowBlocks
from emlearn.data.blocks.parquet import ParquetBlocks


def open_rows(
    source: Any,
    *,
    columns: Sequence[Any] | None = None,
    block_rows: int | None = None,
    dataset: str | None = None,
) -> RowBlocks:
    """Rows of a file that are read block by block; none are read yet.

    Parameters
    ----------
    source : str, path or sequence of these
        The file: ``.npy``, ``.parquet`` (also a list, a pattern or a folder of such files),
        ``.h5`` or ``.hdf5``, or ``.zarr``.
    columns : sequence, default=None
        Columns to read: names in Parquet files, positions in others. None means all.
    block_rows : int, default=None
        Largest number of rows of a block. None makes blocks of about 4 MB.
    dataset : str, default=None
        Name of the array in a file of HDF5, or a group of zarr. None means the only one.

    Returns
    -------
    blocks : RowBlocks
        What estimators read in place of X.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the package that reads such files is not installed.
    ValueError
        If the kind of the file is unknown, or it does not hold one array with rows and columns.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from emlearn.data.blocks import open_rows
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(os.path.join(folder, "rows.npy"), np.eye(3))
    ...     open_rows(os.path.join(folder, "rows.npy"))
    ArrayBlocks of shape (3, 3) in 1 blocks
    """
    is_one = isinstance(source, str | os.PathLike)
    name = os.fspath(source).rstrip("/\\") if is_one else ""
    suffix = os.path.splitext(name)[1].lower()
    if not is_one or suffix in (".parquet", ".pq") or (os.path.isdir(name) and suffix != ".zarr"):
        return ParquetBlocks(source, columns=columns, block_rows=block_rows)
    if suffix not in _OPENERS:
        raise ValueError(
            f"{name!r} is no file of a kind that is known here, by its suffix: "
            f".parquet, {', '.join(_OPENERS)}. Pass its array to ArrayBlocks, or write a class "
            "with the members of RowBlocks."
        )
    if not os.path.exists(name):
        raise FileNotFoundError(f"There is no file {name!r}.")
    array = _OPENERS[suffix](name, dataset)
    return ArrayBlocks(array, columns=columns, block_rows=block_rows)


def _open_npy(name: str, dataset: str | None) -> Any:
    return np.load(name, mmap_mode="r")


def _open_hdf5(name: str, dataset: str | None) -> Any:
    try:
        import h5py
    except ImportError:
        raise _missing("h5py", name) from None
    file = h5py.File(name, "r")
    if dataset is not None:
        return _member(file, dataset, name)
    found: list[str] = []
    file.visititems(lambda key, own: found.append(key) if _is_table(own) else None)
    return file[_only(found, name)]


def _open_zarr(name: str, dataset: str | None) -> Any:
    try:
        import zarr
    except ImportError:
        raise _missing("zarr", name) from None
    store = zarr.open(name, mode="r")
    if hasattr(store, "shape"):
        return store
    if dataset is not None:
        return _member(store, dataset, name)
    return store[_only([key for key, own in store.arrays() if _is_table(own)], name)]


def _is_table(own: Any) -> bool:
    return len(getattr(own, "shape", ())) == 2


def _member(file: Any, dataset: str, name: str) -> Any:
    if dataset not in file:
        raise ValueError(f"dataset={dataset!r} does not exist in {name!r}; there are {list(file)}.")
    return file[dataset]


def _only(found: list[str], name: str) -> str:
    if len(found) != 1:
        raise ValueError(
            f"{name!r} has {len(found)} arrays with rows and columns, but one is needed. Choose it "
            f"with dataset=...: {sorted(found)}."
        )
    return found[0]


def _missing(package: str, name: str) -> ImportError:
    return ImportError(f"{name!r} is read with {package}: pip install scikit-em[files].")


_OPENERS = {
    ".npy": _open_npy,
    ".h5": _open_hdf5,
    ".hdf5": _open_hdf5,
    ".zarr": _open_zarr,
}
