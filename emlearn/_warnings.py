"""Warnings that point at the line of the user that they are about."""

from __future__ import annotations

import sys
import warnings

# Packages whose frames lie between the user and the package: wrappers, pipelines, searches.
_BETWEEN = ("emlearn", "sklearn", "joblib")


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn, at the innermost line that is neither the package's nor scikit-learn's."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _BETWEEN:
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
