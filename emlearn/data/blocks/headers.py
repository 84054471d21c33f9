"""The columns of several files, which must agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from emlearn.data.blocks.encoding import NOTHING, NUMBER, TEXT, common_kind, kind_of
from emlearn.data.blocks.formats import index_columns
from emlearn.data.blocks.paths import TableFile


class Header(NamedTuple):
    """The columns of a file.

    Attributes
    ----------
    file : TableFile
        The file. Its keys are those that are not stored as columns, too.
    types : dict of str to pyarrow.DataType
        Types of the stored columns by name.
    index_names : set of str
        Columns that are the index of a DataFrame, which are read only if they are named.
    """

    file: TableFile
    types: dict[str, Any]
    index_names: set[str]

    @classmethod
    def of(cls, schema: Any, file: TableFile) -> Header:
        """The header of a file with a schema.

        Raises
        ------
        ValueError
            If two columns have the same name.
        """
        seen: set[str] = set()
        for name in schema.names:
            if name in seen:
                raise ValueError(f"Two columns of {file.path} are named {name!r}. Rename one.")
            seen.add(name)
        keys = tuple((name, value) for name, value in file.keys if name not in seen)
        types = {name: schema.field(name).type for name in schema.names}
        return cls(file._replace(keys=keys), types, index_columns(schema))

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [*self.types, *dict(self.file.keys)]

    @property
    def features(self) -> list[str]:
        """The columns that are read if none are named."""
        return [name for name in self.names if name not in self.index_names]

    def kind(self, name: str) -> str:
        """The kind of a column; see `kind_of`."""
        if name in self.types:
            return kind_of(self.types[name], name, self.file.path)
        value = dict(self.file.keys)[name]
        return NOTHING if value is None else TEXT if isinstance(value, str) else NUMBER


def read_names(columns: Any, headers: Sequence[Header]) -> tuple[str, ...]:
    """Names of the columns to read, which all files must have.

    Raises
    ------
    TypeError
        If columns is not a list of names.
    ValueError
        If a file lacks a column, or if all are read and a file has another one.
    """
    first = headers[0]
    names = first.features
    if columns is not None:
        if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
            raise TypeError(f"columns must be a list of names, got {columns!r}.")
        names = list(columns)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"columns must name at least one column, and none twice, got {names}.")
        unknown = [name for name in names if name not in first.names]
        if unknown:
            raise ValueError(
                f"{first.file.path} has no column {unknown[0]!r}; it has {', '.join(first.names)}."
            )
    if not names:
        raise ValueError(f"{first.file.path} has no columns.")
    for other in headers[1:]:
        lacking = [name for name in names if name not in other.names]
        if lacking:
            raise ValueError(
                f"{other.file.path} has no column {lacking[0]!r}, but {first.file.path} has it. "
                "Name the columns that all files have in columns."
            )
        more = [name for name in other.features if name not in names]
        if more and columns is None:
            raise ValueError(
                f"{other.file.path} has a column {more[0]!r}, but {first.file.path} has not. Name "
                "the columns that all files have in columns."
            )
    return tuple(names)


def read_kinds(names: Sequence[str], headers: Sequence[Header]) -> tuple[str, ...]:
    """Kinds of columns; nulls only are of every kind.

    Raises
    ------
    ValueError
        If two files do not agree, or a column cannot be read.
    """
    return tuple(_kind(name, headers) for name in names)


def _kind(name: str, headers: Sequence[Header]) -> str:
    first, *others = headers
    kind, known = first.kind(name), first
    for other in others:
        own = other.kind(name)
        common = common_kind(kind, own)
        if common is None:
            raise ValueError(
                f"Column {name!r} of {other.file.path} has {own}, but that of {known.file.path} "
                f"has {kind}. Write them with the same type, or name the other columns in columns."
            )
        known = other if kind == NOTHING else known
        kind = common
    return kind


def read_categories(
    categories: Mapping[str, Sequence[Any]] | None, names: Sequence[str], kinds: Sequence[str]
) -> dict[str, tuple[Any, ...]]:
    """Levels that a user declares, by column.

    Raises
    ------
    TypeError
        If they are not lists by name of a column.
    ValueError
        If there is no such column, or levels are not distinct or of another type.
    """
    if categories is None:
        return {}
    if not isinstance(categories, Mapping):
        raise TypeError(
            "categories must be a dict with a list of levels for each column, got "
            f"{type(categories).__name__}."
        )
    kind_by_name = dict(zip(names, kinds, strict=True))
    found = {}
    for name, own in categories.items():
        if name not in kind_by_name:
            raise ValueError(f"categories has {name!r}, which is not one of {', '.join(names)}.")
        if isinstance(own, str) or len(set(own)) != len(own) or not len(own):
            raise ValueError(
                f"The categories of column {name!r} must be a list of distinct levels, got {own!r}."
            )
        levels = tuple(value.item() if hasattr(value, "item") else value for value in own)
        kind = kind_by_name[name]
        wrong = [own for own in levels if isinstance(own, str) != (kind == TEXT)]
        if wrong and kind != NOTHING:
            raise ValueError(
                f"The categories of column {name!r} have {wrong[0]!r}, but the column has {kind}."
            )
        found[name] = levels
    return found
