"""The prior of covariances against numerical maximization and its own formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import invwishart

from emlearn.distributions.gaussian.forms import GaussianStatistics
from emlearn.distributions.gaussian.prior import CovariancePrior, in_layout
from emlearn.distributions.gaussian.structures import STRUCTURES

K, D = 2, 3
ALL = sorted(STRUCTURES)


def spd(seed, n=None):
    A = np.random.default_rng(seed).normal(size=((n, D, 2 * D) if n else (D, 2 * D)))
    return A @ np.swapaxes(A, -1, -2) / D


PRIORS = {
    "none": CovariancePrior(),
    "ridge": CovariancePrior(ridge=np.array([0.1, 0.2, 0.3])),
    "variances": CovariancePrior(2.5, np.array([0.5, 1.0, 2.0])),
    "matrix": CovariancePrior(2.5, spd(5)),
    "all": CovariancePrior(2.5, spd(5), np.array([0.1, 0.2, 0.3]), np.array([1e-2, 2e-2, 3e-2])),
    "constant": CovariancePrior(1.5, np.array([0.5, 1.0, 2.0]), None, spd(7)),
}


def statistics(structure):
    rng = np.random.default_rng(1)
    weight, shift, scatter = np.array([7.0, 12.0]), rng.normal(size=(K, D)), spd(2, K) * 10.0
    second = scatter + weight[:, None, None] * (shift[:, :, None] * shift[:, None, :])
    return GaussianStatistics(
        weight, shift * weight[:, None], in_layout(structure, second)
    ), scatter


def objective(structure, prior, scatter, weight, covariances):
    """Expected log-density of the rows, with the ridge, and of the prior: as documented."""
    value = 0.0
    for k in range(K):
        S = structure.matrix(covariances, k, D)
        P = np.linalg.inv(S)
        total = scatter[k].copy()
        if prior.ridge is not None:
            total += weight[k] * np.diag(prior.ridge)
        pseudo = np.zeros((D, D))
        for part, factor in ((prior.target, prior.strength), (prior.constant, 1.0)):
            if part is not None:
                pseudo += factor * (np.diag(part) if part.ndim == 1 else part)
        log_det = np.linalg.slogdet(S)[1]
        value -= 0.5 * ((weight[k] + prior.strength) * log_det + np.trace(P @ (total + pseudo)))
    return value


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
@pytest.mark.parametrize("name", ALL)
def test_the_m_step_is_a_maximum(name, prior):
    structure = STRUCTURES[name]
    sums, scatter = statistics(structure)
    shift, found = prior.estimate(structure, sums, None)
    assert_allclose(shift, sums.first / sums.weight[:, None])
    best = objective(structure, prior, scatter, sums.weight, found)
    vector = structure.to_vector(found)
    rng = np.random.default_rng(3)
    for _ in range(40):
        step = 1e-4 * rng.normal(size=vector.size) * np.abs(vector).max()
        sides = [
            objective(structure, prior, scatter, sums.weight, structure.from_vector(v, found))
            for v in (vector + step, vector - step)
        ]
        assert max(sides) <= best + 1e-9
        # Flat to first order.
        assert abs(sides[0] - sides[1]) < 1e-2 * (2.0 * best - sides[0] - sides[1]) + 1e-9


@pytest.mark.parametrize("name", ["full", "tied"])
def test_density_is_inverse_wishart(name):
    structure = STRUCTURES[name]
    prior = PRIORS["all"]
    a, b = (structure.estimate(np.ones(K), np.zeros((K, D)), in_layout(structure, spd(s, K)),
                               np.zeros(D)) for s in (11, 12))  # fmt: skip
    difference = 0.0
    for covariances, sign in ((a, 1.0), (b, -1.0)):
        factor = structure.factor(covariances, D, 0.0)
        value = prior.log_density(structure, factor, (K, D))
        assert value < 0.0
        difference += sign * value
    # nu pseudo-rows: an inverse Wishart of nu - d - 1 degrees of freedom, which scipy has from
    # d on; log-densities of others differ by a power of the determinant.
    expected = 0.0
    for covariances, sign in ((a, 1.0), (b, -1.0)):
        for k in range(K):
            S = structure.matrix(covariances, k, D)
            proper = invwishart.logpdf(S, D + 1, prior.scatter)
            power = 0.5 * (2 * D + 2 - prior.strength) * np.linalg.slogdet(S)[1]
            expected += sign * (proper + power)
    assert difference == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("key", ["variances", "matrix", "all", "constant"])
def test_density_is_highest_at_the_target(key):
    prior, structure = PRIORS[key], STRUCTURES["full"]
    scatter = prior.scatter
    mode = (np.diag(scatter) if scatter.ndim == 1 else scatter) / prior.strength
    at_mode = np.repeat(mode[None], K, axis=0)
    value = prior.log_density(structure, structure.factor(at_mode, D, 0.0), (K, D))
    assert value == pytest.approx(0.0, abs=1e-12)
    for seed in range(5):
        other = at_mode + 0.1 * spd(seed)
        assert prior.log_density(structure, structure.factor(other, D, 0.0), (K, D)) < 0.0
    assert PRIORS["none"].log_density(structure, structure.factor(at_mode, D, 0.0), (K, D)) == 0.0


@pytest.mark.parametrize("name", ALL)
def test_components_without_rows(name):
    """They go to the mode of the prior, or stay where they were."""
    structure = STRUCTURES[name]
    sums, _ = statistics(structure)
    before = structure.estimate(np.ones(K), np.zeros((K, D)), in_layout(structure, spd(3, K)),
                                np.zeros(D))  # fmt: skip
    none = GaussianStatistics(np.zeros(K), np.zeros((K, D)), np.zeros_like(sums.second))
    shift, kept = PRIORS["ridge"].estimate(structure, none, before)
    assert_allclose(shift, 0.0)
    assert_allclose(kept, before)
    _, mode = PRIORS["variances"].estimate(structure, none, before)
    pseudo = np.tile(PRIORS["variances"].target, (K, 1))
    wanted = structure.estimate(np.ones(K), np.zeros((K, D)), in_layout(structure, pseudo),
                                np.zeros(D))  # fmt: skip
    assert_allclose(mode, wanted)
