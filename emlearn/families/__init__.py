"""Families of distributions: what mixtures and hidden Markov models are made of."""

from emlearn.families._bernoulli import Bernoulli
from emlearn.families._categorical import Categorical
from emlearn.families._contract import Family
from emlearn.families._exponential import ExponentialFamily
from emlearn.families._gaussian import Gaussian
from emlearn.families._mixture_of import MixtureOf
from emlearn.families._names import FAMILIES, find_family
from emlearn.families._poisson import Poisson

__all__ = [
    "FAMILIES",
    "Bernoulli",
    "Categorical",
    "ExponentialFamily",
    "Family",
    "Gaussian",
    "MixtureOf",
    "Poisson",
    "find_family",
]
