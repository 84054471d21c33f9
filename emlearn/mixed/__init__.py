"""Mixed models: fixed and random effects."""

from emlearn.mixed._effects import RandomEffects
from emlearn.mixed._genotypes import Genotypes
from emlearn.mixed._kinship import Kinship
from emlearn.mixed._likelihood_ratio import LikelihoodRatioTest, likelihood_ratio_test
from emlearn.mixed._linear_mixed_model import LinearMixedModelEM
from emlearn.mixed._pedigree import Pedigree
from emlearn.mixed._profile import ProfileIntervals, profile_intervals
from emlearn.mixed._random_effect_tests import RandomEffectTests, random_effect_tests

__all__ = [
    "Genotypes",
    "Kinship",
    "LikelihoodRatioTest",
    "LinearMixedModelEM",
    "Pedigree",
    "ProfileIntervals",
    "RandomEffectTests",
    "RandomEffects",
    "likelihood_ratio_test",
    "profile_intervals",
    "random_effect_tests",
]
