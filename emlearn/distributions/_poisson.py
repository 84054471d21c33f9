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
    """Independent counts, each Poisson with a rate of its own: ``"rate"``.

    Parameters
    ----------
    alpha : float, default=0.01
        Strength of the Gamma(1 + alpha m, alpha) prior of each rate, m being the mean of
        the column: so many pseudo-rows of that mean. 0 is maximum likelihood.
    """

    name: ClassVar[str] = "rate"
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

    def draw(self, mean: Array, rng: np.random.Generator) -> Array:
        """See `ExponentialFamily`."""
        require_drawable(mean, "the largest rate")
        return rng.poisson(mean)
