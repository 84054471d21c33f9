"""The axes to draw on."""

from __future__ import annotations

from typing import Any

# Width of a figure and of a column of a legend beside its axes, in inches.
_WIDTH, _COLUMN = 6.4, 1.4
# The part of their width that axes keep beside a legend.
_NARROWEST = 0.4


def axes_or_new(ax: Any, columns_beside: int = 0) -> Any:
    """Axes given, or those of a new figure, as wide as legends beside the axes ask for.

    Call it when nothing else can fail, so that no empty figure is left open.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `ax` is something else.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError:
        raise ImportError(
            'Plots need matplotlib; install it with: python -m pip install "scikit-em[plot]"'
        ) from None
    if isinstance(ax, Axes):
        return ax
    if ax is not None:
        raise TypeError(
            f"ax must be one Axes of matplotlib, or None for a new figure; got {type(ax).__name__}."
        )
    from matplotlib import pyplot

    size = (_WIDTH + _COLUMN * columns_beside, 4.8)
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def make_room_beside(ax: Any, legend: Any) -> None:
    """Narrow the axes by the legend at their right, if no layout of the figure does."""
    if ax.figure.get_layout_engine() is not None:
        return
    box = ax.get_position()
    taken = legend.get_window_extent().width / ax.figure.bbox.width
    width = max(box.width - taken, _NARROWEST * box.width)
    ax.set_position((box.x0, box.y0, width, box.height))
