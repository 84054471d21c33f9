"""Imputation by maximum likelihood, multiple imputation, and a test of missingness."""

from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._little import LittleTestResult, little_mcar_test
from emlearn.impute._multiple import multiple_imputation
from emlearn.impute._pooling import PooledEstimates, pool_estimates

__all__ = [
    "LittleTestResult",
    "MissingDataImputerEM",
    "PooledEstimates",
    "little_mcar_test",
    "multiple_imputation",
    "pool_estimates",
]
