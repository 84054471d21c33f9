"""What is kept between the blocks of an E-step is that of its own arguments."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine.workspace import Workspace


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_each_call_has_its_own_mixing_proportions(name, d, dtype):
    """In turns: the second of several proportions, an empty component, and the first again."""
    rng = np.random.default_rng(d)
    centers = 3.0 * rng.normal(size=(3, d))
    X = (centers[rng.integers(3, size=60)] + rng.normal(size=(60, d))).astype(dtype)
    family = Gaussian(name, alpha=1.0, reg_covar=0.0)
    spec = family.column_spec(X)
    rows = family.cut(family.encode(X, spec), None, [slice(0, 60)], 3)[0]
    responsibilities = rng.dirichlet(np.ones(3), 60).T
    params = family.start(rows, responsibilities, spec, rng)
    public = family.to_public(params, spec)
    densities = np.array(
        [
            multivariate_normal.logpdf(X.astype(float), mean, covariance)
            for mean, covariance in zip(public["mean"], public["covariance"], strict=True)
        ]
        if public["covariance"].ndim == 3
        else [
            multivariate_normal.logpdf(X.astype(float), mean, np.diag(np.ones(d) * variance))
            for mean, variance in zip(public["mean"], public["covariance"], strict=True)
        ]
    )
    precomputed = family.precompute(params, spec)
    one, other = np.log([0.2, 0.3, 0.5]), np.log([0.7, 0.2, 0.1])
    empty = np.array([np.log(0.4), -np.inf, np.log(0.6)])
    for log_weights in (one, other, empty, one):
        totals, statistics, value = family.expect(
            rows, log_weights, 60, None, precomputed, Workspace()
        )
        joint = densities + log_weights[:, None]
        total = logsumexp(joint, axis=0)
        shares = np.exp(joint - total)
        loose = 1e-9 if dtype == np.float64 else 1e-4
        assert_allclose(value, total.sum(), rtol=loose)
        assert_allclose(totals, shares.sum(axis=1), rtol=loose, atol=60 * loose)
        scaled = spec.scaling.to_scaled(X)
        first = shares @ scaled - shares.sum(axis=1)[:, None] * params.mean
        assert_allclose(statistics.first, first, rtol=loose, atol=200 * loose)
