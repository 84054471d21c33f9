"""Reconstruction of images from counts."""

from emlearn.tomography._systems import System

__all__ = ["System"]
