"""Fixtures for the tests of the latent label."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import _contract
from emlearn.distributions.gaussian import rows


@pytest.fixture
def small_blocks(monkeypatch):
    """Function that makes blocks have so many rows."""

    def small_blocks(n_rows):
        monkeypatch.setattr(_contract, "_BLOCK_ROWS", (n_rows, n_rows))
        monkeypatch.setattr(rows, "_BLOCK_ROWS", (n_rows, n_rows))

    return small_blocks


# ---- estimators with known parameters ---------------------------------------------------

LAW = {
    FiniteMixtureEM: {"weights_": [0.3, 0.7]},
    HiddenMarkovEM: {"startprob_": [0.3, 0.7], "transmat_": [[0.9, 0.1], [0.4, 0.6]]},
}
RATES = {"rate": [[1.0, 2.0], [7.0, 5.0]]}


def _known(cls, component_params=RATES, family="poisson", **settings):
    law = {name.rstrip("_"): value for name, value in LAW[cls].items()}
    return cls.from_parameters(**law, component_params=component_params, family=family, **settings)


def _log_likelihood(model, X, density):
    """Log-likelihood by hand: of a mixture, or of one sequence by the forward recursion."""
    if isinstance(model, FiniteMixtureEM):
        return float(logsumexp(density + np.log(model.weights_), axis=1).sum())
    with np.errstate(divide="ignore"):
        start, move = np.log(model.startprob_), np.log(model.transmat_)
    state = start + density[0]
    for row in density[1:]:
        state = logsumexp(state[:, None] + move, axis=0) + row
    return float(logsumexp(state))


def _poisson_density(X, rate):
    return stats.poisson.logpmf(X[:, None], np.asarray(rate)).sum(axis=2)


@pytest.fixture(scope="session")
def laws():
    """Parameters of the law of the label, by estimator."""
    return LAW


@pytest.fixture(scope="session")
def known():
    """Function that makes an estimator from known parameters: `known(cls, ...)`."""
    return _known


@pytest.fixture(scope="session")
def log_likelihood():
    """Function that adds up densities by hand: `log_likelihood(model, X, density)`."""
    return _log_likelihood


@pytest.fixture(scope="session")
def poisson_density():
    """Function that gives log-densities of rows and components: `poisson_density(X, rate)`."""
    return _poisson_density


@pytest.fixture
def X():
    """Counts of two components with these parameters."""
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=(80, 1))
    return rng.poisson(np.where(side, [7.0, 5.0], [1.0, 2.0])).astype(float)
