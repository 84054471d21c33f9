"""The incomplete-data models keep the engine's contract."""

import numpy as np
import pytest

from emlearn.distributions.gaussian.incomplete import FactorAnalysis
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.testing import check_latent_variable_model

A = np.random.default_rng(8).normal(size=(4, 9))


@pytest.mark.parametrize(
    "model",
    [
        OneGaussian(),
        OneGaussian(CovariancePrior(2.0, np.ones(4))),
        OneGaussian(CovariancePrior(2.0, A @ A.T / 9, None, np.full(4, 0.1))),
        FactorAnalysis(1, CovariancePrior(1.0, np.ones(4))),
    ],
    ids=["ml", "map", "matrix", "factors"],
)
def test_contract(model):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)) @ rng.normal(size=(4, 4))
    X[rng.random(X.shape) < 0.25] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    check_latent_variable_model(model, X)
