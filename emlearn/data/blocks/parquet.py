"""Blocks of Parquet and Arrow files."""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

_BLOCK_BYTES = 4 * 2**20
_LEAST_ROWS = 4096


class ParquetBlocks:
    """Blocks of the rows of Parquet files, with the columns that are asked for.

    Numbers are read as they are, nulls as NaN, booleans as 0 and 1. Text and dictionaries become
    the positions of their values among `levels`, which are those of all files.

    Parameters
    ----------
    source : str, path or sequence of these
        A file, several files in this order, a pattern such as ``"part-*.parquet"``, or a folder,
        of which all ``.parquet`` files are read in the order of their names.
    columns : sequence of str, default=None
        Names of the columns to read, in this order. None means all.
    block_rows : int, default=None
        Largest number of rows of a block. None makes blocks of about 4 MB of numbers. A block is
        a part of one row group.

    Attributes
    ----------
    n_rows, n_features : int
        Number of rows, and of columns that are read.
    lengths : list of int
        Number of rows of each block.
    names : list of str
        Names of the columns.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column does not exist, is of a type that is no number or category, or has different
        types in different files.

    Notes
    -----
    A block is a DataFrame of pandas, or an array without pandas. Estimators learn the names of
    the columns from a DataFrame.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> from emlearn.data.blocks import ParquetBlocks
    >>> table = pa.table({"age": [31.0, None, 52.0], "town": ["Ulm", "Aalen", "Ulm"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pq.write_table(table, f"{folder}/people.parquet")
    ...     people = ParquetBlocks(folder, columns=["town", "age"])
    ...     people.levels, people[0]["town"].tolist()
    ({'town': ('Aalen', 'Ulm')}, [1.0, 0.0, 1.0])
    """

    def __init__(
        self, source: Any, *, columns: Sequence[str] | None = None, block_rows: int | None = None
    ):
        _arrow()
        if block_rows is not None and block_rows < 1:
            raise ValueError(f"block_rows={block_rows!r} must be at least 1.")
        self.files = _files(source)
        schema = self._schema_of(self.files[0])
        if columns is not None:
            unknown = [name for name in columns if name not in schema.names]
            if unknown:
                raise ValueError(
                    f"There is no column {unknown[0]!r} in {self.files[0]}; there are "
                    f"{', '.join(schema.names)}."
                )
        self.names = list(schema.names if columns is None else columns)
        self.n_features = len(self.names)
        self._kinds = {name: _kind(schema.field(name), self.files[0]) for name in self.names}
        self.block_rows = int(
            block_rows or max(_BLOCK_BYTES // (8 * max(self.n_features, 1)), _LEAST_ROWS)
        )
        self._cursor = _Cursor()
        self._parts: list[tuple[int, int, int, int]] = []
        for number, path in enumerate(self.files):
            self._parts += self._parts_of(number, path)

    def _schema_of(self, path: str) -> Any:
        return _arrow().parquet.read_schema(path)

    def _parts_of(self, number: int, path: str) -> list[tuple[int, int, int, int]]:
        """File, row group, first row and number of rows of the blocks of a file."""
        with _arrow().parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            for name in self.names:
                kind = _kind(schema.field(name), path) if name in schema.names else None
                if kind != self._kinds[name]:
                    other = "does not exist" if kind is None else f"holds {kind}"
                    raise ValueError(
                        f"Column {name!r} holds {self._kinds[name]} in {self.files[0]}, but "
                        f"{other} in {path}. All files must have the same columns."
                    )
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        return [
            (number, group, start, min(self.block_rows, size - start))
            for group, size in enumerate(sizes)
            for start in range(0, size, self.block_rows)
        ]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(self.lengths)

    @property
    def lengths(self) -> list[int]:
        """Number of rows of each block."""
        return [size for *_, size in self._parts]

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self._parts)

    def __getitem__(self, index: int) -> Any:
        """Rows of a block; all columns are numbers."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} blocks; there is no block {index}.")
        number, group, start, _ = self._parts[index]
        batch = self._cursor.read(self, number, group, start // self.block_rows)
        pa = _arrow()
        numbers = [self._numbers(name, batch.column(name)) for name in self.names]
        table = pa.table(numbers, self.names)
        return table.to_pandas() if find_spec("pandas") else np.column_stack(numbers)

    def _numbers(self, name: str, values: Any) -> Any:
        """A column as numbers, nulls as NaN."""
        pa = _arrow()
        kind = self._kinds[name]
        if kind == "categories":
            values = _decoded(values)
            levels = pa.array(self.levels[name], values.type)
            values = pa.compute.index_in(values, value_set=levels)
        single = pa.types.is_float32(values.type)
        numbers = values.cast(pa.float32() if single else pa.float64(), safe=False)
        return pa.compute.fill_null(numbers, float("nan"))

    @cached_property
    def levels(self) -> dict[str, tuple[Any, ...]]:
        """Levels of each column of text or of a dictionary, sorted; found in one pass."""
        names = [name for name in self.names if self._kinds[name] == "categories"]
        found: dict[str, set[Any]] = {name: set() for name in names}
        pa = _arrow()
        for path in self.files if names else ():
            with pa.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(self.block_rows, columns=names):
                    for name in names:
                        values = pa.compute.unique(_decoded(batch.column(name)))
                        found[name].update(values.drop_null().to_pylist())
        return {name: tuple(sorted(found[name])) for name in names}

    def __getstate__(self) -> dict[str, Any]:
        # The levels go along, so that no other process has to look for them.
        return {**vars(self), "levels": self.levels, "_cursor": _Cursor()}

    def __repr__(self) -> str:
        """Shape of the rows, and number of blocks and files."""
        return (
            f"ParquetBlocks of shape ({self.n_rows}, {self.n_features}) in {len(self)} blocks of "
            f"{len(self.files)} files"
        )


class _Cursor(threading.local):
    """Where this thread reads: blocks of one row group that follow each other are read once."""

    def __init__(self) -> None:
        self._place: tuple[int, int, int] | None = None
        self._file: Any = None
        self._batches: Any = iter(())

    def read(self, blocks: ParquetBlocks, number: int, group: int, block: int) -> Any:
        """A batch of rows of a row group."""
        if self._place != (number, group, block):
            self._open(blocks, number, group)
            for _ in range(block):
                next(self._batches)
        batch = next(self._batches)
        self._place = number, group, block + 1
        return batch

    def _open(self, blocks: ParquetBlocks, number: int, group: int) -> None:
        if self._file is not None:
            self._file.close()
        self._file = _arrow().parquet.ParquetFile(blocks.files[number])
        self._batches = self._file.iter_batches(
            blocks.block_rows, row_groups=[group], columns=blocks.names
        )


def _decoded(values: Any) -> Any:
    pa = _arrow()
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _kind(field: Any, path: str) -> str:
    """What a column holds."""
    types = _arrow().types
    kind = field.type
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return "numbers"
    if types.is_decimal(kind) or types.is_null(kind):
        return "numbers"
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind):
        return "categories"
    advice = "Leave it out with columns=[...]"
    if types.is_temporal(kind):
        advice += ", or write it as a number of days"
    raise ValueError(
        f"Column {field.name!r} of {path} holds {field.type}, which is no number or category. "
        f"{advice}."
    )


def _files(source: Any) -> list[str]:
    if not isinstance(source, str | os.PathLike):
        files = [path for own in source for path in _files(own)]
        if not files:
            raise FileNotFoundError("There are no files: the list is empty.")
        return files
    name = os.fspath(source)
    if os.path.isdir(name):
        pattern = os.path.join(glob.escape(name), "**", "*.parquet")
        found = sorted(glob.glob(pattern, recursive=True))
    elif os.path.exists(name):
        return [os.path.abspath(name)]
    else:
        found = sorted(glob.glob(name))
    if not found:
        raise FileNotFoundError(f"There is no Parquet file at {name!r}.")
    return [os.path.abspath(path) for path in found]


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "Parquet files are read with pyarrow: pip install scikit-em[files]."
        ) from None
    return pyarrow
