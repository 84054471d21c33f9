"""Warnings that a fit has to issue."""

from __future__ import annotations

from typing import NamedTuple


class Notice(NamedTuple):
    """A warning that a fit has to issue."""

    kind: str
    category: type[Warning]
    message: str
