"""Imputation by maximum likelihood, multiple imputation, and why entries are missing."""

from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._inference import MomentInference
from emlearn.impute.missingness.lags import LagFeatures
from emlearn.impute.missingness.little import LittleTestResult, little_mcar_test
from emlearn.impute.missingness.patterns import (
    MissingPatterns,
    PatternComparison,
    compare_patterns,
    missing_patterns,
)
from emlearn.impute.missingness.sensitivity import TippingPoints, delta_adjustment, tipping_points
from emlearn.impute.mixed.published import ClassesModel
from emlearn.impute.multiple.augmentation import DataAugmentation
from emlearn.impute.multiple.imputation import multiple_imputation
from emlearn.impute.pooling.fits import PooledClassifier, PooledPredictor, fit_each, pool_fits
from emlearn.impute.pooling.information import n_imputations_needed
from emlearn.impute.pooling.joint_tests import JointTest, pool_chi2, pool_likelihood_ratio
from emlearn.impute.pooling.rubin import PooledEstimates, pool_estimates

__all__ = [
    "ClassesModel",
    "DataAugmentation",
    "JointTest",
    "LagFeatures",
    "LittleTestResult",
    "MissingDataImputerEM",
    "MissingPatterns",
    "MomentInference",
    "PatternComparison",
    "PooledClassifier",
    "PooledEstimates",
    "PooledPredictor",
    "TippingPoints",
    "compare_patterns",
    "delta_adjustment",
    "fit_each",
    "little_mcar_test",
    "missing_patterns",
    "multiple_imputation",
    "n_imputations_needed",
    "pool_chi2",
    "pool_estimates",
    "pool_fits",
    "pool_likelihood_ratio",
    "tipping_points",
]
