"""What a subject of the benchmarks is, and which peers are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import Any, NamedTuple

import _rscript

#: One measurement: problem, method, and what was measured.
Record = dict[str, Any]


class Peer(NamedTuple):
    """A package that may be missing, and a function that returns its version if it is not."""

    name: str
    version: Callable[[], str | None]


def python_peer(name: str, distribution: str) -> Peer:
    def version() -> str | None:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return None

    return Peer(name, version)


def r_peer(name: str) -> Peer:
    return Peer(name, lambda: _rscript.versions().get(name))


class Settings(NamedTuple):
    """Whether a subject is to be quick, and the names of the peers that it may use."""

    quick: bool
    peers: frozenset[str]


class Subject(NamedTuple):
    """What is measured, how it is told, and how it is drawn.

    Parameters
    ----------
    measure : callable
        Takes `Settings` and yields records.
    report : callable
        Takes the records of a result file; returns Markdown.
    draw : callable
        Takes the records and `matplotlib.pyplot`; returns a figure.
    """

    name: str
    title: str
    peers: tuple[Peer, ...]
    measure: Callable[[Settings], Iterable[Record]]
    report: Callable[[list[Record]], str]
    draw: Callable[[list[Record], Any], Any]
    caption: str


def without_failed(records: Iterable[Record]) -> Iterator[Record]:
    return (record for record in records if "failed" not in record)
