"""Plots of fitted models. Matplotlib is imported only when something is drawn."""

from emlearn.display._confusion_matrices import ConfusionMatricesDisplay
from emlearn.display._convergence import ConvergenceDisplay
from emlearn.display._items import ItemCurvesDisplay, ItemInformationDisplay
from emlearn.display._match_weights import MatchWeightDisplay
from emlearn.display._mixed_residuals import MixedResidualsDisplay
from emlearn.display._mixture import MixtureDisplay
from emlearn.display._random_effects import RandomEffectsDisplay

__all__ = [
    "ConfusionMatricesDisplay",
    "ConvergenceDisplay",
    "ItemCurvesDisplay",
    "ItemInformationDisplay",
    "MatchWeightDisplay",
    "MixedResidualsDisplay",
    "MixtureDisplay",
    "RandomEffectsDisplay",
]
