"""Item response theory: the latent traits of persons and the parameters of items."""

from emlearn.irt._differential import DifferentialFunctioning, differential_functioning
from emlearn.irt._information import expected_score, item_information
from emlearn.irt._item_fit import ItemFit, item_fit
from emlearn.irt._item_response import ItemResponseEM
from emlearn.irt._local_dependence import LocalDependence, local_dependence
from emlearn.irt._model_fit import ModelFit, model_fit
from emlearn.irt._person_fit import PersonFit, person_fit
from emlearn.irt._prior import ItemPrior
from emlearn.irt._scoring import PersonScores, person_scores

__all__ = [
    "DifferentialFunctioning",
    "ItemFit",
    "ItemPrior",
    "ItemResponseEM",
    "LocalDependence",
    "ModelFit",
    "PersonFit",
    "PersonScores",
    "differential_functioning",
    "expected_score",
    "item_fit",
    "item_information",
    "local_dependence",
    "model_fit",
    "person_fit",
    "person_scores",
]
