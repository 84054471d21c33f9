"""Families of distributions: what mixtures and hidden Markov models are made of."""

from emlearn.families._bernoulli import Bernoulli
from emlearn.families._categorical import Categorical
from emlearn.families._contract import Family
from emlearn.families._domain import DomainError, require, require_counts
from emlearn.families._exponential import ExponentialFamily
from emlearn.families._gaussian import Gaussian
from emlearn.families._mixture import Mixture
from emlearn.families._multinomial import Multinomial
from emlearn.families._names import FAMILIES, find_family
from emlearn.families._poisson import Poisson
from emlearn.families._product import Product

__all__ = [
    "FAMILIES",
    "Bernoulli",
    "Categorical",
    "DomainError",
    "ExponentialFamily",
    "Family",
    "Gaussian",
    "Mixture",
    "Multinomial",
    "Poisson",
    "Product",
    "find_family",
    "require",
    "require_counts",
]
