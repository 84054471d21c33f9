"""Warnings that point at the line of the user that they are about."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Packages whose frames lie between the user and the package: wrappers, pipelines, searches.
_BETWEEN = ("emlearn", "sklearn", "joblib")

_collected = threading.local()


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Context in which the warnings of this thread go into a list instead.

    Unlike `warnings.catch_warnings`, it does not change the filters of other threads.
    """
    outer = getattr(_collected, "messages", None)
    _collected.messages = []
    try:
        yield _collected.messages
    finally:
        _collected.messages = outer


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn, at the innermost line that is neither the package's nor scikit-learn's."""
    if (messages := getattr(_collected, "messages", None)) is not None:
        messages.append(message)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _BETWEEN:
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
