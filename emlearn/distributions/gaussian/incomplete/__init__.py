"""Gaussians fitted to rows with missing entries: patterns, conditioning, models."""

from emlearn.distributions.gaussian.incomplete.factors import FactorParams, IncompleteFactors
from emlearn.distributions.gaussian.incomplete.normal import GaussianParams, IncompleteGaussian
from emlearn.distributions.gaussian.incomplete.patterns import PatternTable, find_patterns
from emlearn.distributions.gaussian.incomplete.prior import CovariancePrior, automatic_strength
from emlearn.distributions.gaussian.scaling import ColumnScaling, ColumnSummary, summarize_columns

__all__ = [
    "ColumnScaling",
    "ColumnSummary",
    "CovariancePrior",
    "FactorParams",
    "GaussianParams",
    "IncompleteFactors",
    "IncompleteGaussian",
    "PatternTable",
    "automatic_strength",
    "find_patterns",
    "summarize_columns",
]
