"""Formats of files of tables: where their rows are, and how these are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from emlearn.data.blocks.optional import needed_module
from emlearn.data.blocks.paths import TableFile


class FileFormat(Protocol):
    """A format of files. Each file is a sequence of pieces, which can be read one by one.

    Attributes
    ----------
    what : str
        What the files are, for messages.
    suffixes : tuple of str
        How their names end.
    """

    what: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    def describe(self, file: TableFile) -> tuple[Any, list[int]]:
        """The schema of a file, and the number of rows of each of its pieces."""
        ...

    def read(
        self, file: TableFile, pieces: range, names: Sequence[str], n_rows: int
    ) -> Iterator[Any]:
        """Some columns of some pieces: record batches of at most about so many rows each."""
        ...


@dataclass(frozen=True)
class ParquetFormat:
    """Parquet; its pieces are row groups. See `FileFormat`."""

    what: ClassVar[str] = "Parquet files"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".parq", ".pq")

    def describe(self, file: TableFile) -> tuple[Any, list[int]]:
        """See `FileFormat`. Reads no more than the metadata."""
        with self._open(file) as opened:
            groups = range(opened.metadata.num_row_groups)
            lengths = [opened.metadata.row_group(i).num_rows for i in groups]
            return opened.schema_arrow, lengths

    def read(
        self, file: TableFile, pieces: range, names: Sequence[str], n_rows: int
    ) -> Iterator[Any]:
        """See `FileFormat`."""
        with self._open(file) as opened:
            yield from opened.iter_batches(n_rows, list(pieces), list(names))

    @contextmanager
    def _open(self, file: TableFile) -> Iterator[Any]:
        parquet = needed_module("pyarrow.parquet", file.path)
        local = file.filesystem is None
        with (
            readable(file, self.what),
            parquet.ParquetFile(file.path, memory_map=local, filesystem=file.filesystem) as opened,
        ):
            yield opened


@dataclass(frozen=True)
class ArrowFormat:
    """The file format of Arrow, also known as Feather 2; its pieces are record batches."""

    what: ClassVar[str] = "Arrow files"
    suffixes: ClassVar[tuple[str, ...]] = (".arrow", ".feather", ".ipc")

    def describe(self, file: TableFile) -> tuple[Any, list[int]]:
        """See `FileFormat`. Reads one column, as the metadata do not tell lengths."""
        with self._open(file, [0]) as opened:
            lengths = [opened.get_batch(i).num_rows for i in range(opened.num_record_batches)]
        with self._open(file, None) as opened:
            return opened.schema, lengths

    def read(
        self, file: TableFile, pieces: range, names: Sequence[str], n_rows: int
    ) -> Iterator[Any]:
        """See `FileFormat`."""
        with self._open(file, None) as opened:
            places = [opened.schema.get_field_index(name) for name in names]
        with self._open(file, sorted(places)) as opened:
            for piece in pieces:
                batch = opened.get_batch(piece)
                for start in range(0, batch.num_rows, n_rows):
                    yield batch.slice(start, n_rows)

    @contextmanager
    def _open(self, file: TableFile, places: list[int] | None) -> Iterator[Any]:
        pyarrow = needed_module("pyarrow", file.path)
        ipc = needed_module("pyarrow.ipc", file.path)
        with readable(file, self.what):
            if file.filesystem is None:
                source = pyarrow.memory_map(file.path)
            else:
                source = file.filesystem.open_input_file(file.path)
            with source:
                options = ipc.IpcReadOptions(included_fields=places)
                yield ipc.open_file(source, options=options)


@contextmanager
def readable(file: TableFile, what: str) -> Iterator[None]:
    """Let errors of pyarrow name the file."""
    pyarrow = needed_module("pyarrow", file.path)
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file {file.path}.") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{file.path} cannot be read as one of {what}: {error}") from error


def index_columns(schema: Any) -> set[str]:
    """Names of the columns of a schema that are the index of a DataFrame of pandas."""
    stored = (schema.metadata or {}).get(b"pandas")
    index = json.loads(stored).get("index_columns", []) if stored else []
    return {name for name in index if isinstance(name, str)}
