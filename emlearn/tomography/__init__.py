"""Reconstruction of images from counts."""

from emlearn.tomography._parallel_beam import ParallelBeam
from emlearn.tomography._systems import System

__all__ = ["ParallelBeam", "System"]
