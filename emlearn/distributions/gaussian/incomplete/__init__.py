"""Gaussians given rows with missing entries: patterns, conditioning, filling."""

from emlearn.distributions.gaussian.incomplete.factor_filling import ConditionalFactors
from emlearn.distributions.gaussian.incomplete.factors import FactorAnalysis, FactorParams
from emlearn.distributions.gaussian.incomplete.filling import ConditionalGaussians
from emlearn.distributions.gaussian.incomplete.patterns import PatternTable, find_patterns

__all__ = [
    "ConditionalFactors",
    "ConditionalGaussians",
    "FactorAnalysis",
    "FactorParams",
    "PatternTable",
    "find_patterns",
]
