"""The incomplete-data models keep the engine's contract."""

import numpy as np
import pytest

from emlearn.distributions.gaussian.incomplete import (
    CovariancePrior,
    IncompleteFactors,
    IncompleteGaussian,
)
from emlearn.testing import check_latent_variable_model


@pytest.mark.parametrize(
    "model",
    [
        IncompleteGaussian(),
        IncompleteGaussian(prior=CovariancePrior(2.0, np.ones(4))),
        IncompleteGaussian(2, CovariancePrior(1.0, np.ones(4))),
        IncompleteFactors(1, CovariancePrior(1.0, np.ones(4))),
    ],
    ids=["ml", "map", "mixture", "factors"],
)
def test_contract(model):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)) @ rng.normal(size=(4, 4))
    X[rng.random(X.shape) < 0.25] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    check_latent_variable_model(model, X)
