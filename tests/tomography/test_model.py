"""The contract of the model with the engine."""

import numpy as np
import pytest
from scipy.stats import poisson

from emlearn.testing import check_latent_variable_model
from emlearn.tomography import HuberPrior, QuadraticPrior, RelativeDifferencePrior
from emlearn.tomography._model import Part, PoissonReconstruction, Projections
from emlearn.tomography._systems import as_system

PRIORS = [
    None,
    QuadraticPrior(),
    HuberPrior(0.5),
    RelativeDifferencePrior(),
    RelativeDifferencePrior(0.5, 0.1),
]


def two_parts(matrix, counts, background):
    half = len(matrix) // 2
    parts = [
        Part(rays, as_system(matrix[rays]), matrix[rays].sum(axis=0))
        for rays in (slice(0, half), slice(half, len(matrix)))
    ]
    return Projections(parts, counts, background)


def take_rays(X, index):
    matrix = np.vstack([part.system.matrix for part in X.parts])
    return two_parts(matrix[index], X.counts[index], X.background[index])


def log_likelihood(model, image, X, weight):
    mean = np.concatenate([part.system.matrix @ image for part in X.parts]) + X.background
    return float(weight @ poisson.logpmf(X.counts, mean))


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_contract(geometry, prior):
    X = two_parts(geometry.matrix, geometry.counts[0], geometry.background)
    check_latent_variable_model(
        PoissonReconstruction(prior, 0.2, geometry.shape),
        X,
        sample_weight=np.ones(len(X.counts)),
        take=take_rays,
        score=log_likelihood,
        max_iter=20_000,
    )
