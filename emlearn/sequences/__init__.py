"""Data that are sequences of rows: splits of whole sequences, and results by sequence."""

from emlearn.sequences._folds import SequenceKFold
from emlearn.sequences._rows import split_rows

__all__ = ["SequenceKFold", "split_rows"]
