"""Imputation by maximum likelihood, multiple imputation, and a test of missingness."""

from emlearn.impute._augmentation import DataAugmentation
from emlearn.impute._fits import PooledClassifier, PooledPredictor, fit_each, pool_fits
from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._information import n_imputations_needed
from emlearn.impute._joint_tests import JointTest, pool_chi2, pool_likelihood_ratio
from emlearn.impute._little import LittleTestResult, little_mcar_test
from emlearn.impute._multiple import multiple_imputation
from emlearn.impute._pooling import PooledEstimates, pool_estimates

__all__ = [
    "DataAugmentation",
    "JointTest",
    "LittleTestResult",
    "MissingDataImputerEM",
    "PooledClassifier",
    "PooledEstimates",
    "PooledPredictor",
    "fit_each",
    "little_mcar_test",
    "multiple_imputation",
    "n_imputations_needed",
    "pool_chi2",
    "pool_estimates",
    "pool_fits",
    "pool_likelihood_ratio",
]
