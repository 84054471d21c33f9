"""Imputation by maximum likelihood, multiple imputation, and why entries are missing."""

from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._lags import LagFeatures
from emlearn.impute._little import LittleTestResult, little_mcar_test
from emlearn.impute._multiple import multiple_imputation
from emlearn.impute._patterns import (
    MissingPatterns,
    PatternComparison,
    compare_patterns,
    missing_patterns,
)
from emlearn.impute._pooling import PooledEstimates, pool_estimates
from emlearn.impute._sensitivity import TippingPoints, delta_adjustment, tipping_points

__all__ = [
    "LagFeatures",
    "LittleTestResult",
    "MissingDataImputerEM",
    "MissingPatterns",
    "PatternComparison",
    "PooledEstimates",
    "TippingPoints",
    "compare_patterns",
    "delta_adjustment",
    "little_mcar_test",
    "missing_patterns",
    "multiple_imputation",
    "pool_estimates",
    "tipping_points",
]
