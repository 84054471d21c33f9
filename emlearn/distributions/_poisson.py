"""Poisson counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaln

from emlearn.distributions._contract import Array
from emlearn.distributions._domain import require_counts, require_drawable
from emlearn.distributions._exponential import ExponentialFamily, log_of


@dataclass(frozen=True)
class Poisson(ExponentialFamily):
    """Independent Poisson counts.

    Published: ``"rate"``, of shape (n_components, n_features).

    Parameters
    ----------
    alpha : float, default=0.01
        Number of pseudo-rows in each component, each with the mean m of the column: the
        prior of a rate is Gamma(1 + alpha m, alpha). 0 is maximum likelihood.
    """

    name: ClassVar[str] = "rate"
    lower: ClassVar[float] = 0.0
    is_discrete: ClassVar[bool] = True

    def check(self, X: Array) -> None:
        """See `ExponentialFamily`."""
        require_counts(X, "counts, which are integers >= 0 (or NaN where missing)")

    def natural(self, mean: Array) -> tuple[Array, Array]:
        """See `ExponentialFamily`."""
        return log_of(mean), mean

    def base(self, X: Array) -> Array:
        """See `ExponentialFamily`."""
        return -gammaln(X + 1.0)

    def variance(self, mean: Array) -> Array:
        """See `ExponentialFamily`."""
        return mean

    def draw(self, mean: Array, rng: np.random.Generator) -> Array:
        """See `ExponentialFamily`."""
        require_drawable(mean, "the largest rate")
        return rng.poisson(mean)
