"""Models of language."""

from emlearn.text._alignment import WordAlignmentEM
from emlearn.text._alignment_reading import parallel_corpus
from emlearn.text._symmetrize import alignment_error_rate, symmetrize

__all__ = ["WordAlignmentEM", "alignment_error_rate", "parallel_corpus", "symmetrize"]
