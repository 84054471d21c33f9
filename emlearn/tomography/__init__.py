"""Reconstruction of images from counts."""

from emlearn.tomography._bootstrap import ImageBootstrap
from emlearn.tomography._priors import HuberPrior, Prior, QuadraticPrior, RelativeDifferencePrior
from emlearn.tomography._reconstruction import PoissonReconstructionEM
from emlearn.tomography._stopping import IterationSelection, select_n_iter, thin_counts
from emlearn.tomography._systems import System

__all__ = [
    "HuberPrior",
    "ImageBootstrap",
    "IterationSelection",
    "PoissonReconstructionEM",
    "Prior",
    "QuadraticPrior",
    "RelativeDifferencePrior",
    "System",
    "select_n_iter",
    "thin_counts",
]
