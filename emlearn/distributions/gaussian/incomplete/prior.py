"""Prior on a covariance: pseudo-rows with uncorrelated columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.available import AvailableMoments
from emlearn.distributions.gaussian.incomplete.conditioning import whiten

Array = NDArray[np.float64]

_WEAKEST = 0.01
_STRONGEST_SHARE = 0.99


class CovariancePrior(NamedTuple):
    """Conjugate prior of inverse-Wishart form on a covariance.

    Its log-density is, up to a constant, that of `strength` rows centerd at the mean of
    the component and with the covariance diag(variance):

        -(strength / 2) ( log|Sigma / T| + tr(inv(Sigma) T) - d ),   T = diag(variance).

    Attributes
    ----------
    strength : float
        Number of pseudo-rows; 0 is maximum likelihood.
    variance : ndarray of shape (n_features,)
        Variances of the pseudo-rows, in the units of the model.
    """

    strength: float
    variance: Array

    def log_density(self, covariance: Array) -> float:
        """Log prior of a covariance; at most 0, which it is at diag(variance)."""
        if self.strength == 0.0:
            return 0.0
        whitener, log_det = whiten(covariance)
        excess = np.einsum("ij,ij,i->", whitener, whitener, self.variance) - self.variance.size
        return -0.5 * self.strength * float(log_det - np.log(self.variance).sum() + excess)

    def mode(self, weight: float, scatter: Array) -> Array:
        """Covariance that maximises the objective for a scatter about the mean."""
        covariance = scatter + np.diag(self.strength * self.variance)
        covariance /= weight + self.strength
        return 0.5 * (covariance + covariance.T)


def automatic_strength(available: AvailableMoments) -> float:
    """Number of pseudo-rows estimated from the data.

    The share of the prior, strength / (n + strength), is the shrinkage of correlations
    towards 0 that minimises the expected squared error, estimated from pairs of columns:
    sum of var(r) / sum of r^2 with var(r) = (1 - r^2)^2 / (n_pair - 1). It tends to a
    fixed number of rows as n grows. It is kept between a hundredth of a row, so that no
    covariance is ever singular, and d + 1 rows, which is as much as a regular covariance
    needs: nearly uncorrelated columns would otherwise ask for any number of rows.

    References
    ----------
    J. Schaefer and K. Strimmer (2005). "A shrinkage approach to large-scale covariance
    matrix estimation and implications for functional genomics". Statistical Applications
    in Genetics and Molecular Biology 4(1), 32.
    """
    d = available.variance.size
    pairs = np.triu_indices(d, 1)
    r = available.correlation[pairs]
    n = available.pair_weight[pairs]
    known = n > 1.0
    if not known.any():
        return 1.0 if r.size else _WEAKEST
    r, n = r[known], n[known]
    error = float(((1.0 - r**2) ** 2 / (n - 1.0)).sum())
    signal = float((r**2).sum())
    share = min(error / signal if signal > 0.0 else 1.0, _STRONGEST_SHARE)
    # What is shrunk is a correlation known from as many rows as its pair has.
    return min(max(_WEAKEST, share / (1.0 - share) * float(n.mean())), d + 1.0)
