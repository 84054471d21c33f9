"""Factor analysis: FactorAnalysisEM, rotations, and the number of factors."""

from emlearn.factors._chi_square import FitTest
from emlearn.factors._factor_analysis import FactorAnalysisEM
from emlearn.factors._rotation import Rotated, rotate
from emlearn.factors._selection import (
    FactorSelection,
    ParallelAnalysis,
    parallel_analysis,
    select_n_factors,
)

__all__ = [
    "FactorAnalysisEM",
    "FactorSelection",
    "FitTest",
    "ParallelAnalysis",
    "Rotated",
    "parallel_analysis",
    "rotate",
    "select_n_factors",
]
