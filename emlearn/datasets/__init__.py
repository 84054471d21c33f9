"""Small real data sets that ship with the package."""

from emlearn.datasets._loaders import (
    load_apple,
    load_cholesterol,
    load_galaxies,
    load_old_faithful,
    load_penguins,
)
from emlearn.datasets._psychometrics import load_holzinger_swineford, load_lsat6, load_science

__all__ = [
    "load_apple",
    "load_cholesterol",
    "load_galaxies",
    "load_holzinger_swineford",
    "load_lsat6",
    "load_old_faithful",
    "load_penguins",
    "load_science",
]
