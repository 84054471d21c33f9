"""Expectation-maximization for scikit-learn users."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from emlearn._version import __version__

if TYPE_CHECKING:
    from emlearn.factors import FactorAnalysisEM
    from emlearn.hmm import HiddenMarkovEM, MixtureOfHiddenMarkovEM
    from emlearn.image import ImageSegmenterEM
    from emlearn.impute import MissingDataImputerEM
    from emlearn.irt import ItemResponseEM
    from emlearn.linkage import RecordLinkageEM
    from emlearn.mixed import LinearMixedModelEM
    from emlearn.mixture import FiniteMixtureEM, GaussianMixtureEM
    from emlearn.raters import DawidSkeneEM
    from emlearn.statespace import (
        DynamicFactorEM,
        LinearGaussianStateSpaceEM,
        StructuralTimeSeriesEM,
    )
    from emlearn.text import PLSA, PartOfSpeechTaggerEM, WordAlignmentEM
    from emlearn.tomography import PoissonReconstructionEM, RichardsonLucyEM

__all__ = [
    "PLSA",
    "DawidSkeneEM",
    "DynamicFactorEM",
    "FactorAnalysisEM",
    "FiniteMixtureEM",
    "GaussianMixtureEM",
    "HiddenMarkovEM",
    "ImageSegmenterEM",
    "ItemResponseEM",
    "LinearGaussianStateSpaceEM",
    "LinearMixedModelEM",
    "MissingDataImputerEM",
    "MixtureOfHiddenMarkovEM",
    "PartOfSpeechTaggerEM",
    "PoissonReconstructionEM",
    "RecordLinkageEM",
    "RichardsonLucyEM",
    "StructuralTimeSeriesEM",
    "WordAlignmentEM",
    "__version__",
]

# Imported when first used: whoever needs one room does not wait for the others.
_ROOMS = {
    "DawidSkeneEM": "emlearn.raters",
    "DynamicFactorEM": "emlearn.statespace",
    "FactorAnalysisEM": "emlearn.factors",
    "FiniteMixtureEM": "emlearn.mixture",
    "GaussianMixtureEM": "emlearn.mixture",
    "HiddenMarkovEM": "emlearn.hmm",
    "ImageSegmenterEM": "emlearn.image",
    "ItemResponseEM": "emlearn.irt",
    "LinearGaussianStateSpaceEM": "emlearn.statespace",
    "LinearMixedModelEM": "emlearn.mixed",
    "MissingDataImputerEM": "emlearn.impute",
    "MixtureOfHiddenMarkovEM": "emlearn.hmm",
    "PLSA": "emlearn.text",
    "PartOfSpeechTaggerEM": "emlearn.text",
    "PoissonReconstructionEM": "emlearn.tomography",
    "RecordLinkageEM": "emlearn.linkage",
    "RichardsonLucyEM": "emlearn.tomography",
    "StructuralTimeSeriesEM": "emlearn.statespace",
    "WordAlignmentEM": "emlearn.text",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    if (room := f"emlearn.{name}") in _ROOMS.values():
        return import_module(room)
    raise AttributeError(f"module 'emlearn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
