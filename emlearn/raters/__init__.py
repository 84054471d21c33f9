"""Raters with errors: the model of Dawid and Skene.

See `DawidSkeneEM`.
"""

from emlearn.raters._dawid_skene import DawidSkeneEM

__all__ = ["DawidSkeneEM"]
