"""Data that the benchmarks share, and a Poisson mixture as a model of one's own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

from emlearn.engine import DegenerateModelError, LatentVariableModel


class PoissonParams(NamedTuple):
    weights: np.ndarray
    rates: np.ndarray


class PoissonMixture(LatentVariableModel):
    """Mixture of two Poisson distributions; vectors as in Varadhan and Roland (2008)."""

    def prepare(self, X, sample_weight=None):
        return np.asarray(X, float), np.asarray(sample_weight, float)

    def initialize(self, data, rng):
        return PoissonParams(rng.dirichlet([5.0, 5.0]), rng.gamma(2.0, 1.0, 2))

    def total_weight(self, data):
        return data[1].sum()

    def e_step(self, block, params):
        x, weight = block
        joint = np.log(params.weights) - params.rates + np.outer(x, np.log(params.rates))
        density = logsumexp(joint, axis=1)
        responsibilities = np.exp(joint - density[:, None]) * weight[:, None]
        statistics = (responsibilities.sum(axis=0), x @ responsibilities)
        return statistics, float(weight @ (density - gammaln(x + 1.0)))

    def m_step(self, statistics, params):
        counts, sums = statistics
        return PoissonParams(counts / counts.sum(), sums / counts)

    def to_vector(self, params):
        return np.array([params.weights[0], *params.rates])

    def from_vector(self, vector, like):
        if not (0.0 < vector[0] < 1.0 and (vector[1:] > 0.0).all()):
            raise DegenerateModelError("out of range")
        return PoissonParams(np.array([vector[0], 1.0 - vector[0]]), vector[1:])


# Days with 0, 1, ... deaths of women over 80, London Times 1910-1912 (Hasselblad 1969).
LONDON_DAYS = [162, 267, 271, 185, 111, 61, 27, 8, 3, 1]


def overlapping(seed, n_features, n_components, n_rows, separation=1.5):
    """Rows of a Gaussian mixture whose components overlap; the smaller separation, the more."""
    rng = np.random.default_rng(seed)
    spread = 1.5 * separation / np.sqrt(n_features)
    means = spread * rng.standard_normal((n_components, n_features))
    transforms = np.eye(n_features) + 0.4 * rng.standard_normal(
        (n_components, n_features, n_features)
    )
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 5.0)))
    noise = rng.standard_normal((n_rows, n_features))
    return means[labels] + np.einsum("nij,nj->ni", transforms[labels], noise)


def incomplete(seed, n_rows, n_features, rate):
    """Correlated normal rows with a fraction of the entries missing at random."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 3)) @ rng.standard_normal((3, n_features))
    X += 0.5 * rng.standard_normal(X.shape)
    X[rng.random(X.shape) < rate] = np.nan
    return X


def factors(seed, n_rows, n_features, n_factors):
    """Rows of a factor model with uneven noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_factors)) @ rng.standard_normal((n_factors, n_features))
    return X + rng.standard_normal(X.shape) * rng.uniform(0.3, 2.0, n_features)
