"""Small real data sets that ship with the package, and simulated ones."""

from emlearn.datasets._brain import make_brain_phantom
from emlearn.datasets._breeding import make_breeding_population
from emlearn.datasets._duplicates import make_duplicate_records
from emlearn.datasets._loaders import (
    load_apple,
    load_cholesterol,
    load_galaxies,
    load_old_faithful,
    load_penguins,
)
from emlearn.datasets._mixed_effects import (
    load_dyestuff,
    load_pastes,
    load_penicillin,
    load_sleepstudy,
)
from emlearn.datasets._parallel_sentences import make_parallel_sentences
from emlearn.datasets._psychometrics import load_holzinger_swineford, load_lsat6, load_science
from emlearn.datasets._raters import load_anesthetists
from emlearn.datasets._shear_frame import make_shear_frame
from emlearn.datasets._tagged_sentences import make_tagged_sentences

__all__ = [
    "load_anesthetists",
    "load_apple",
    "load_cholesterol",
    "load_dyestuff",
    "load_galaxies",
    "load_holzinger_swineford",
    "load_lsat6",
    "load_old_faithful",
    "load_pastes",
    "load_penguins",
    "load_penicillin",
    "load_science",
    "load_sleepstudy",
    "make_brain_phantom",
    "make_breeding_population",
    "make_duplicate_records",
    "make_parallel_sentences",
    "make_shear_frame",
    "make_tagged_sentences",
]
