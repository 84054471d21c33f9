"""Models of language."""

from emlearn.text._alignment import WordAlignmentEM
from emlearn.text._alignment_reading import parallel_corpus
from emlearn.text._plsa import PLSA
from emlearn.text._symmetrize import alignment_error_rate, symmetrize
from emlearn.text._tagging import PartOfSpeechTaggerEM

__all__ = [
    "PLSA",
    "PartOfSpeechTaggerEM",
    "WordAlignmentEM",
    "alignment_error_rate",
    "parallel_corpus",
    "symmetrize",
]
