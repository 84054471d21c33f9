"""Items with the values 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from emlearn.distributions._contract import Array
from emlearn.distributions._domain import require
from emlearn.distributions._exponential import ExponentialFamily, ItemSpec, log_of


@dataclass(frozen=True)
class Bernoulli(ExponentialFamily):
    """Independent items that are 0 or 1.

    Published: ``"probability"`` of a 1, of shape (n_components, n_features).

    Parameters
    ----------
    alpha : float, default=0.01
        Pseudo-count of each of the two outcomes, as in `sklearn.naive_bayes.BernoulliNB`:
        the prior of a probability is Beta(1 + alpha, 1 + alpha). 0 is maximum likelihood.
    """

    name: ClassVar[str] = "probability"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    is_discrete: ClassVar[bool] = True

    def check(self, X: Array) -> None:
        """See `ExponentialFamily`."""
        require((X == 0.0) | (X == 1.0), X, "0 or 1 (or NaN where missing)")

    def natural(self, mean: Array) -> tuple[Array, Array]:
        """See `ExponentialFamily`."""
        log_not = log_of(1.0 - mean)
        return log_of(mean) - log_not, -log_not

    def prior(self, column_spec: ItemSpec) -> tuple[float, Array]:
        """See `ExponentialFamily`."""
        return 2.0 * self.alpha, np.full_like(column_spec.mean, 0.5)

    def to_real(self, mean: Array) -> Array:
        """See `ExponentialFamily`."""
        return self.natural(mean)[0]

    def from_real(self, real: Array) -> Array:
        """See `ExponentialFamily`."""
        mean: Array = expit(real)
        return mean

    def variance(self, mean: Array) -> Array:
        """See `ExponentialFamily`."""
        return mean * (1.0 - mean)

    def draw(self, mean: Array, rng: np.random.Generator) -> Array:
        """See `ExponentialFamily`."""
        return rng.random(mean.shape) < mean
