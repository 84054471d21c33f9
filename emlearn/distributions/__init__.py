"""Families of distributions for the components of mixtures and the states of Markov chains."""

from emlearn.distributions._bernoulli import Bernoulli
from emlearn.distributions._categorical import Categorical
from emlearn.distributions._contract import Family
from emlearn.distributions._dirichlet_multinomial import DirichletMultinomial
from emlearn.distributions._domain import DomainError, require, require_counts
from emlearn.distributions._exponential import ExponentialFamily
from emlearn.distributions._gamma import Gamma
from emlearn.distributions._gaussian import Gaussian
from emlearn.distributions._mixture import Mixture
from emlearn.distributions._multinomial import Multinomial
from emlearn.distributions._names import FAMILIES, find_family
from emlearn.distributions._negative_binomial import NegativeBinomial
from emlearn.distributions._poisson import Poisson
from emlearn.distributions._product import Product
from emlearn.distributions._von_mises import VonMises
from emlearn.distributions._zero_inflated import ZeroInflated

__all__ = [
    "FAMILIES",
    "Bernoulli",
    "Categorical",
    "DirichletMultinomial",
    "DomainError",
    "ExponentialFamily",
    "Family",
    "Gamma",
    "Gaussian",
    "Mixture",
    "Multinomial",
    "NegativeBinomial",
    "Poisson",
    "Product",
    "VonMises",
    "ZeroInflated",
    "find_family",
    "require",
    "require_counts",
]
