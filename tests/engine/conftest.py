"""Two small models whose answers are known, their data, and a way to break them."""

import math
from dataclasses import dataclass
from functools import partialmethod
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit, gammaln, logit

from emlearn.engine import DegenerateModelError, LatentVariableModel


@dataclass(frozen=True)
class Linkage(LatentVariableModel):
    """Genetic linkage of Dempster, Laird and Rubin (1977), with a Beta(a, b) prior.

    An observation is the cell, 0 to 3, that an animal fell in; the probabilities of the
    cells are (2 + theta, 1 - theta, 1 - theta, theta) / 4.
    """

    a: float = 1.0
    b: float = 1.0

    def prepare(self, X, sample_weight=None):
        return np.bincount(X, sample_weight, minlength=4).astype(float)

    def initialize(self, data, rng):
        return rng.uniform(0.1, 0.9)

    def e_step(self, block, params):
        cells = np.array([2.0 + params, 1.0 - params, 1.0 - params, params]) / 4.0
        linked = block[0] * params / (2.0 + params) + block[3]
        return (linked, block[1] + block[2]), float(block @ np.log(cells))

    def m_step(self, statistics, params):
        linked, crossed = statistics[0] + self.a - 1.0, statistics[1] + self.b - 1.0
        return linked / (linked + crossed)

    def log_prior(self, params):
        return (self.a - 1.0) * math.log(params) + (self.b - 1.0) * math.log1p(-params)

    def total_weight(self, data):
        return float(data.sum())

    def to_vector(self, params):
        return np.array([logit(params)])

    def from_vector(self, vector, like):
        theta = float(expit(vector[0]))
        if not 0.0 < theta < 1.0:
            raise DegenerateModelError(f"theta is {theta}")
        return theta


class PoissonParams(NamedTuple):
    weights: np.ndarray
    rates: np.ndarray


class PoissonStatistics(NamedTuple):
    counts: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class PoissonMixture(LatentVariableModel):
    """Poisson mixture; Dirichlet(alpha) prior of the weights, Gamma(shape, rate) of the rates."""

    n_components: int = 2
    alpha: float = 1.0
    shape: float = 1.0
    rate: float = 0.0
    block_rows: int = 3

    def prepare(self, X, sample_weight=None):
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
        cuts = range(self.block_rows, len(X), self.block_rows)
        return list(zip(np.split(np.asarray(X, float), cuts), np.split(weight, cuts), strict=True))

    def blocks(self, data):
        return data

    def total_weight(self, data):
        return float(sum(weight.sum() for _, weight in data))

    def initialize(self, data, rng):
        weights = rng.dirichlet(np.full(self.n_components, 5.0))
        return PoissonParams(weights, rng.gamma(2.0, 1.0, self.n_components))

    def e_step(self, block, params):
        x, weight = block
        joint = np.log(params.weights) - params.rates + np.outer(x, np.log(params.rates))
        density = np.logaddexp.reduce(joint, axis=1)
        responsibilities = np.exp(joint - density[:, None]) * weight[:, None]
        statistics = PoissonStatistics(responsibilities.sum(axis=0), x @ responsibilities)
        return statistics, float(weight @ (density - gammaln(x + 1.0)))

    def m_step(self, statistics, params):
        counts = statistics.counts + self.alpha - 1.0
        exposure = statistics.counts + self.rate
        if not (counts > 0.0).all() or not (exposure > 0.0).all():
            raise DegenerateModelError("a component is empty")
        rates = (statistics.sums + self.shape - 1.0) / exposure
        if not (rates > 0.0).all():
            raise DegenerateModelError("a component is empty")
        return PoissonParams(counts / counts.sum(), rates)

    def log_prior(self, params):
        weights = (self.alpha - 1.0) * np.log(params.weights).sum()
        rates = (self.shape - 1.0) * np.log(params.rates).sum() - self.rate * params.rates.sum()
        return float(weights + rates)

    def to_vector(self, params):
        log_weights = np.log(params.weights)
        return np.concatenate([log_weights[:-1] - log_weights[-1], np.log(params.rates)])

    def from_vector(self, vector, like):
        log_weights = np.append(vector[: self.n_components - 1], 0.0)
        weights = np.exp(log_weights - np.logaddexp.reduce(log_weights))
        with np.errstate(over="ignore", under="ignore"):
            rates = np.exp(vector[self.n_components - 1 :])
        if not (weights > 0.0).all() or not (np.isfinite(rates) & (rates > 0.0)).all():
            raise DegenerateModelError("the vector is out of range")
        return PoissonParams(weights, rates)


@pytest.fixture(scope="session")
def linkage(reference):
    """Linkage model, the animals' cells, and the published values."""
    published = reference("discrete")["linkage"]
    return SimpleNamespace(
        Model=Linkage, X=np.repeat(np.arange(4), published["counts"]), published=published
    )


@pytest.fixture(scope="session")
def london(reference):
    """Poisson mixture, the London deaths with the number of days as weights, published values."""
    published = reference("discrete")["london_deaths"]
    days = np.array(published["days"], float)
    model = PoissonMixture(block_rows=10)
    return SimpleNamespace(
        Model=PoissonMixture,
        Params=PoissonParams,
        Statistics=PoissonStatistics,
        model=model,
        X=np.array(published["deaths"]),
        days=days,
        data=model.prepare(np.array(published["deaths"]), days),
        start=PoissonParams(np.array([0.5, 0.5]), np.array([1.0, 3.0])),
        published=published,
    )


def _replaced(self, *args, function, name):
    return function(getattr(super(type(self), self), name), *args)


@pytest.fixture(scope="session")
def tamper():
    """Function that replaces methods of a model.

    `tamper(model, m_step=lambda m_step, statistics, params: ...)` is a model whose `m_step`
    is this function; its first argument is the method it replaces.
    """

    def tampered(model, **functions):
        methods = {
            name: partialmethod(_replaced, function=function, name=name)
            for name, function in functions.items()
        }
        return type("Tampered", (type(model),), methods)(**vars(model))

    return tampered
