"""Mixed models: fixed and random effects."""

from emlearn.mixed._kinship import Kinship
from emlearn.mixed._pedigree import Pedigree

__all__ = ["Kinship", "Pedigree"]
