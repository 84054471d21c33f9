"""Gaussians fitted to rows with missing entries: patterns, conditioning, models."""

from emlearn.distributions.gaussian.incomplete.factors import FactorParams, IncompleteFactors
from emlearn.distributions.gaussian.incomplete.frame import ColumnSummary, Frame, summarize_columns
from emlearn.distributions.gaussian.incomplete.normal import GaussianParams, IncompleteGaussian
from emlearn.distributions.gaussian.incomplete.patterns import PatternTable, find_patterns
from emlearn.distributions.gaussian.incomplete.prior import CovariancePrior, automatic_strength

__all__ = [
    "ColumnSummary",
    "CovariancePrior",
    "FactorParams",
    "Frame",
    "GaussianParams",
    "IncompleteFactors",
    "IncompleteGaussian",
    "PatternTable",
    "automatic_strength",
    "find_patterns",
    "summarize_columns",
]
