"""Colors, lines and markers by which components and curves are told apart."""

from __future__ import annotations

from typing import Literal, NamedTuple

#: Ten colors that remain distinct with every kind of color vision: M. A. Petroff (2021),
#: "Accessible color sequences for data visualization", arXiv:2107.02270.
#: Those of little contrast with white come last.
PALETTE = (
    "#3f90da",
    "#bd1f01",
    "#ffa90e",
    "#832db6",
    "#717581",
    "#a96b59",
    "#e76300",
    "#94a4a2",
    "#b9ac70",
    "#92dadd",
)
LineStyle = Literal["-", "--", "-.", ":"]
_LINES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v")
# The light end of viridis has too little contrast with white.
_DARKEST, _LIGHTEST = 0.0, 0.9


class Style(NamedTuple):
    """How one component is drawn."""

    color: str
    linestyle: LineStyle
    marker: str


def component_styles(n_components: int) -> list[Style]:
    """One style for each component.

    Up to ten differ by color. More have colors from an ordered map, where neighbors are
    similar; these differ by line and marker too.
    """
    if n_components <= len(PALETTE):
        return [Style(color, _LINES[0], _MARKERS[0]) for color in PALETTE[:n_components]]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    step = (_LIGHTEST - _DARKEST) / (n_components - 1)
    return [
        Style(
            to_hex(colormaps["viridis"](_DARKEST + k * step)),
            _LINES[k % len(_LINES)],
            _MARKERS[k % len(_MARKERS)],
        )
        for k in range(n_components)
    ]


def curve_style(index: int) -> dict[str, str]:
    """Color and line of the curve of this number, where it is not known how many will come."""
    n = len(PALETTE)
    return {"color": PALETTE[index % n], "linestyle": _LINES[index // n % len(_LINES)]}
