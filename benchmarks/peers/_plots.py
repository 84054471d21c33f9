"""What the pictures share: logarithmic axes with readable numbers. Imported only to draw."""

from __future__ import annotations

from typing import Any

import numpy as np


def log_axes(ax: Any, which: str = "xy") -> None:
    """Make axes logarithmic; number 1, 2, 5, ... if the range is short, powers of ten if not."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for name in which:
        ax.set(**{f"{name}scale": "log"})
        axis = ax.xaxis if name == "x" else ax.yaxis
        low, high = axis.get_view_interval()
        decades = np.log10(high / low)
        if decades < 0.5:
            multiples = (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0, 8.0, 9.0)
        else:
            multiples = (1.0, 2.0, 5.0) if decades < 3.0 else (1.0,)
        axis.set_major_locator(LogLocator(subs=multiples))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
