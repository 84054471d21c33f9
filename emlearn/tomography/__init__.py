"""Reconstruction of images from counts."""

from emlearn.tomography._bootstrap import ImageBootstrap
from emlearn.tomography._convolution import Convolution
from emlearn.tomography._parallel_beam import ParallelBeam
from emlearn.tomography._phantoms import shepp_logan
from emlearn.tomography._priors import HuberPrior, Prior, QuadraticPrior, RelativeDifferencePrior
from emlearn.tomography._reconstruction import PoissonReconstructionEM
from emlearn.tomography._richardson_lucy import RichardsonLucyEM
from emlearn.tomography._stopping import IterationSelection, select_n_iter, thin_counts
from emlearn.tomography._systems import System

__all__ = [
    "Convolution",
    "HuberPrior",
    "ImageBootstrap",
    "IterationSelection",
    "ParallelBeam",
    "PoissonReconstructionEM",
    "Prior",
    "QuadraticPrior",
    "RelativeDifferencePrior",
    "RichardsonLucyEM",
    "System",
    "select_n_iter",
    "shepp_logan",
    "thin_counts",
]
