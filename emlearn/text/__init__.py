"""Models of language."""

from emlearn.text._plsa import PLSA

__all__ = ["PLSA"]
