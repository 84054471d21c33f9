"""State-space models: linear Gaussian states, structural time series, dynamic factors."""

from emlearn.display import StabilizationDiagramDisplay
from emlearn.statespace._dynamic_factor import DynamicFactorEM
from emlearn.statespace._modal import (
    ModalComparison,
    ModalParameters,
    compare_modes,
    modal_assurance_criterion,
)
from emlearn.statespace._state_space import LinearGaussianStateSpaceEM
from emlearn.statespace._structural import StructuralTimeSeriesEM

__all__ = [
    "DynamicFactorEM",
    "LinearGaussianStateSpaceEM",
    "ModalComparison",
    "ModalParameters",
    "StabilizationDiagramDisplay",
    "StructuralTimeSeriesEM",
    "compare_modes",
    "modal_assurance_criterion",
]
