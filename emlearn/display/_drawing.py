"""Ellipses, curves and the legend of components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from emlearn.display._axes import make_room_beside
from emlearn.display._style import Style

Array = NDArray[Any]

# A legend finds the emptiest corner by trying; for more points than these that takes long.
_MOST_POINTS_TO_AVOID = 20_000
# A longer legend covers too much of the axes, and stands beside them.
_MOST_ENTRIES_INSIDE = 6
# Height of axes in a figure of matplotlib's size, and of an entry of a small legend, in inches.
_AXES_HEIGHT, _ENTRY_HEIGHT = 3.7, 0.15
# More bins than these are narrower than what can be seen.
_FEWEST_BINS, _MOST_BINS = 15, 150


def draw_ellipses(
    ax: Any,
    rows: Array,
    labels: Array,
    means: Array,
    covariances: Array,
    styles: Sequence[Style],
    levels: Array,
) -> tuple[list[Any], list[Any]]:
    """Rows as points, and ellipses that hold `levels` of each component."""
    from matplotlib.patches import Ellipse

    halo = _halo(3.0)
    points, ellipses = [], []
    for k, (mean, covariance, style) in enumerate(zip(means, covariances, styles, strict=True)):
        points.append(
            ax.scatter(
                *rows[labels == k].T,
                s=14,
                alpha=0.7,
                color=style.color,
                marker=style.marker,
                linewidths=0,
            )
        )
        variances, axes = np.linalg.eigh(covariance)
        variances = np.maximum(variances, 0.0)
        angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
        for level in levels:
            height, width = 2.0 * np.sqrt(variances * chi2.ppf(level, df=2))
            ellipse = Ellipse(
                tuple(mean),
                width,
                height,
                angle=angle,
                fill=False,
                color=style.color,
                linestyle=style.linestyle,
                linewidth=1.6,
                path_effects=halo,
                zorder=2.5,
            )
            ellipses.append(ax.add_patch(ellipse))
        if len(means) == 1:
            ax.plot(*mean, marker="+", markersize=10, color="black", zorder=4)
        else:
            _write(ax, mean, str(k))
    ax.autoscale_view()
    return points, ellipses


def draw_curves(
    ax: Any,
    rows: Array,
    weights: Array,
    means: Array,
    covariances: Array,
    styles: Sequence[Style],
) -> list[Any]:
    """Histogram of one feature, with the densities of the components and their sum."""
    mean, deviation = means[:, 0], np.sqrt(covariances[:, 0, 0])
    if len(rows):
        bins = int(np.clip(3.0 * len(rows) ** (1.0 / 3.0), _FEWEST_BINS, _MOST_BINS))
        ax.hist(rows[:, 0], bins=bins, density=True, color="0.88", edgecolor="0.75", linewidth=0.5)
    # Narrow components need points of their own.
    steps = np.linspace(-4.0, 4.0, 161)
    grid = np.unique(mean[:, None] + deviation[:, None] * steps)
    curves = []
    total = np.zeros_like(grid)
    for k, style in enumerate(styles):
        density = weights[k] * norm.pdf(grid, mean[k], deviation[k])
        total += density
        (curve,) = ax.plot(
            grid, density, color=style.color, linestyle=style.linestyle, linewidth=1.8
        )
        curves.append(curve)
    if len(styles) > 1:
        for k in np.flatnonzero(weights > 0.0).tolist():
            _write(ax, (mean[k], weights[k] * norm.pdf(0.0) / deviation[k]), str(k))
        curves += ax.plot(grid, total, color="black", linewidth=1.0, zorder=1.9)
    ax.set_ylim(bottom=0.0)
    return curves


def draw_legend(
    ax: Any,
    names: Sequence[str],
    styles: Sequence[Style],
    title: str | None,
    n_points: int,
    *,
    total: bool,
) -> Any:
    """One entry for each component, and for their sum; None for one component."""
    if len(names) == 1:
        return None
    from matplotlib.lines import Line2D

    marker = (lambda style: "") if total else (lambda style: style.marker)
    handles = [
        Line2D(
            [],
            [],
            color=style.color,
            linestyle=style.linestyle,
            linewidth=1.8,
            marker=marker(style),
            markersize=4,
            label=name,
        )
        for name, style in zip(names, styles, strict=True)
    ]
    if total:
        handles.append(Line2D([], [], color="black", linewidth=1.0, label="sum"))
    height = ax.get_window_extent().height / ax.figure.dpi
    n_columns = columns_beside(len(names), height)
    size = "x-small" if n_columns else "small"
    settings: dict[str, Any] = {
        "handles": handles,
        "title": title,
        "fontsize": size,
        "title_fontsize": size,
        "handlelength": 2.7,
        "columnspacing": 1.0,
    }
    if not n_columns:
        return ax.legend(
            loc="best" if n_points <= _MOST_POINTS_TO_AVOID else "upper right", **settings
        )
    legend = ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), ncols=n_columns, **settings)
    make_room_beside(ax, legend)
    return legend


def columns_beside(n_components: int, height: float = _AXES_HEIGHT) -> int:
    """Columns of the legend beside axes of this height in inches; 0 if it fits within."""
    if n_components <= _MOST_ENTRIES_INSIDE:
        return 0
    return -(-n_components // max(int(height / _ENTRY_HEIGHT), 1))


def _write(ax: Any, place: Any, text: str) -> None:
    ax.annotate(
        text,
        place,
        ha="center",
        va="center",
        fontsize=9,
        fontweight="bold",
        color="black",
        path_effects=_halo(2.5),
        zorder=4,
    )


def _halo(width: float) -> list[Any]:
    """A white edge around lines and letters, which tells them from the points below."""
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=width, foreground="white")]
