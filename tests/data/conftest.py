"""Tables to read, and the estimators that read them."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM
from emlearn.data import read_table
from emlearn.impute import MissingDataImputerEM

QUICK = {"random_state": 0, "max_iter": 20}
ESTIMATORS = {
    "GaussianMixtureEM": GaussianMixtureEM(2, **QUICK),
    "FiniteMixtureEM": FiniteMixtureEM(2, init_params="rows", **QUICK),
    "HiddenMarkovEM": HiddenMarkovEM(2, init_params="rows", **QUICK),
    "MissingDataImputerEM": MissingDataImputerEM(model="gaussian", **QUICK),
}

rng = np.random.default_rng(0)
# Small integers, so that every kind of number holds them.
WHOLE = rng.integers(0, 2, (40, 1)) * 40 + rng.integers(0, 20, (40, 3)).astype(float)
HOLES = WHOLE.copy()
HOLES[rng.random(HOLES.shape) < 0.15] = np.nan
HOLES[0] = [3.0, np.nan, 7.0]


@pytest.fixture
def estimator(request):
    """The estimator of a name, which the tests give as an indirect parameter."""
    return ESTIMATORS[request.param]


@pytest.fixture
def complete():
    """Rows without missing entries."""
    return WHOLE.copy()


@pytest.fixture
def holed():
    """The same rows with missing entries."""
    return HOLES.copy()


@pytest.fixture(scope="session")
def read():
    """Function that reads a table; a warning is an error."""

    def read(X, **settings):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return read_table(BaseEstimator(), X, reset=True, **settings)

    return read
