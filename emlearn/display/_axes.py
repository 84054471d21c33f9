"""The axes to draw on."""

from __future__ import annotations

from typing import Any


def axes_or_new(ax: Any) -> Any:
    """Axes given, or those of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            'Plots need matplotlib; install it with: python -m pip install "scikit-em[plot]"'
        ) from None
    return pyplot.subplots(layout="constrained")[1]
