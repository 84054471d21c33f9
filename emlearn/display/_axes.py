"""The axes to draw on."""

from __future__ import annotations

from typing import Any

# Width of a figure and of a column of a legend beside its axes, in inches.
_WIDTH, _COLUMN = 6.4, 1.4
# The part of their width that axes keep beside a legend.
_NARROWEST = 0.4


def axes_class() -> Any:
    """The class of axes, or an ImportError that says how to install matplotlib."""
    try:
        from matplotlib.axes import Axes
    except ImportError:
        raise ImportError(
            'Plots need matplotlib; install it with: python -m pip install "scikit-em[plot]"'
        ) from None
    return Axes


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
    if isinstance(ax, axes_class()):
        return ax
    if ax is not None:
        raise TypeError(
            f"ax must be one Axes of matplotlib, or None for a new figure; got {type(ax).__name__}."
        )
    from matplotlib import pyplot

    size = (_WIDTH + _COLUMN * columns_beside, 4.8)
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def panels_or_new(ax: Any, n_panels: int, width: float, height: float) -> list[Any]:
    """Axes given, one for each panel, or those of a new figure.

    Call it when nothing else can fail, so that no empty figure is left open.

    Parameters
    ----------
    ax : Axes, sequence of Axes, or None
        What the user gave.
    n_panels : int
        Number of panels.
    width, height : float
        Size of a panel, in inches.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `ax` is something else.
    ValueError
        If there are fewer or more axes than panels.
    """
    if ax is None:
        axes_class()
        from matplotlib import pyplot

        size = (width * n_panels, height)
        new = pyplot.subplots(1, n_panels, figsize=size, layout="constrained", squeeze=False)[1]
        return list(new[0])
    given = list(ax.flat if hasattr(ax, "flat") else ax if isinstance(ax, (list, tuple)) else [ax])
    if len(given) != n_panels:
        raise ValueError(f"ax must be {n_panels} Axes, one for each panel; got {len(given)}.")
    return [axes_or_new(own) for own in given]


def make_room_beside(ax: Any, legend: Any) -> None:
    """Narrow the axes by the legend at their right, if no layout of the figure does."""
    if ax.figure.get_layout_engine() is not None:
        return
    box = ax.get_position()
    taken = legend.get_window_extent().width / ax.figure.bbox.width
    width = max(box.width - taken, _NARROWEST * box.width)
    ax.set_position((box.x0, box.y0, width, box.height))
