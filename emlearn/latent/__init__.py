"""The discrete latent label of mixtures and hidden Markov models."""

from emlearn.latent.chain.law import ChainLaw, ChainParams, Probabilities
from emlearn.latent.chain.sequences import Sequences
from emlearn.latent.data import LabelBlock, LabelData, Observations
from emlearn.latent.labels import KnownLabels
from emlearn.latent.law import Law, MixtureLaw, MixtureParams
from emlearn.latent.model import LabelModel, LabelParams
from emlearn.latent.scoring import Emissions

__all__ = [
    "ChainLaw",
    "ChainParams",
    "Emissions",
    "KnownLabels",
    "LabelBlock",
    "LabelData",
    "LabelModel",
    "LabelParams",
    "Law",
    "MixtureLaw",
    "MixtureParams",
    "Observations",
    "Probabilities",
    "Sequences",
]
