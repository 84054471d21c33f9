"""Blocks of tables in files of Parquet and Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, ClassVar

from emlearn.data.blocks.cursors import Cursor, Cursors, stretches_of
from emlearn.data.blocks.encoding import CATEGORIES, Encoder, LevelsSeen
from emlearn.data.blocks.formats import ArrowFormat, FileFormat, ParquetFormat
from emlearn.data.blocks.headers import Header, read_categories, read_kinds, read_names
from emlearn.data.blocks.paths import TableFile, find_files
from emlearn.data.blocks.sizes import (
    bytes_of_row,
    read_block_rows,
    require_block,
    rows_of_block,
)

# Rows of a batch from which only levels are read.
_LEVEL_ROWS = 2**17


class _TableBlocks:
    """Blocks of files of tables."""

    _format: ClassVar[FileFormat]

    def __init__(
        self,
        source: Any,
        *,
        columns: Sequence[str] | None = None,
        categories: Mapping[str, Sequence[Any]] | None = None,
        unseen: str = "error",
        block_rows: int | None = None,
    ):
        if unseen not in ("error", "missing"):
            raise ValueError(f"unseen must be 'error' or 'missing', got {unseen!r}.")
        files = find_files(source, self._format.suffixes, self._format.what)
        described = [self._format.describe(file) for file in files]
        headers = [Header.of(own[0], file) for own, file in zip(described, files, strict=True)]
        self._files = [header.file for header in headers]
        self.feature_names = read_names(columns, headers)
        self.n_features = len(self.feature_names)
        self._kinds = read_kinds(self.feature_names, headers)
        self._declared = read_categories(categories, self.feature_names, self._kinds)
        self._unseen = unseen
        own = read_block_rows(block_rows)
        target = own or rows_of_block(bytes_of_row(self.n_features))
        self._stretches = [
            stretch
            for file, (_, lengths) in enumerate(described)
            for stretch in stretches_of(file, lengths, target, own is not None)
        ]
        self._places = [
            (number, block, length)
            for number, stretch in enumerate(self._stretches)
            for block, length in enumerate(stretch.lengths)
        ]
        self.n_rows = sum(self.lengths)
        self._levels: dict[str, tuple[Any, ...]] | None = None
        self._prepare()

    def _prepare(self) -> None:
        """Make what each process has of its own."""
        self._cursors = Cursors(self._cursor)
        self._lock = Lock()

    @property
    def lengths(self) -> list[int]:
        """Number of rows of each block."""
        return [length for _, _, length in self._places]

    @property
    def levels(self) -> dict[str, tuple[Any, ...]]:
        """Levels of each column that is a category, by its name; the code is the position.

        They are found by a pass over these columns, when they are first needed.
        """
        with self._lock:
            if self._levels is None:
                found = self._find_levels()
                self._levels = {
                    name: self._declared.get(name, found.get(name, ()))
                    for name, kind in zip(self.feature_names, self._kinds, strict=True)
                    if kind in CATEGORIES or name in self._declared
                }
            return self._levels

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self._places)

    def __getitem__(self, index: int) -> Any:
        """Rows of a block: a DataFrame of pandas; if pandas is not installed, an array.

        Parameters
        ----------
        index : int
            Which block.
        """
        number, block, n_rows = self._places[require_block(index, len(self))]
        stretch = self._stretches[number]
        file = self._files[stretch.file]
        encoder = Encoder(self.feature_names, self._kinds, self.levels, self._unseen)
        batches = []
        if self._stored(file):
            batches = self._cursors.take(number, block, len(stretch.lengths))
        try:
            numbers = encoder.encode(batches, dict(file.keys), n_rows)
        except ValueError as error:
            raise ValueError(f"{error} ({file.path})") from error
        try:
            from pandas import DataFrame
        except ImportError:
            return numbers
        return DataFrame(numbers, columns=list(self.feature_names), copy=False)

    def __repr__(self) -> str:
        """The size."""
        size = f"n_rows={self.n_rows}, n_features={self.n_features}, n_blocks={len(self)}"
        return f"{type(self).__name__}({size})"

    def __getstate__(self) -> dict[str, Any]:
        """The state, without files that are being read."""
        return {k: own for k, own in vars(self).items() if k not in ("_cursors", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state."""
        vars(self).update(state)
        self._prepare()

    def _stored(self, file: TableFile) -> list[str]:
        """The columns that are in the file itself."""
        keys = dict(file.keys)
        return [name for name in self.feature_names if name not in keys]

    def _cursor(self, number: int) -> Cursor:
        stretch = self._stretches[number]
        file = self._files[stretch.file]
        batches = self._format.read(file, stretch.pieces, self._stored(file), stretch.block_rows)
        return Cursor(batches, stretch.block_rows)

    def _find_levels(self) -> dict[str, tuple[Any, ...]]:
        """Levels of the categories whose levels are not declared, in one pass."""
        seen = {
            name: LevelsSeen()
            for name, kind in zip(self.feature_names, self._kinds, strict=True)
            if kind in CATEGORIES and name not in self._declared
        }
        for file in self._files if seen else ():
            keys = dict(file.keys)
            for name in keys.keys() & seen.keys():
                seen[name].add_key(keys[name], name)
        for stretch in self._stretches if seen else ():
            file = self._files[stretch.file]
            names = [name for name in self._stored(file) if name in seen]
            if not names:
                continue
            for batch in self._format.read(file, stretch.pieces, names, _LEVEL_ROWS):
                for name in names:
                    seen[name].add(batch.column(name), name)
        return {name: own.levels() for name, own in seen.items()}


class ParquetBlocks(_TableBlocks):
    """Blocks of Parquet files.

    A block has rows of one file: a row group, several small ones that follow each other, or a part
    of a large one. Where blocks are is known from the metadata. Parquet has no way into the middle
    of a row group, so parts of a large one are fast to read in order only, and each process that
    reads some of them decodes the others before them. So write row groups of about
    100 000 rows if several processes are to read a file.

    All columns become numbers, of double precision unless all columns are numbers of single
    precision. Nulls become NaN. Booleans become 0 and 1. Text, and columns of dictionaries (what
    pandas calls categorical), are categories and become the codes 0, 1, ... of their levels, which
    are the same in all blocks; see `levels`.

    It is pickled as the names of its files, and reads them in other processes.

    Parameters
    ----------
    source : str, path, list of these, or pyarrow.dataset.Dataset
        A file; a folder, whose files ``*.parquet``, ``*.parq`` and ``*.pq`` are read, also those
        in folders in it; a pattern such as ``"folder/part-*.parquet"``; a list of such; or a
        dataset of Parquet files, in any file system. Files of a folder or pattern are sorted by
        name, where part 2 comes before part 10. Folders named as ``year=2024`` become columns.
    columns : sequence of str, default=None
        Names of the columns to read, in the order of the features. None means all, except the
        index of a DataFrame of pandas.
    categories : dict of str to sequence, default=None
        Levels of columns in the order of their codes, for some categories or for columns of
        numbers that are to become categories. For example the `levels` of the files that a model
        was fitted to. Levels of other categories are found in a pass over their columns: in the
        order of the dictionary, if all row groups of all files have the same one, otherwise
        sorted.
    unseen : {"error", "missing"}, default="error"
        What happens to values that are not in `categories`. "missing": they become NaN.
    block_rows : int, default=None
        Largest number of rows of a block. None makes blocks of about 4 MB, as in `ArrayBlocks`.
        Row groups of more rows are cut into parts of the same size.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    n_features : int
        Number of columns that are read.
    feature_names : tuple of str
        Their names.

    Raises
    ------
    FileNotFoundError
        If there are no files.
    ImportError
        If pyarrow is not installed.
    TypeError
        If the source is none of the above, or columns is not a list of names.
    ValueError
        If there is no such column; a column has values that are not numbers or categories, such
        as times; files do not have the same columns with the same kind of values, where integers
        and floating-point numbers are of one kind; or a column has too many levels.

    See Also
    --------
    emlearn.data.blocks.open_rows : Blocks of files of any format.
    emlearn.data.blocks.ArrowBlocks : The same for Arrow files.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> from emlearn.data.blocks import ParquetBlocks
    >>> visits = pa.table({"age": [31, None, 52], "site": ["Ulm", "Aalen", "Ulm"]})
    >>> with TemporaryDirectory() as folder:
    ...     pq.write_table(visits, f"{folder}/visits.parquet")
    ...     blocks = ParquetBlocks(folder, columns=["site", "age"])
    ...     np.asarray(blocks[0]), blocks.levels
    (array([[ 1., 31.],
           [ 0., nan],
           [ 1., 52.]]), {'site': ('Aalen', 'Ulm')})
    """

    _format = ParquetFormat()


class ArrowBlocks(_TableBlocks):
    """Blocks of Arrow files, also known as Feather 2.

    As `ParquetBlocks`, with record batches in place of row groups. Files without compression are
    mapped into memory, so that reading them costs little. If compressed, a record batch is
    decompressed as a whole, so it must fit in memory.

    Parameters
    ----------
    source : str, path, list of these, or pyarrow.dataset.Dataset
        As in `ParquetBlocks`; files of a folder are ``*.arrow``, ``*.feather`` and ``*.ipc``.
    columns : sequence of str, default=None
        See `ParquetBlocks`.
    categories : dict of str to sequence, default=None
        See `ParquetBlocks`.
    unseen : {"error", "missing"}, default="error"
        See `ParquetBlocks`.
    block_rows : int, default=None
        See `ParquetBlocks`.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    n_features : int
        Number of columns that are read.
    feature_names : tuple of str
        Their names.

    Raises
    ------
    FileNotFoundError
        If there are no files.
    ImportError
        If pyarrow is not installed.
    TypeError, ValueError
        See `ParquetBlocks`. Also if a file has the format for streams, or Feather 1.

    See Also
    --------
    emlearn.data.blocks.ParquetBlocks : The same for Parquet files.
    emlearn.data.blocks.open_rows : Blocks of files of any format.
    """

    _format = ArrowFormat()
