"""Tables of results as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Summary(str):
    """Text that a console shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def summary_table(
    names: Sequence[str],
    columns: Mapping[str, Any],
    footer: str | Sequence[str] = (),
    *,
    digits: int = 4,
    header: str | Sequence[str] = (),
) -> Summary:
    """A table of results, one row for each name.

    Parameters
    ----------
    names : sequence of str of length n_rows
        First column.
    columns : mapping of str to sequence of length n_rows
        The other columns by title. Numbers are rounded; strings stay as they are.
    footer, header : str or sequence of str
        Lines below and above the table.
    digits : int, default=4
        Significant digits of the numbers.

    Returns
    -------
    summary : Summary
        The table.
    """
    table = [
        [title, *(_cell(value, digits) for value in column)] for title, column in columns.items()
    ]
    table.insert(0, ["", *names])
    widths = [max(map(len, column)) for column in table]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in zip(*table, strict=True)
    ]
    return Summary("\n".join([*_lines(header), *lines, *_lines(footer)]))


def _lines(text: str | Sequence[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _cell(value: Any, digits: int) -> str:
    return value if isinstance(value, str) else f"{value:.{digits}g}"
