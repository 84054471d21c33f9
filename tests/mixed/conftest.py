"""What the tests of mixed models share."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from emlearn.mixed import _reading
from emlearn.mixed._kinship import Kinship


class Parameters(RegressorMixin, BaseEstimator):
    """The parameters of a linear mixed model that say how X is read."""

    def __init__(
        self,
        groups=None,
        *,
        random_slopes=None,
        random_intercept=True,
        covariance="full",
        kinship=None,
        Z=None,
        formula=None,
        fixed_columns=None,
        fit_intercept=True,
    ):
        self.groups = groups
        self.random_slopes = random_slopes
        self.random_intercept = random_intercept
        self.covariance = covariance
        self.kinship = kinship
        self.Z = Z
        self.formula = formula
        self.fixed_columns = fixed_columns
        self.fit_intercept = fit_intercept

    def learn(self, X, given=None):
        """Read the table of a fit."""
        self.recipe, self.design = _reading.learn_design(self, X, given)
        return self

    def apply(self, X, given=None):
        """Read another table."""
        return self.recipe.apply(self, X, given)


class Labels(Kinship):
    """A kinship of unrelated levels."""

    def __init__(self, *labels):
        self.labels = labels

    @property
    def levels(self):
        return np.array(self.labels, object)

    def square_root(self):
        return np.eye(len(self.labels))

    def diagonal(self):
        return np.ones(len(self.labels))


@pytest.fixture
def parameters():
    """An estimator that reads tables: `parameters(groups="g").learn(X).design`."""
    return Parameters


@pytest.fixture
def labels():
    """A kinship of unrelated levels: `labels("a", "b")`."""
    return Labels
